#include "train/command/symbols.h"

#include <mixtape/model_fields.h>

#include "io/kept_tokenizer.h"
#include "io/text_files.h"
#include "io/token_pieces.h"
#include "train/command/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256 }; /* a vocabulary of all of them */

/* Tells if tokens are pieces of words or, but for symbols like <unk>, mostly of more than one
 * character. */
static bool are_words(const mt_token_list *tokens)
{
    if (mt_token_list_has_pieces(tokens)) {
        return true;
    }
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

/* As the run that the model is of had it. */
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
        status = mt_token_list_keep_whole(checkpoint->weights->tokens, (int32_t)config.nlsyms.count,
                                          (const char *const *)config.nlsyms.names);
    }
    run_config_clear(&config);
    return status;
}

static bool are_same(const mt_token_list *a, const mt_token_list *b)
{
    bool same = a->count == b->count;
    for (int32_t i = 0; same && i < a->count; i++) {
        same = strcmp(a->tokens[i], b->tokens[i]) == 0;
    }
    return same;
}

static mt_status load_tokens(const char *path, const mt_weights *weights, text_symbols *symbols)
{
    mt_status status = mt_token_list_load(path, &symbols->own);
    if (status == MT_OK && symbols->own->count != weights->config.vocab_size) {
        status = mt_fail(MT_ERROR_INVALID,
                         "--token-list %s: %" PRId32 " tokens, where the model has %" PRId64, path,
                         symbols->own->count, weights->config.vocab_size);
    }
    if (status == MT_OK && weights->tokens != NULL && !are_same(symbols->own, weights->tokens)) {
        status = mt_fail(MT_ERROR_INVALID, "--token-list %s: not the one that the model has", path);
    }
    symbols->tokens = symbols->own;
    return status;
}

/* The model's tokens, those of a file, or those of bytes, which need no file. */
static mt_status find_tokens(const mt_weights *weights, const symbols_asked *asked,
                             text_symbols *symbols)
{
    bool bytes = asked->unit != NULL && strcmp(asked->unit, symbol_unit_name(UNIT_BYTE)) == 0;
    symbols->tokens = weights->tokens;
    mt_status status = MT_OK;
    if (asked->token_list != NULL) {
        status = load_tokens(asked->token_list, weights, symbols);
    } else if (symbols->tokens == NULL && bytes && weights->config.vocab_size == BYTES) {
        status = mt_text_vocabulary(NULL, 0, MT_TEXT_BYTE, &symbols->own);
        symbols->tokens = symbols->own;
    }
    return status;
}

/* Tells if tokens are the characters of any text, or its bytes, and not those of transcripts. */
static bool are_plain(const mt_token_list *tokens)
{
    return strcmp(tokens->tokens[0], "<0x00>") == 0 ||
           (mt_token_find(tokens, " ", 1) >= 0 &&
            mt_token_find(tokens, "<space>", strlen("<space>")) < 0);
}

static mt_status take_options(const symbols_asked *asked, text_symbols *symbols)
{
    int unit = asked->unit != NULL ? mt_choice_find(symbol_unit_name, asked->unit) : UNIT_CHAR;
    if (asked->task != NULL) {
        symbols->transcripts = strcmp(asked->task, "tokens") == 0 && !are_plain(symbols->tokens);
    }
    if (unit < 0) {
        return mt_fail(MT_ERROR_INVALID, "--unit %s: not one of char, byte, word", asked->unit);
    }
    if (unit == (symbols->transcripts ? UNIT_BYTE : UNIT_WORD)) {
        return mt_fail(MT_ERROR_INVALID, "--unit %s: %s", asked->unit,
                       symbols->transcripts ? "tokens has char and word"
                                            : "text has char and byte");
    }
    const char *first = symbols->tokens->tokens[0];
    if (unit == UNIT_BYTE && (symbols->tokens->count != BYTES || strcmp(first, "<0x00>") != 0)) {
        return mt_fail(MT_ERROR_INVALID,
                       "--unit byte: the model's %" PRId32 " symbols are not the %d bytes",
                       symbols->tokens->count, BYTES);
    }
    if (asked->unit != NULL) {
        symbols->words = unit == UNIT_WORD;
        symbols->unit = unit == UNIT_BYTE ? MT_TEXT_BYTE : MT_TEXT_CHAR;
    }
    return MT_OK;
}

static mt_status open_tokenizer(const mt_tokenizer_file *file, const char *name,
                                const mt_token_list *tokens, text_symbols *symbols)
{
    mt_status status = tokenizer_open(name, file->bytes, file->size, &symbols->tokenizer);
    if (status == MT_OK && tokens != NULL) {
        status = tokenizer_take_tokens(symbols->tokenizer, tokens);
        symbols->tokens = tokens;
    }
    return status == MT_OK ? tokenizer_check_size(symbols->tokenizer, symbols->count) : status;
}

static mt_status open_own(const mt_weights *weights, const char *path, text_symbols *symbols)
{
    const mt_tokenizer_file *own = &weights->tokenizer;
    mt_status status = open_tokenizer(own, mt_tokenizer_usual_name(own), weights->tokens, symbols);
    return status == MT_OK ? MT_OK
                           : mt_fail(status, "%s: its tokenizer: %s", path, mt_error_message());
}

/* The one that an option names or that the model has, unless other options say what text is. */
static mt_status find_tokenizer(const mt_weights *weights, const char *path,
                                const symbols_asked *asked, text_symbols *symbols)
{
    bool otherwise = asked->numbers || asked->token_list != NULL || asked->unit != NULL;
    bool has_one =
        asked->tokenizer != NULL || (weights->tokenizer.bytes != NULL && weights->tokens == NULL);
    mt_tokenizer_file file;
    if (has_one && asked->unit != NULL && asked->token_list == NULL) {
        return tokenizer_refuse_unit(asked->unit);
    }
    if (asked->tokenizer == NULL) {
        return weights->tokenizer.bytes != NULL && !otherwise ? open_own(weights, path, symbols)
                                                              : MT_OK;
    }
    if (otherwise) {
        return mt_fail(MT_ERROR_INVALID, "--tokenizer %s: not with --token-list or %s",
                       asked->tokenizer, asked->numbers_option);
    }
    mt_status status = mt_tokenizer_load(asked->tokenizer, &file);
    if (status == MT_OK) {
        status = open_tokenizer(&file, asked->tokenizer, weights->tokens, symbols);
        if (status == MT_OK) {
            tokenizer_tell_note(symbols->tokenizer);
            tokenizer_tell_other(symbols->tokenizer, &file, &weights->tokenizer);
        }
        mt_tokenizer_free(&file);
    }
    return status;
}

mt_status symbols_find(const mt_checkpoint *checkpoint, const char *path,
                       const symbols_asked *asked, text_symbols *symbols)
{
    const mt_weights *weights = checkpoint->weights;
    *symbols = (text_symbols){.count = weights->config.output_size, .numbers = asked->numbers};
    if (symbols->count == 0) {
        return mt_fail(MT_ERROR_INVALID, "%s: it has no head, so it tells no symbols", path);
    }
    if (asked->numbers && asked->unit != NULL) {
        return mt_fail(MT_ERROR_INVALID, "--unit %s: not with %s, where symbols are numbers",
                       asked->unit, asked->numbers_option);
    }
    mt_status status = find_tokenizer(weights, path, asked, symbols);
    if (status == MT_OK && symbols->tokenizer == NULL) {
        status = find_tokens(weights, asked, symbols);
    }
    const mt_token_list *tokens = symbols->tokens;
    bool has_reader = tokens != NULL || symbols->tokenizer != NULL || asked->numbers;
    if (status == MT_OK && !has_reader) {
        status = mt_fail(MT_ERROR_INVALID,
                         "%s: it has no token list to read text by (%s--tokenizer FILE, "
                         "--token-list FILE; %s: numbers)",
                         path, weights->config.vocab_size == BYTES ? "--unit byte, " : "",
                         asked->numbers_option);
    }
    if (status != MT_OK || tokens == NULL) {
        return status;
    }
    if (checkpoint->run_config != NULL) {
        status = read_config(checkpoint, path, symbols);
    } else {
        symbols->transcripts = strcmp(tokens->tokens[0], "<blank>") == 0;
        symbols->unit = strcmp(tokens->tokens[0], "<0x00>") == 0 ? MT_TEXT_BYTE : MT_TEXT_CHAR;
        symbols->words = are_words(tokens);
    }
    return status == MT_OK ? take_options(asked, symbols) : status;
}

void symbols_free(text_symbols *symbols)
{
    mt_token_list_destroy(symbols->own);
    tokenizer_close(symbols->tokenizer);
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
    if (symbols->tokenizer != NULL) {
        return tokenizer_encode(symbols->tokenizer, text, strlen(text), ids, count);
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

bool symbols_need_start(const text_symbols *symbols, int64_t count)
{
    return symbols->transcripts || count == 0;
}

mt_status symbols_one(const text_symbols *symbols, const char *token, int32_t *symbol)
{
    const mt_token_list *tokens = symbols->numbers ? NULL : symbols->tokens;
    *symbol = tokens != NULL ? mt_token_find(tokens, token, strlen(token)) : -1;
    mt_status status =
        symbols->tokenizer != NULL ? tokenizer_find(symbols->tokenizer, token, symbol) : MT_OK;
    if (status != MT_OK) {
        return status;
    }
    if (*symbol >= 0) { /* as the list spells it: <blank> */
        return MT_OK;
    }
    if (tokens != NULL && symbols->transcripts) { /* in which it would be read as <unk> */
        return mt_fail(MT_ERROR_INVALID, "'%s' is not in the token list", token);
    }
    int32_t *ids = NULL;
    int64_t count = 0;
    status = symbols_of(symbols, token, &ids, &count);
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
