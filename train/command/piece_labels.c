#include "train/command/piece_labels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = sizeof(uint32_t) };

/* The process is on the same machine, which is little-endian. */
bool pieces_next(piece_reader *reader, const char **piece, size_t *length)
{
    uint32_t bytes;
    size_t left = (size_t)(reader->end - reader->at);
    if (left < LENGTH_BYTES) {
        return false;
    }
    memcpy(&bytes, reader->at, LENGTH_BYTES);
    if (bytes > left - LENGTH_BYTES) {
        return false;
    }
    *piece = reader->at + LENGTH_BYTES;
    *length = bytes;
    reader->at = *piece + bytes;
    return true;
}

static mt_status ask_pieces(tokenizer_process *process, char asked, const char *text, size_t size,
                            char **bytes, piece_reader *reader)
{
    size_t length = 0;
    mt_status status = tokenizer_process_ask(process, asked, text, size, bytes, &length);
    *reader = status == MT_OK ? (piece_reader){*bytes, *bytes + length} : (piece_reader){0};
    return status;
}

mt_status pieces_of_all(tokenizer_process *process, char **bytes, piece_reader *reader)
{
    return ask_pieces(process, 'P', "", 0, bytes, reader);
}

static int64_t count_pieces(piece_reader reader)
{
    const char *piece;
    size_t length;
    int64_t count = 0;
    while (pieces_next(&reader, &piece, &length)) {
        count++;
    }
    return count;
}

/* Ends each piece with a zero byte, in the first byte of the length behind it, and in that behind
 * all, which an answer has. */
static mt_status make_list(piece_reader reader, mt_token_list **list)
{
    int64_t count = count_pieces(reader);
    const char **tokens = calloc((size_t)count + 1, sizeof *tokens);
    size_t length;
    if (tokens == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " tokens", count);
    }
    for (int64_t i = 0; i < count; i++) {
        char *before = (char *)(uintptr_t)reader.at;
        (void)pieces_next(&reader, &tokens[i], &length);
        before[0] = '\0';
    }
    mt_status status = mt_token_list_create((int32_t)count, tokens, list);
    free(tokens);
    return status;
}

mt_status piece_labels_make_list(tokenizer_process *process, mt_token_list **list)
{
    char *bytes;
    piece_reader reader;
    *list = NULL;
    mt_status status = ask_pieces(process, 'V', "", 0, &bytes, &reader);
    if (status == MT_OK) {
        status = make_list(reader, list);
    }
    free(bytes);
    return status;
}

/* Marks the labels of pieces, and gives how many pieces have one. */
static int64_t mark_labels(piece_reader reader, const mt_token_list *list, bool *marked)
{
    const char *piece;
    size_t length;
    int64_t found = 0;
    while (pieces_next(&reader, &piece, &length)) {
        int32_t label = mt_token_find(list, piece, length);
        if (label >= 0) {
            marked[label] = true;
            found++;
        }
    }
    return found;
}

static bool is_symbol(const char *token)
{
    return token[0] == '<' && token[strlen(token) - 1] == '>';
}

static mt_status check_labels(piece_reader reader, const char *name, const mt_token_list *list,
                              bool *marked)
{
    int64_t pieces = count_pieces(reader), found = mark_labels(reader, list, marked);
    for (int32_t i = 0; i < list->count; i++) {
        if (!marked[i] && !is_symbol(list->tokens[i])) {
            return mt_fail(MT_ERROR_INVALID,
                           "%s: not the tokenizer of the token list, whose token %" PRId32
                           ", '%.64s', is no piece of it",
                           name, i, list->tokens[i]);
        }
    }
    return 2 * found >= pieces
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "%s: not the tokenizer of the token list, which has %" PRId64
                         " of its %" PRId64 " pieces",
                         name, found, pieces);
}

mt_status piece_labels_check(tokenizer_process *process, const char *name,
                             const mt_token_list *list)
{
    char *bytes;
    piece_reader reader;
    mt_status status = pieces_of_all(process, &bytes, &reader);
    if (status == MT_OK) {
        bool *marked = calloc((size_t)list->count, sizeof *marked);
        status = marked != NULL
                     ? check_labels(reader, name, list, marked)
                     : mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId32 " labels", list->count);
        free(marked);
    }
    free(bytes);
    return status;
}

/* Once each, and whole: one that is too long for a message is left out. */
static void add_unknown(const char *piece, size_t length, unknown_pieces *unknown)
{
    enum { MOST_NAMED = 4, MOST_BYTES = 32 };
    char name[MOST_BYTES + sizeof "''"];
    if (unknown->count == MOST_NAMED || length > MOST_BYTES) {
        return;
    }
    snprintf(name, sizeof name, "'%.*s'", (int)length, piece);
    if (strstr(unknown->names, name) == NULL) {
        size_t used = strlen(unknown->names);
        snprintf(unknown->names + used, sizeof unknown->names - used, "%s%s",
                 unknown->count > 0 ? ", " : "", name);
        unknown->count++;
    }
}

static mt_status find_label(const mt_token_list *list, const char *piece, size_t length,
                            unknown_pieces *unknown, int32_t *label)
{
    *label = mt_token_find(list, piece, length);
    if (*label < 0) {
        *label = mt_token_find(list, "<unk>", strlen("<unk>"));
        add_unknown(piece, length, unknown);
    }
    return *label >= 0
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "the piece '%.*s' is not in the token list, nor is <unk>",
                         length < 64 ? (int)length : 64, piece);
}

mt_status piece_labels_encode(tokenizer_process *process, const mt_token_list *list,
                              const char *text, size_t size, unknown_pieces *unknown,
                              int32_t **labels, int64_t *count)
{
    char *bytes;
    const char *piece;
    size_t length;
    piece_reader reader;
    *labels = NULL;
    *count = 0;
    mt_status status = ask_pieces(process, 'S', text, size, &bytes, &reader);
    if (status == MT_OK) {
        int64_t pieces = count_pieces(reader);
        *labels = malloc((size_t)(pieces + 1) * sizeof **labels);
        status = *labels != NULL
                     ? MT_OK
                     : mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " labels", pieces);
    }
    while (status == MT_OK && pieces_next(&reader, &piece, &length)) {
        status = find_label(list, piece, length, unknown, &(*labels)[(*count)++]);
    }
    free(bytes);
    if (status != MT_OK) {
        free(*labels);
        *labels = NULL;
    }
    return status;
}

mt_status piece_labels_decode(tokenizer_process *process, const mt_token_list *list,
                              const int32_t *labels, int count, char **text, size_t *length)
{
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size += LENGTH_BYTES + strlen(list->tokens[labels[i]]);
    }
    char *pieces = malloc(size + 1), *at = pieces;
    *text = NULL;
    if (pieces == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes of pieces", size);
    }
    for (int i = 0; i < count; i++) {
        const char *piece = list->tokens[labels[i]];
        uint32_t bytes = (uint32_t)strlen(piece);
        memcpy(at, &bytes, LENGTH_BYTES);
        memcpy(at + LENGTH_BYTES, piece, bytes);
        at += LENGTH_BYTES + bytes;
    }
    mt_status status = tokenizer_process_ask(process, 'J', pieces, size, text, length);
    free(pieces);
    return status;
}
