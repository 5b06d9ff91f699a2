#include <mixtape/token_list.h>

#include "io/input.h"
#include "io/token_whole.h"
#include "io/utf8.h"
#include "kernels/null.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void mt_token_list_destroy(mt_token_list *list)
{
    if (list == NULL) {
        return;
    }
    for (int32_t i = 0; list->tokens != NULL && i < list->count; i++) {
        free(list->tokens[i]);
    }
    free(list->tokens);
    free(list->sorted);
    mt_token_list_forget_whole(list);
    free(list);
}

static int compare_ids(const void *a, const void *b, void *context)
{
    const mt_token_list *list = context;
    return strcmp(list->tokens[*(const int32_t *)a], list->tokens[*(const int32_t *)b]);
}

/* Sorts, and refuses a token that is empty or there twice. */
static mt_status make_index(mt_token_list *list)
{
    for (int32_t i = 0; i < list->count; i++) {
        if (list->tokens[i][0] == '\0') {
            return mt_fail(MT_ERROR_INVALID, "token list: the token %" PRId32 " is empty", i);
        }
        list->sorted[i] = i;
    }
    qsort_r(list->sorted, (size_t)list->count, sizeof *list->sorted, compare_ids, list);
    for (int32_t i = 1; i < list->count; i++) {
        int32_t a = list->sorted[i - 1], b = list->sorted[i];
        if (strcmp(list->tokens[a], list->tokens[b]) == 0) {
            return mt_fail(MT_ERROR_INVALID,
                           "token list: '%s' is there twice, as %" PRId32 " and %" PRId32,
                           list->tokens[a], a < b ? a : b, a < b ? b : a);
        }
    }
    return MT_OK;
}

mt_status mt_token_list_create(int32_t count, const char *const *tokens, mt_token_list **list)
{
    *list = NULL;
    mt_token_list *made = calloc(1, sizeof *made);
    bool whole = made != NULL;
    if (whole) {
        made->count = count;
        made->tokens = calloc((size_t)count + 1, sizeof *made->tokens);
        made->sorted = calloc((size_t)count + 1, sizeof *made->sorted);
        whole = made->tokens != NULL && made->sorted != NULL;
    }
    for (int32_t i = 0; whole && i < count; i++) {
        made->tokens[i] = strdup(tokens[i]);
        whole = made->tokens[i] != NULL;
    }
    mt_status status =
        whole ? make_index(made)
              : mt_fail(MT_ERROR_MEMORY, "token list: no memory for %" PRId32 " tokens", count);
    if (status != MT_OK) {
        mt_token_list_destroy(made);
        return status;
    }
    *list = made;
    return MT_OK;
}

/* The length of a line without the blanks and the carriage return at its end, which ESPnet drops
 * too; a first character that is a blank is the token. */
static size_t stripped_length(const char *line)
{
    size_t length = strlen(line);
    while (length > 1 && strchr(" \t\r", line[length - 1]) != NULL) {
        length--;
    }
    return length == 1 && line[0] == '\r' ? 0 : length;
}

/* Cuts the file's text into its lines, in place; a final newline ends the last line. */
static mt_status cut_lines(const char *path, char *text, size_t size, const char **lines,
                           int32_t *count)
{
    mt_status status = mt_input_check_lines(path, text, size);
    if (status != MT_OK) {
        return status;
    }
    *count = 0;
    for (char *line = text + mt_utf8_mark(text, size); *line != '\0';) {
        char *next = mt_input_cut_line(line);
        line[stripped_length(line)] = '\0';
        if (*line == '\0') {
            return mt_fail(MT_ERROR_FORMAT, "%s: line %" PRId32 " is empty", path, *count + 1);
        }
        if (*mt_utf8_end(line) != '\0') {
            return mt_fail(MT_ERROR_FORMAT, "%s: line %" PRId32 " is not UTF-8", path, *count + 1);
        }
        lines[(*count)++] = line;
        line = next;
    }
    return *count > 0 ? MT_OK : mt_fail(MT_ERROR_FORMAT, "%s: the file is empty", path);
}

mt_status mt_token_list_load(const char *path, mt_token_list **list)
{
    char *text;
    size_t size;
    *list = NULL;
    mt_status status = mt_file_read(path, &text, &size);
    if (status != MT_OK) {
        return status;
    }
    const char **lines = calloc(size / 2 + 2, sizeof *lines); /* a line is two bytes at least */
    int32_t count = 0;
    status = lines == NULL      ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for its lines", path)
             : size > INT32_MAX ? mt_fail(MT_ERROR_FORMAT,
                                          "%s: %zu bytes are too many for a token list", path, size)
                                : cut_lines(path, text, size, lines, &count);
    if (status == MT_OK) {
        status = mt_token_list_create(count, lines, list);
        if (status == MT_ERROR_INVALID) {
            status =
                mt_fail(MT_ERROR_FORMAT, "%s: %s (ids count from 0)", path, mt_error_message());
        }
    }
    free(lines);
    free(text);
    return status;
}

/* A token that need not end in a zero byte. */
typedef struct token_key {
    const mt_token_list *list;
    const char *token;
    size_t length;
} token_key;

static int compare_key(const void *key, const void *element)
{
    const token_key *wanted = key;
    const char *token = wanted->list->tokens[*(const int32_t *)element];
    size_t length = strlen(token);
    int order = memcmp(wanted->token, token, wanted->length < length ? wanted->length : length);
    return order != 0 ? order : (wanted->length > length) - (wanted->length < length);
}

int32_t mt_token_find(const mt_token_list *list, const char *token, size_t length)
{
    if (list == NULL) {
        return -1;
    }
    token_key key = {list, token, length};
    const int32_t *found =
        bsearch(&key, list->sorted, (size_t)list->count, sizeof *list->sorted, compare_key);
    return found != NULL ? *found : -1;
}
