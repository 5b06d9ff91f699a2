#include "train/command/shown_text.h"

#include "train/command/ending.h"

#include <stdlib.h>
#include <string.h>

mt_status text_stop_find(const text_symbols *symbols, const char *option, text_stop *stop)
{
    bool is_symbol = symbols->numbers && option[0] != '\0';
    *stop = (text_stop){.text = is_symbol ? "" : option, .symbol = -1};
    mt_status status = is_symbol ? symbols_one(symbols, option, &stop->symbol) : MT_OK;
    return status == MT_OK ? MT_OK : mt_fail(status, "--stop: %s", mt_error_message());
}

mt_status shown_text_open(shown_text *text, const text_symbols *symbols, const text_stop *stop,
                          text_put *put, void *context)
{
    size_t most = strlen(stop->text);
    *text = (shown_text){
        .symbols = symbols, .stop = stop, .put = put, .context = context, .end = malloc(most + 1)};
    return text->end != NULL ? MT_OK
                             : mt_fail(MT_ERROR_MEMORY, "--stop: no memory for %zu bytes", most);
}

void shown_text_close(shown_text *text)
{
    free(text->end);
}

bool shown_text_has_ended(const shown_text *text)
{
    size_t length = strlen(text->stop->text);
    return text->at_stop_symbol || (length > 0 && text->end_length == length &&
                                    memcmp(text->end, text->stop->text, length) == 0);
}

/* Keeps the last bytes of an answer, as many as --stop has. Gives how many there are until the text
 * ends with that, within a symbol, too. */
static size_t remember(shown_text *text, const char *bytes, size_t count)
{
    size_t most = strlen(text->stop->text);
    for (size_t i = 0; i < count && most > 0; i++) {
        if (text->end_length == most) {
            memmove(text->end, text->end + 1, --text->end_length);
        }
        text->end[text->end_length++] = bytes[i];
        if (shown_text_has_ended(text)) {
            return i + 1;
        }
    }
    return count;
}

static mt_status show_bytes(shown_text *text, const char *bytes, size_t count)
{
    if (!text->answers) {
        return text->put(text->context, bytes, count);
    }
    return shown_text_has_ended(text)
               ? MT_OK
               : text->put(text->context, bytes, remember(text, bytes, count));
}

/* What a tokenizer did not answer when a signal came is not shown. */
static mt_status forgive(shown_text *text, mt_status status)
{
    text->silent = status != MT_OK && ending_signal() != 0;
    return text->silent ? MT_OK : status;
}

static mt_status show_symbol(shown_text *text, int32_t symbol)
{
    symbol_text shown = {.bytes = "", .behind = ""};
    text_tokenizer *tokenizer = text->symbols->tokenizer;
    mt_status status = MT_OK;
    if (tokenizer != NULL) {
        status = forgive(
            text, tokenizer_next(tokenizer, &text->pieces, symbol, &shown.bytes, &shown.length));
    } else {
        symbols_text(text->symbols, symbol, &shown);
    }
    if (status == MT_OK) {
        status = show_bytes(text, shown.bytes, shown.length);
    }
    return status == MT_OK ? show_bytes(text, shown.behind, strlen(shown.behind)) : status;
}

mt_status shown_text_prompt(shown_text *text, const int32_t *ids, int64_t count)
{
    mt_status status = MT_OK;
    text->answers = false;
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        status = show_symbol(text, ids[i]);
    }
    return status;
}

void shown_text_begin_answer(shown_text *text)
{
    text->answers = true;
    text->end_length = 0;
    text->at_stop_symbol = false;
}

mt_status shown_text_add(shown_text *text, int32_t symbol)
{
    mt_status status = show_symbol(text, symbol);
    text->at_stop_symbol = !text->silent && symbol == text->stop->symbol;
    return status;
}

mt_status shown_text_finish(shown_text *text)
{
    const char *bytes = "";
    size_t length = 0;
    text_tokenizer *tokenizer = text->symbols->tokenizer;
    mt_status status =
        tokenizer != NULL ? forgive(text, tokenizer_rest(tokenizer, &text->pieces, &bytes, &length))
                          : MT_OK;
    return status == MT_OK ? show_bytes(text, bytes, length) : status;
}
