#include "train/command/symbols.h"

#include "train/command/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Tells if most tokens, but for symbols like <unk>, are of more than one character. */
static bool are_words(const mt_token_list *tokens)
{
    int32_t words = 0, all = 0;
    for (int32_t i = 0; i < tokens->count; i++) {
        size_t characters = 0;
        for (const char *at = tokens->tokens[i]; *at != '\0'; at++) {
            characters += ((unsigned char)*at & 0xC0) != 0x80; /* the first byte of one in UTF-8 */
        }
        all += tokens->tokens[i][0] != '<';
        words += tokens->tokens[i][0] != '<' && characters > 1;
    }
    return 2 * words > all;
}

static mt_status read_config(const mt_checkpoint *checkpoint, const char *path,
                             text_symbols *symbols)
{
    run_config config;
    const train_task *task;
    mt_status status = session_config_of(path, checkpoint, &config);
    if (status == MT_OK) {
        status = task_find(config.task, &task);
    }
    if (status == MT_OK) {
        symbols->transcripts = task->transcripts;
        symbols->words = config.unit == UNIT_WORD;
        symbols->unit = config.unit == UNIT_BYTE ? MT_TEXT_BYTE : MT_TEXT_CHAR;
    }
    run_config_clear(&config);
    return status;
}

mt_status symbols_find(const mt_checkpoint *checkpoint, const char *path, bool as_numbers,
                       text_symbols *symbols)
{
    const mt_token_list *tokens = checkpoint->weights->tokens;
    *symbols = (text_symbols){
        .count = checkpoint->weights->config.output_size, .tokens = tokens, .numbers = as_numbers};
    if (tokens == NULL && !as_numbers) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: it has no token list, so no text to generate (--ids: numbers)", path);
    }
    if (symbols->count == 0) {
        return mt_fail(MT_ERROR_INVALID, "%s: it has no head, so no text to generate", path);
    }
    if (tokens != NULL && checkpoint->run_config != NULL) {
        return read_config(checkpoint, path, symbols);
    }
    if (tokens != NULL) {
        symbols->transcripts = strcmp(tokens->tokens[0], "<blank>") == 0;
        symbols->unit = strcmp(tokens->tokens[0], "<0x00>") == 0 ? MT_TEXT_BYTE : MT_TEXT_CHAR;
        symbols->words = are_words(tokens);
    }
    return MT_OK;
}

static mt_status read_numbers(const text_symbols *symbols, const char *text, int32_t **ids,
                              int64_t *count)
{
    *count = 0;
    *ids = malloc((strlen(text) / 2 + 1) * sizeof **ids);
    if (*ids == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes of numbers", strlen(text));
    }
    for (const char *at = text + strspn(text, " \t\r\n"); *at != '\0';) {
        char *end;
        size_t length = strcspn(at, " \t\r\n");
        errno = 0;
        long long value = strtoll(at, &end, 10);
        if (errno != 0 || end != at + length || value < 0 || value >= symbols->count) {
            mt_status status =
                mt_fail(MT_ERROR_INVALID, "number %" PRId64 ", '%.*s', not in 0 .. %" PRId64,
                        *count + 1, (int)(length < 32 ? length : 32), at, symbols->count - 1);
            free(*ids);
            *ids = NULL;
            return status;
        }
        (*ids)[(*count)++] = (int32_t)value;
        at = end + strspn(end, " \t\r\n");
    }
    return MT_OK;
}

mt_status symbols_of(const text_symbols *symbols, const char *text, int32_t **ids, int64_t *count)
{
    if (symbols->numbers) {
        return read_numbers(symbols, text, ids, count);
    }
    if (symbols->transcripts) {
        return mt_token_encode(symbols->tokens, symbols->words ? MT_TOKEN_WORD : MT_TOKEN_CHAR,
                               text, ids, count);
    }
    mt_text encoded;
    mt_status status = mt_text_encode(text, strlen(text), symbols->unit, symbols->tokens, &encoded);
    *ids = encoded.ids;
    *count = encoded.length;
    return status;
}

mt_status symbols_one(const text_symbols *symbols, const char *token, int32_t *symbol)
{
    const mt_token_list *tokens = symbols->numbers ? NULL : symbols->tokens;
    *symbol = tokens != NULL ? mt_token_find(tokens, token, strlen(token)) : -1;
    if (*symbol >= 0) { /* as the list spells it: <blank> */
        return MT_OK;
    }
    if (tokens != NULL && symbols->transcripts) { /* in which it would be read as <unk> */
        return mt_fail(MT_ERROR_INVALID, "'%s' is not in the token list", token);
    }
    int32_t *ids = NULL;
    int64_t count = 0;
    mt_status status = symbols_of(symbols, token, &ids, &count);
    if (status == MT_OK && count != 1) {
        status = mt_fail(MT_ERROR_INVALID, "'%s' is %" PRId64 " symbols, not one", token, count);
    }
    if (status == MT_OK) {
        *symbol = ids[0];
    }
    free(ids);
    return status;
}

void symbols_text(const text_symbols *symbols, int32_t symbol, symbol_text *text)
{
    text->behind = "";
    if (symbols->numbers) {
        text->length = (size_t)snprintf(text->number, sizeof text->number, "%" PRId32, symbol);
        text->bytes = text->number;
        text->behind = " ";
    } else if (!symbols->transcripts) {
        text->bytes = mt_text_decode(symbols->tokens, symbols->unit, symbol, &text->length);
    } else if (strcmp(symbols->tokens->tokens[symbol], "<space>") == 0) {
        text->bytes = " ";
        text->length = 1;
    } else {
        text->bytes = symbols->tokens->tokens[symbol];
        text->length = strlen(text->bytes);
        text->behind = symbols->words ? " " : "";
    }
}
