/* The canonical ABI of wit/world.wit, by hand for one function. For larger worlds generate it with `wit-bindgen c wit`. */
#include "json_minify.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))

typedef struct {
    const char *data;
    size_t size;
} string;

/* the memory layout of result<string, problem> */
static struct {
    uint8_t is_err;
    union {
        string minified;
        struct {
            uint32_t line, column;
            string reason;
        } problem;
    };
} answer;

/* Called by the host to allocate memory for the document. Running out of memory traps: it cannot return an error. */
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t alignment, size_t new_size) {
    (void)old_size, (void)alignment;
    void *memory = realloc(old, new_size ? new_size : 1);
    if (!memory) __builtin_trap();
    return memory;
}

static char *document_of_this_call;

EXPORT("minify") void *minify(char *document, size_t size) {
    document_of_this_call = document;
    problem problem = json_minify(document, size, &size);
    answer.is_err = problem.reason != NULL;
    if (answer.is_err) {
        answer.problem.line = problem.line;
        answer.problem.column = problem.column;
        answer.problem.reason = (string){problem.reason, strlen(problem.reason)};
    } else {
        answer.minified = (string){document, size};
    }
    return &answer;
}

/* Called when the host has read the result. */
EXPORT("cabi_post_minify") void minify_done(void *returned) {
    (void)returned;
    free(document_of_this_call);
}
