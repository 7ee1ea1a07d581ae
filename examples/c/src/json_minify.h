#ifndef JSON_MINIFY_H
#define JSON_MINIFY_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t line, column;
    const char *reason; /* NULL when all is well; else a literal */
} problem;

/* Removes the white space from a JSON document in place, and reports its new size. */
problem json_minify(char *document, size_t size, size_t *minified_size);

#endif
