/* The exports of a component around sundown, the Markdown parser in C that the npm package robotskirt includes. */
#include "abi.h"

#include "buffer.h"
#include "html.h"
#include "markdown.h"

static bytes answer;

EXPORT("render") bytes *render(uint8_t *data, size_t size) {
    struct sd_callbacks callbacks;
    struct html_renderopt options;
    struct buf *out = bufnew(64);
    sdhtml_renderer(&callbacks, &options, 0);
    struct sd_markdown *markdown = sd_markdown_new(0, 16, &callbacks, &options);
    sd_markdown_render(out, data, size, markdown);
    sd_markdown_free(markdown);
    answer = call_copy((bytes){out->data, out->size});
    bufrelease(out);
    return &answer;
}

EXPORT("cabi_post_render") void render_done(IGNORED bytes *returned) { call_end(); }
