/* Texts cut into tokens, as ESPnet's reader of transcripts and its tokenizers of characters and
 * words cut them. */
#include "io/token_whole.h"
#include "io/utf8.h"
#include "kernels/null.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void mt_token_list_forget_whole(mt_token_list *list)
{
    for (int32_t i = 0; i < list->whole_count; i++) {
        free(list->whole[i]);
    }
    free(list->whole);
    list->whole = NULL;
    list->whole_count = 0;
}

mt_status mt_token_list_keep_whole(mt_token_list *list, int32_t count, const char *const *symbols)
{
    if (list == NULL) {
        return mt_fail_null(__func__);
    }
    mt_token_list_forget_whole(list);
    list->whole = calloc((size_t)count + 1, sizeof *list->whole);
    bool whole = list->whole != NULL;
    for (int32_t i = 0; i < count && whole; i++) {
        list->whole[i] = strdup(symbols[i]);
        whole = list->whole[i] != NULL;
        list->whole_count += whole;
    }
    return whole ? MT_OK
                 : mt_fail(MT_ERROR_MEMORY, "token list: no memory for %" PRId32 " symbols", count);
}

/* Appends the id of one token. */
static mt_status append(const mt_token_list *list, const char *token, size_t length, int32_t *ids,
                        int64_t *count)
{
    int32_t id = mt_token_find(list, token, length);
    if (id < 0) {
        id = mt_token_find(list, "<unk>", strlen("<unk>"));
    }
    if (id < 0) {
        return mt_fail(MT_ERROR_FORMAT, "the token '%.*s' is not in the token list, nor is <unk>",
                       (int)length, token);
    }
    ids[(*count)++] = id;
    return MT_OK;
}

/* The length of a symbol in brackets, without blanks, that the text begins with and the list has,
 * as <noise> and [laugh]; 0: there is none. What the list itself marks with is none. */
static size_t bracketed_length(const mt_token_list *list, const char *text)
{
    enum { LONGEST = 64 };
    static const char opening[] = "<[{(", closing[] = ">]})";
    static const char *const marks[] = {"<blank>", "<space>", "<sos/eos>"};
    const char *bracket = strchr(opening, text[0]);
    if (bracket == NULL) {
        return 0;
    }
    const char *end = memchr(text, closing[bracket - opening], strnlen(text, LONGEST));
    size_t symbol = end != NULL ? (size_t)(end - text) + 1 : 0;
    bool is_token = symbol > 0 && mt_token_find(list, text, symbol) >= 0;
    for (size_t i = 0; i < sizeof marks / sizeof *marks && is_token; i++) {
        is_token = strlen(marks[i]) != symbol || memcmp(marks[i], text, symbol) != 0;
    }
    return is_token ? symbol : 0;
}

/* The length of the longest symbol to be kept whole that the text begins with; 0: none. */
static size_t whole_length(const mt_token_list *list, const char *text)
{
    size_t longest = 0;
    for (int32_t i = 0; i < list->whole_count; i++) {
        size_t length = strlen(list->whole[i]);
        bool begins = length > longest && strncmp(list->whole[i], text, length) == 0;
        longest = begins ? length : longest;
    }
    return longest;
}

/* Appends the token that the text begins with, in bytes up to its end, and returns its length. */
static mt_status append_character(const mt_token_list *list, const char *text, size_t *length,
                                  int32_t *ids, int64_t *count)
{
    utf8proc_int32_t character;
    size_t symbol = list->whole_count > 0 ? whole_length(list, text) : bracketed_length(list, text);
    *length = symbol;
    if (symbol == 0 && text[0] == ' ') {
        *length = 1;
        return append(list, "<space>", strlen("<space>"), ids, count);
    }
    if (symbol == 0) {
        *length = (size_t)utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &character);
    }
    return append(list, text, *length, ids, count);
}

/* What stands between the blanks at both ends. */
static mt_status append_characters(const mt_token_list *list, const char *text, int32_t *ids,
                                   int64_t *count)
{
    const char *at = mt_utf8_skip_blanks(text), *end = mt_utf8_before_blanks(text);
    mt_status status = MT_OK;
    for (size_t length; at < end && status == MT_OK; at += length) {
        status = append_character(list, at, &length, ids, count);
    }
    return status;
}

static mt_status append_words(const mt_token_list *list, const char *text, int32_t *ids,
                              int64_t *count)
{
    mt_status status = MT_OK;
    const char *word = mt_utf8_skip_blanks(text);
    while (*word != '\0' && status == MT_OK) {
        size_t length = mt_utf8_word_length(word);
        status = append(list, word, length, ids, count);
        word = mt_utf8_skip_blanks(word + length);
    }
    return status;
}

mt_status mt_token_encode(const mt_token_list *list, mt_token_unit unit, const char *text,
                          int32_t **ids, int64_t *count)
{
    *count = 0;
    *ids = NULL;
    if (list == NULL) {
        return mt_fail_null(__func__);
    }
    if (*mt_utf8_end(text) != '\0') {
        return mt_fail(MT_ERROR_FORMAT, "byte %td of the text is not UTF-8",
                       mt_utf8_end(text) - text);
    }
    *ids = malloc((strlen(text) + 1) * sizeof **ids); /* a token is at least one byte of the text */
    if (*ids == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "token list: no memory for %zu ids", strlen(text) + 1);
    }
    mt_status status = unit == MT_TOKEN_CHAR ? append_characters(list, text, *ids, count)
                                             : append_words(list, text, *ids, count);
    if (status != MT_OK) {
        free(*ids);
        *ids = NULL;
    }
    return status;
}
