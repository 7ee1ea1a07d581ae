/* A recursive descent over RFC 8259. The output never overtakes the input, so both share one buffer. */
#include "json_minify.h"

#include <stdbool.h>
#include <string.h>

typedef struct {
    const char *next, *end, *line_start;
    char *out;
    uint32_t line;
    const char *reason;
} parser;

static bool fail(parser *p, const char *reason) {
    p->reason = reason;
    return false;
}

static void skip_space(parser *p) {
    while (p->next < p->end && memchr(" \t\r\n", *p->next, 4)) {
        if (*p->next++ == '\n') {
            p->line++;
            p->line_start = p->next;
        }
    }
}

static int peek(const parser *p) { return p->next < p->end ? (unsigned char)*p->next : -1; }

static void copy(parser *p) { *p->out++ = *p->next++; }

static bool accept(parser *p, char c) {
    if (peek(p) != (unsigned char)c) return false;
    copy(p);
    return true;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_hex(int c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

static bool digits(parser *p) {
    if (!is_digit(peek(p))) return fail(p, "expected a digit");
    while (is_digit(peek(p))) copy(p);
    return true;
}

static bool number(parser *p) {
    accept(p, '-');
    if (!accept(p, '0') && !digits(p)) return false;
    if (accept(p, '.') && !digits(p)) return false;
    if (accept(p, 'e') || accept(p, 'E')) {
        if (!accept(p, '-')) accept(p, '+');
        return digits(p);
    }
    return true;
}

static bool escape(parser *p) {
    if (accept(p, 'u')) {
        for (int i = 0; i < 4; i++) {
            if (!is_hex(peek(p))) return fail(p, "expected four hexadecimal digits");
            copy(p);
        }
        return true;
    }
    int c = peek(p);
    if (c <= 0 || !strchr("\"\\/bfnrt", c)) return fail(p, "no such escape");
    copy(p);
    return true;
}

static bool string(parser *p) {
    if (!accept(p, '"')) return fail(p, "expected a string");
    while (!accept(p, '"')) {
        int c = peek(p);
        if (c < 0) return fail(p, "the string does not end");
        if (c < ' ') return fail(p, "a control character in a string");
        copy(p);
        if (c == '\\' && !escape(p)) return false;
    }
    return true;
}

static bool word(parser *p, const char *expected) {
    for (; *expected; expected++) {
        if (!accept(p, *expected)) return fail(p, "expected a value");
    }
    return true;
}

/* noinline: backtraces show these two by name. */
static __attribute__((noinline)) bool value(parser *p);

/* The members of an object or the items of an array, after the opening bracket. */
static __attribute__((noinline)) bool members(parser *p, char closing) {
    skip_space(p);
    if (accept(p, closing)) return true;
    for (;;) {
        if (closing == '}') {
            skip_space(p);
            if (!string(p)) return false;
            skip_space(p);
            if (!accept(p, ':')) return fail(p, "expected a colon");
        }
        if (!value(p)) return false;
        if (accept(p, closing)) return true;
        if (!accept(p, ',')) return fail(p, closing == '}' ? "expected , or }" : "expected , or ]");
    }
}

static bool value(parser *p) {
    skip_space(p);
    bool ok;
    switch (peek(p)) {
        case '{': copy(p), ok = members(p, '}'); break;
        case '[': copy(p), ok = members(p, ']'); break;
        case '"': ok = string(p); break;
        case 't': ok = word(p, "true"); break;
        case 'f': ok = word(p, "false"); break;
        case 'n': ok = word(p, "null"); break;
        case '-': case '0': case '1': case '2': case '3': case '4':
        case '5': case '6': case '7': case '8': case '9': ok = number(p); break;
        default: ok = fail(p, "expected a value");
    }
    if (ok) skip_space(p);
    return ok;
}

problem json_minify(char *document, size_t size, size_t *minified_size) {
    parser p = {.next = document, .end = document + size, .line_start = document, .out = document, .line = 1};
    if (value(&p) && p.next < p.end) fail(&p, "expected the end");
    *minified_size = p.out - document;
    return (problem){p.line, p.next - p.line_start + 1, p.reason};
}
