#include "train/command/tokenizer.h"

#include "io/world.h"
#include "train/command/lines.h"
#include "train/command/piece_labels.h"
#include "train/command/tokenizer_process.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct text_tokenizer {
    const char *name;
    /* One of the two is NULL. */
    mt_world *world;
    tokenizer_process *process;
    const mt_token_list *tokens; /* whose labels the ids are; NULL: they are the tokenizer's own */
    unknown_pieces unknown;
    char *text; /* of the tail that was looked at last */
};

mt_status tokenizer_open(const char *name, const char *bytes, size_t size,
                         text_tokenizer **tokenizer)
{
    text_tokenizer *made = calloc(1, sizeof *made);
    *tokenizer = NULL;
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", name, sizeof *made);
    }
    mt_status status;
    made->name = name;
    if (mt_world_is_list(bytes, size)) {
        status = mt_world_read(name, bytes, size, &made->world);
    } else {
        status = tokenizer_process_start(name, bytes, size, &made->process);
    }
    if (status != MT_OK) {
        tokenizer_close(made);
        return status;
    }
    *tokenizer = made;
    return MT_OK;
}

void tokenizer_close(text_tokenizer *tokenizer)
{
    if (tokenizer != NULL) {
        mt_world_destroy(tokenizer->world);
        tokenizer_process_end(tokenizer->process);
        free(tokenizer->text);
        free(tokenizer);
    }
}

int64_t tokenizer_size(const text_tokenizer *tokenizer)
{
    return tokenizer->tokens != NULL  ? tokenizer->tokens->count
           : tokenizer->world != NULL ? mt_world_size(tokenizer->world)
                                      : tokenizer_process_size(tokenizer->process);
}

mt_status tokenizer_check_size(const text_tokenizer *tokenizer, int64_t model)
{
    int64_t size = tokenizer_size(tokenizer);
    return size <= model ? MT_OK
                         : mt_fail(MT_ERROR_INVALID,
                                   "%s: it has %" PRId64 " ids, the model a vocabulary of %" PRId64,
                                   tokenizer->name, size, model);
}

/* Compares the piece of an id, if it has one, with the token of the same number. */
static mt_status check_token(const char *name, int32_t id, const char *piece, size_t length,
                             const char *token)
{
    bool is_same = length == 0 || (length == strlen(token) && memcmp(piece, token, length) == 0);
    return is_same ? MT_OK
                   : mt_fail(MT_ERROR_INVALID,
                             "--tokenizer %s: its id %" PRId32 " is '%.*s', in the model's token "
                             "list '%s' (leave it out, and give text cut into those tokens)",
                             name, id, (int)length, piece, token);
}

/* What the model learnt of an id would be taken for what it knows of another piece. */
static mt_status check_tokens(const text_tokenizer *tokenizer, const mt_token_list *tokens)
{
    char *bytes = NULL;
    piece_reader all = {0};
    int64_t size = tokenizer_size(tokenizer);
    mt_status status =
        tokenizer->world != NULL ? MT_OK : pieces_of_all(tokenizer->process, &bytes, &all);
    for (int32_t id = 0; id < tokens->count && id < size && status == MT_OK; id++) {
        const char *piece = "";
        size_t length = 0;
        if (tokenizer->world != NULL) {
            piece = mt_world_piece(tokenizer->world, id, &length);
        } else {
            (void)pieces_next(&all, &piece, &length);
        }
        status = check_token(tokenizer->name, id, piece, length, tokens->tokens[id]);
    }
    free(bytes);
    return status;
}

mt_status tokenizer_check_tokens(const text_tokenizer *tokenizer, const mt_token_list *tokens)
{
    return tokens != NULL ? check_tokens(tokenizer, tokens) : MT_OK;
}

static bool splits(const text_tokenizer *tokenizer)
{
    return tokenizer->process != NULL && tokenizer_process_splits(tokenizer->process);
}

mt_status tokenizer_take_tokens(text_tokenizer *tokenizer, const mt_token_list *tokens)
{
    mt_status status = tokenizer_check_tokens(tokenizer, tokens);
    if (status != MT_ERROR_INVALID || !splits(tokenizer)) {
        return status;
    }
    status = piece_labels_check(tokenizer->process, tokenizer->name, tokens);
    tokenizer->tokens = status == MT_OK ? tokens : NULL;
    return status;
}

mt_status tokenizer_make_tokens(const text_tokenizer *tokenizer, mt_token_list **tokens)
{
    return piece_labels_make_list(tokenizer->process, tokens);
}

mt_status tokenizer_check_splits(const text_tokenizer *tokenizer)
{
    return splits(tokenizer) ? MT_OK
                             : mt_fail(MT_ERROR_INVALID,
                                       "--bpemodel %s: it is no model of SentencePiece, which "
                                       "splits transcripts (--unit word: they are split already)",
                                       tokenizer->name);
}

void tokenizer_tell_note(const text_tokenizer *tokenizer)
{
    const char *note = tokenizer->process != NULL ? tokenizer_process_note(tokenizer->process) : "";
    if (note[0] != '\0') {
        print_line(stderr, "%s", note);
    }
}

void tokenizer_tell_other(const text_tokenizer *tokenizer, const mt_tokenizer_file *file,
                          const mt_tokenizer_file *own)
{
    if (own->bytes != NULL &&
        (own->size != file->size || memcmp(own->bytes, file->bytes, own->size) != 0)) {
        print_line(stderr, "--tokenizer %s: used instead of the model's own, which is another",
                   tokenizer->name);
    }
}

mt_status tokenizer_refuse_unit(const char *unit)
{
    return mt_fail(MT_ERROR_INVALID,
                   "--unit %s: text is read by a tokenizer, whose pieces are the symbols (leave it "
                   "out)",
                   unit);
}

/* The answer's ids; the process is on the same machine, which is little-endian. */
static mt_status ask_ids(text_tokenizer *tokenizer, char asked, const char *text, size_t bytes,
                         int32_t **ids, int64_t *count)
{
    char *answer;
    size_t length = 0;
    mt_status status =
        tokenizer_process_ask(tokenizer->process, asked, text, bytes, &answer, &length);
    *ids = (int32_t *)(void *)answer;
    *count = (int64_t)(length / sizeof **ids);
    int64_t size = tokenizer_size(tokenizer);
    for (int64_t i = 0; i < *count && status == MT_OK; i++) {
        if ((*ids)[i] < -1 || (*ids)[i] >= size) {
            status = mt_fail(MT_ERROR_FORMAT, "the tokenizer gives id %" PRId32 " of %" PRId64,
                             (*ids)[i], size);
        }
    }
    if (status != MT_OK) {
        free(answer);
        *ids = NULL;
    }
    return status;
}

mt_status tokenizer_encode(text_tokenizer *tokenizer, const char *text, size_t length,
                           int32_t **ids, int64_t *count)
{
    if (tokenizer->tokens != NULL) {
        return piece_labels_encode(tokenizer->process, tokenizer->tokens, text, length,
                                   &tokenizer->unknown, ids, count);
    }
    return tokenizer->world != NULL ? mt_world_encode(tokenizer->world, text, length, ids, count)
                                    : ask_ids(tokenizer, 'E', text, length, ids, count);
}

const char *tokenizer_unknown_pieces(const text_tokenizer *tokenizer)
{
    return tokenizer->unknown.names;
}

mt_status tokenizer_find(text_tokenizer *tokenizer, const char *token, int32_t *id)
{
    int32_t *ids;
    int64_t count;
    if (tokenizer->tokens != NULL) {
        *id = mt_token_find(tokenizer->tokens, token, strlen(token));
        return MT_OK;
    }
    if (tokenizer->world != NULL) {
        *id = mt_world_find(tokenizer->world, token, strlen(token));
        *id = *id < 0 && strcmp(token, "<|endoftext|>") == 0 ? 0 : *id; /* between documents */
        return MT_OK;
    }
    mt_status status = ask_ids(tokenizer, 'F', token, strlen(token), &ids, &count);
    if (status == MT_OK) {
        *id = count == 1 ? ids[0] : -1;
        free(ids);
    }
    return status;
}

/* ---- text as it comes ---- */

static mt_status decode_world(const mt_world *world, const int32_t *ids, int count, char **text,
                              size_t *length)
{
    size_t size;
    *length = 0;
    for (int i = 0; i < count; i++) {
        (void)mt_world_piece(world, ids[i], &size);
        *length += size;
    }
    *text = calloc(1, *length + 1);
    if (*text == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes of text", *length);
    }
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        const char *piece = mt_world_piece(world, ids[i], &size);
        if (piece != NULL) {
            memcpy(*text + at, piece, size);
        }
        at += size;
    }
    return MT_OK;
}

/* The text of the first `count` ids. */
static mt_status decode(const text_tokenizer *tokenizer, const tokenizer_tail *tail, int count,
                        char **text, size_t *length)
{
    *text = NULL;
    *length = 0;
    if (tokenizer->world != NULL) {
        return decode_world(tokenizer->world, tail->ids, count, text, length);
    }
    if (count > 0 && tokenizer->tokens != NULL) {
        return piece_labels_decode(tokenizer->process, tokenizer->tokens, tail->ids, count, text,
                                   length);
    }
    return count > 0 ? tokenizer_process_ask(tokenizer->process, 'D', tail->ids,
                                             (size_t)count * sizeof *tail->ids, text, length)
                     : MT_OK;
}

/* Tells if a text ends with U+FFFD, which stands for the first bytes of a character where a
 * tokenizer makes text of them. A World list gives the bytes themselves, which the output puts
 * together (lines.h). */
static bool ends_within(const char *text, size_t length)
{
    static const char replacement[] = {'\xEF', '\xBF', '\xBD'};
    return length >= sizeof replacement &&
           memcmp(text + length - sizeof replacement, replacement, sizeof replacement) == 0;
}

/* What the tail's ids add to the known ones; all of it, or nothing while it ends within a
 * character. */
static mt_status show(text_tokenizer *tokenizer, tokenizer_tail *tail, bool all, const char **bytes,
                      size_t *length)
{
    char *before;
    size_t skipped, total;
    *bytes = "";
    *length = 0;
    mt_status status = decode(tokenizer, tail, tail->known, &before, &skipped);
    if (status != MT_OK) {
        return status;
    }
    free(before);
    free(tokenizer->text);
    status = decode(tokenizer, tail, tail->count, &tokenizer->text, &total);
    if (status != MT_OK || tokenizer->text == NULL || total <= skipped ||
        (!all && ends_within(tokenizer->text, total))) {
        return status;
    }
    *bytes = tokenizer->text + skipped;
    *length = total - skipped;
    tail->count -= tail->known;
    memmove(tail->ids, tail->ids + tail->known, (size_t)tail->count * sizeof *tail->ids);
    tail->known = tail->count;
    return MT_OK;
}

mt_status tokenizer_next(text_tokenizer *tokenizer, tokenizer_tail *tail, int32_t id,
                         const char **bytes, size_t *length)
{
    if (tail->count == 2 * MOST_HELD) { /* of ids that show nothing */
        tail->count = tail->known = 0;
    }
    tail->ids[tail->count++] = id;
    bool all = tail->count - tail->known >= MOST_HELD;
    return show(tokenizer, tail, all, bytes, length);
}

mt_status tokenizer_rest(text_tokenizer *tokenizer, tokenizer_tail *tail, const char **bytes,
                         size_t *length)
{
    mt_status status = show(tokenizer, tail, true, bytes, length);
    tail->known = tail->count = 0;
    return status;
}

mt_status tokenizer_alone(text_tokenizer *tokenizer, int32_t id, const char **bytes, size_t *length)
{
    tokenizer_tail alone = {.ids = {id}, .count = 1};
    return tokenizer_rest(tokenizer, &alone, bytes, length);
}
