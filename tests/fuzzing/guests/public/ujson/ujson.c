/* The exports of a component around the encoder in C of the Python package ujson. */
#include "abi.h"

#include "ultrajson.h"

#include <stdlib.h>

typedef struct {
    const int64_t *data;
    size_t size, next;
} numbers;

static bytes answer;

/* The encoder's only function in C++, for floats, which there are none of here. */
int dconv_d2s(IGNORED void *converter, IGNORED double value, IGNORED char *text, IGNORED int size, IGNORED int *length) {
    return 0;
}

static void begin(JSOBJ object, JSONTypeContext *context, JSONObjectEncoder *encoder) {
    context->type = object == encoder->prv ? JT_ARRAY : JT_LONG;
}

static void end(IGNORED JSOBJ object, IGNORED JSONTypeContext *context) {}

static JSINT64 number(JSOBJ object, IGNORED JSONTypeContext *context) { return *(const int64_t *)object; }

static int next(JSOBJ object, IGNORED JSONTypeContext *context) {
    numbers *list = object;
    return list->next < list->size ? (list->next++, 1) : 0;
}

static JSOBJ item(JSOBJ object, IGNORED JSONTypeContext *context) {
    numbers *list = object;
    return (JSOBJ)&list->data[list->next - 1];
}

EXPORT("dumps") bytes *dumps(const int64_t *data, size_t size, uint32_t indent) {
    char buffer[65536]; /* of this size in the package, too */
    numbers list = {data, size, 0};
    JSONObjectEncoder encoder = {
        .beginTypeContext = begin,
        .endTypeContext = end,
        .getLongValue = number,
        .iterNext = next,
        .iterEnd = end,
        .iterGetValue = item,
        .malloc = malloc,
        .realloc = realloc,
        .free = free,
        .indent = indent,
        .prv = &list,
    };
    char *text = JSON_EncodeObject(&list, &encoder, buffer, sizeof buffer);
    answer = text ? call_copy(bytes_of(text)) : bytes_of("");
    if (text && text != buffer) free(text);
    return &answer;
}

EXPORT("cabi_post_dumps") void dumps_done(IGNORED bytes *returned) { call_end(); }
