#include "train/command/answer.h"

#include "io/utf8.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static mt_status keep(void *context, const char *bytes, size_t count)
{
    answer *of = context;
    kept_bytes *to = of->shown.answers ? &of->answer : &of->prompt;
    if (count > to->room - to->size) {
        size_t room = 2 * to->room + count;
        char *larger = realloc(to->bytes, room);
        if (larger == NULL) {
            return mt_fail(MT_ERROR_MEMORY, "line %" PRId64 ": no memory for %zu bytes of text",
                           of->line, room);
        }
        to->bytes = larger;
        to->room = room;
    }
    if (count > 0) {
        memcpy(to->bytes + to->size, bytes, count);
    }
    to->size += count;
    return MT_OK;
}

mt_status answer_open(answer *of, int64_t line, const text_symbols *symbols, const text_stop *stop)
{
    *of = (answer){.line = line};
    return shown_text_open(&of->shown, symbols, stop, keep, of);
}

void answer_close(answer *of)
{
    free(of->ids);
    free(of->prompt.bytes);
    free(of->answer.bytes);
    shown_text_close(&of->shown);
}

/* Puts the symbol that is fed first before the prompt's. */
static mt_status put_start(answer *of)
{
    size_t count = (size_t)of->count;
    int32_t *longer = malloc((count + 1) * sizeof *longer);
    if (longer == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %zu symbols", count + 1);
    }
    longer[0] = 0;
    if (count > 0) {
        memcpy(longer + 1, of->ids, count * sizeof *longer);
    }
    free(of->ids);
    of->ids = longer;
    of->count++;
    return MT_OK;
}

mt_status answer_prompt(answer *of, const char *line)
{
    const text_symbols *symbols = of->shown.symbols;
    mt_status status = symbols_of(symbols, line, &of->ids, &of->count);
    if (status != MT_OK) {
        return status;
    }
    bool needs_start = symbols_need_start(symbols, of->count);
    status = shown_text_prompt(&of->shown, of->ids, of->count);
    shown_text_begin_answer(&of->shown);
    return status == MT_OK && needs_start ? put_start(of) : status;
}

/* Bytes that are no text have U+FFFD in their place. NULL without memory. */
static json_t *json_of(const answer *of, const kept_bytes *kept)
{
    size_t length;
    if (of->refused) {
        return json_null();
    }
    char *text = mt_utf8_replace(kept->bytes, kept->size, &length);
    json_t *made = text != NULL ? json_stringn(text, length) : NULL;
    free(text);
    return made;
}

/* The text of an object, to be freed; NULL without memory. json_dumps would leave out a name for
 * which it has no memory, and say nothing. */
static char *text_of(const json_t *object, size_t *length)
{
    *length = json_dumpb(object, NULL, 0, 0);
    char *text = *length > 0 ? malloc(*length) : NULL;
    if (text != NULL && json_dumpb(object, text, *length, 0) != *length) {
        free(text);
        text = NULL;
    }
    return text;
}

mt_status answer_write(const answer *of, text_output *output)
{
    size_t length;
    json_t *object = json_pack("{s:I, s:o, s:o}", "line", (json_int_t)of->line, "prompt",
                               json_of(of, &of->prompt), "answer", json_of(of, &of->answer));
    char *text = object != NULL ? text_of(object, &length) : NULL;
    json_decref(object);
    if (text == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "line %" PRId64 ": no memory for its text as JSON",
                       of->line);
    }
    text_output_put(output, text, length);
    text_output_end(output);
    free(text);
    return MT_OK;
}
