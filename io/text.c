#include <mixtape/text.h>

#include "io/input.h"
#include "io/text_files.h"
#include "io/utf8.h"
#include "kernels/null.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { CODE_POINTS = 0x110000, BYTES = 256 };

static mt_status next_character(const char *bytes, size_t size, size_t at, size_t *length,
                                int32_t *character)
{
    utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)bytes + at,
                                             (utf8proc_ssize_t)(size - at), character);
    if (used < 0) {
        return mt_fail(MT_ERROR_FORMAT, "byte %zu is not UTF-8", at);
    }
    *length = (size_t)used;
    return MT_OK;
}

/* Marks a file's characters. */
static mt_status mark_characters(const mt_file_bytes *file, bool *seen)
{
    int32_t character;
    if (mt_input_check_text(file->bytes, file->size) != MT_OK) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %s", file->name, mt_error_message());
    }
    for (size_t at = mt_utf8_mark(file->bytes, file->size), length = 0; at < file->size;
         at += length) {
        mt_status status = next_character(file->bytes, file->size, at, &length, &character);
        if (status == MT_OK && character == 0) {
            status = mt_fail(MT_ERROR_FORMAT, "a zero byte at %zu", at);
        }
        if (status != MT_OK) { /* a vocabulary of bytes could still be made */
            return mt_fail(status, "%s: %s (read it as bytes, --unit byte)", file->name,
                           mt_error_message());
        }
        seen[character] = true;
    }
    return MT_OK;
}

/* Forgets the marks of those that the vocabulary has, if there is one. */
static void unmark_known(const mt_token_list *vocabulary, bool *seen)
{
    for (int32_t i = 0; vocabulary != NULL && i < vocabulary->count; i++) {
        const char *token = vocabulary->tokens[i];
        int32_t character;
        utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)token, -1, &character);
        if (length > 0 && token[length] == '\0') {
            seen[character] = false;
        }
    }
}

/* Fills in the known tokens, and behind them the characters that are marked, by their code
 * points, of which the bytes stand in `texts`. */
static void fill_tokens(const mt_token_list *known, const bool *seen, char (*texts)[8],
                        const char **tokens)
{
    int32_t i = 0;
    for (; known != NULL && i < known->count; i++) {
        tokens[i] = known->tokens[i];
    }
    for (int32_t c = 0; c < CODE_POINTS; c++) {
        if (seen[c]) {
            utf8proc_encode_char(c, (utf8proc_uint8_t *)texts[i]);
            tokens[i] = texts[i];
            i++;
        }
    }
}

/* Puts the vocabulary with the marked characters in the place of the one without, or of none. */
static mt_status list_characters(const bool *seen, mt_token_list **vocabulary)
{
    mt_token_list *known = *vocabulary, *made = NULL;
    int32_t count = known != NULL ? known->count : 0;
    for (int32_t c = 0; c < CODE_POINTS; c++) {
        count += seen[c];
    }
    char(*texts)[8] = calloc((size_t)count + 1, sizeof *texts);
    const char **tokens = calloc((size_t)count + 1, sizeof *tokens);
    mt_status status = MT_OK;
    if (texts != NULL && tokens != NULL) {
        fill_tokens(known, seen, texts, tokens);
        status = mt_token_list_create(count, tokens, &made);
    } else {
        status = mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId32 " characters", count);
    }
    if (status == MT_OK) {
        mt_token_list_destroy(known);
        *vocabulary = made;
    }
    free(texts);
    free(tokens);
    return status;
}

static mt_status character_vocabulary(const mt_file_bytes *files, int64_t count,
                                      mt_token_list **vocabulary)
{
    bool *seen = calloc(CODE_POINTS, sizeof *seen);
    if (seen == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %d flags", CODE_POINTS);
    }
    mt_status status = MT_OK;
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        status = mark_characters(&files[i], seen);
    }
    if (status == MT_OK) {
        unmark_known(*vocabulary, seen);
        status = list_characters(seen, vocabulary);
    }
    free(seen);
    return status;
}

static mt_status byte_vocabulary(mt_token_list **vocabulary)
{
    char texts[BYTES][8];
    const char *tokens[BYTES];
    for (int i = 0; i < BYTES; i++) {
        snprintf(texts[i], sizeof texts[i], "<0x%02X>", (unsigned)i);
        tokens[i] = texts[i];
    }
    return mt_token_list_create(BYTES, tokens, vocabulary);
}

bool mt_text_is_of_bytes(const mt_token_list *vocabulary)
{
    return vocabulary->count == BYTES && strcmp(vocabulary->tokens[0], "<0x00>") == 0;
}

mt_status mt_text_vocabulary(const mt_file_bytes *files, int64_t count, mt_text_unit unit,
                             mt_token_list **vocabulary)
{
    if (unit == MT_TEXT_CHAR) {
        return character_vocabulary(files, count, vocabulary);
    }
    return *vocabulary == NULL ? byte_vocabulary(vocabulary) : MT_OK;
}

static mt_status encode_characters(const char *bytes, size_t size, const mt_token_list *vocabulary,
                                   mt_text *text)
{
    mt_status told = mt_input_check_text(bytes, size);
    if (told != MT_OK) {
        return told;
    }
    for (size_t at = mt_utf8_mark(bytes, size), length = 0; at < size; at += length) {
        int32_t character;
        mt_status status = next_character(bytes, size, at, &length, &character);
        if (status != MT_OK) {
            return status;
        }
        int32_t id = mt_token_find(vocabulary, bytes + at, length);
        if (id < 0) {
            return mt_fail(MT_ERROR_FORMAT,
                           "the character U+%04" PRIX32
                           " at byte %zu is not in the model's vocabulary",
                           (uint32_t)character, at);
        }
        text->ids[text->length++] = id;
    }
    return MT_OK;
}

mt_status mt_text_encode(const char *bytes, size_t size, mt_text_unit unit,
                         const mt_token_list *vocabulary, mt_text *text)
{
    *text = (mt_text){.ids = NULL};
    if (vocabulary == NULL) {
        return mt_fail_null(__func__);
    }
    if (unit == MT_TEXT_BYTE && vocabulary->count != BYTES) {
        return mt_fail(MT_ERROR_INVALID,
                       "bytes need a vocabulary of %d, and the model's has %" PRId32 " symbols",
                       BYTES, vocabulary->count);
    }
    text->ids = malloc((size + 1) * sizeof *text->ids);
    if (text->ids == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %zu symbols", size);
    }
    mt_status status = MT_OK;
    if (unit == MT_TEXT_CHAR) {
        status = encode_characters(bytes, size, vocabulary, text);
    } else {
        for (; text->length < (int64_t)size; text->length++) {
            text->ids[text->length] = (unsigned char)bytes[text->length];
        }
    }
    if (status != MT_OK) {
        mt_text_destroy(text);
    }
    return status;
}

void mt_text_destroy(mt_text *text)
{
    free(text->ids);
    *text = (mt_text){0};
}

/* Every byte, for pointers to one. */
#define FOUR(b)    (char)(b), (char)((b) + 1), (char)((b) + 2), (char)((b) + 3)
#define SIXTEEN(b) FOUR(b), FOUR((b) + 4), FOUR((b) + 8), FOUR((b) + 12)
#define QUARTER(b) SIXTEEN(b), SIXTEEN((b) + 16), SIXTEEN((b) + 32), SIXTEEN((b) + 48)
static const char every_byte[BYTES] = {QUARTER(0), QUARTER(64), QUARTER(128), QUARTER(192)};

const char *mt_text_decode(const mt_token_list *vocabulary, mt_text_unit unit, int32_t id,
                           size_t *length)
{
    *length = unit == MT_TEXT_BYTE ? 1 : strlen(vocabulary->tokens[id]);
    return unit == MT_TEXT_BYTE ? &every_byte[id] : vocabulary->tokens[id];
}

mt_status mt_text_encode_file(const mt_file_bytes *file, mt_text_unit unit,
                              const mt_token_list *vocabulary, mt_text *text)
{
    mt_status status = mt_text_encode(file->bytes, file->size, unit, vocabulary, text);
    return status == MT_OK ? MT_OK : mt_fail(status, "%s: %s", file->name, mt_error_message());
}

bool mt_text_is_empty(const mt_file_bytes *file, mt_text_unit unit)
{
    size_t mark = unit == MT_TEXT_CHAR ? mt_utf8_mark(file->bytes, file->size) : 0;
    return file->size == mark;
}

/* Encodes with the vocabulary that is given, or with the file's own, which is given then. */
static mt_status load(const mt_file_bytes *file, mt_text_unit unit, mt_token_list **vocabulary,
                      mt_text *text)
{
    bool given = *vocabulary != NULL;
    if (mt_text_is_empty(file, unit)) {
        return mt_fail(MT_ERROR_FORMAT, "%s: the file is empty", file->name);
    }
    mt_status status = given ? MT_OK : mt_text_vocabulary(file, 1, unit, vocabulary);
    if (status == MT_OK) {
        status = mt_text_encode_file(file, unit, *vocabulary, text);
    }
    if (status != MT_OK && !given) {
        mt_token_list_destroy(*vocabulary);
        *vocabulary = NULL;
    }
    return status;
}

mt_status mt_text_load(const char *path, mt_text_unit unit, mt_token_list **vocabulary,
                       mt_text *text)
{
    mt_file_bytes file = {.name = path};
    *text = (mt_text){.ids = NULL};
    mt_status status = mt_file_read(path, &file.bytes, &file.size);
    if (status == MT_OK) {
        status = load(&file, unit, vocabulary, text);
        free(file.bytes);
    }
    return status;
}
