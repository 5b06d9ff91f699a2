#include <mixtape/transcripts.h>

#include "io/file.h"
#include "io/utf8.h"
#include "kernels/null.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void mt_transcripts_destroy(mt_transcripts *transcripts)
{
    if (transcripts == NULL) {
        return;
    }
    for (int64_t i = 0; i < transcripts->count; i++) {
        free(transcripts->items[i].utterance);
        free(transcripts->items[i].labels);
    }
    free(transcripts->items);
    free(transcripts);
}

static int64_t count_lines(const char *text)
{
    int64_t lines = 1;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    return lines;
}

/* Splits a line into its utterance and its text, and encodes that. */
static mt_status parse_line(mt_transcripts *transcripts, char *line, const mt_token_list *tokens,
                            mt_token_unit unit)
{
    size_t length = strcspn(line, " \t");
    if (length == 0) {
        return mt_fail(MT_ERROR_FORMAT, "no utterance id at the start of the line");
    }
    mt_transcript *item = &transcripts->items[transcripts->count];
    const char *text = line + length;
    mt_status status = mt_token_encode(tokens, unit, text, &item->labels, &item->length);
    if (status != MT_OK) {
        return mt_fail(status, "utterance %.*s: %s", length < 64 ? (int)length : 64, line,
                       mt_error_message());
    }
    item->utterance = strndup(line, length);
    transcripts->count++;
    if (item->utterance == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for an utterance id of %zu bytes", length);
    }
    if (item->length == 0) {
        free(item->utterance);
        free(item->labels);
        *item = (mt_transcript){0};
        transcripts->count--;
    }
    return MT_OK;
}

static mt_status parse(const char *path, char *text, const mt_token_list *tokens,
                       mt_token_unit unit, mt_transcripts *transcripts)
{
    int64_t number = 1;
    for (char *line = text + mt_utf8_mark(text, strlen(text)); *line != '\0'; number++) {
        size_t length = strcspn(line, "\n");
        char *next = line + length + (line[length] == '\n');
        line[length] = '\0';
        if (length > 0 && line[length - 1] == '\r') {
            line[length - 1] = '\0';
        }
        mt_status status = parse_line(transcripts, line, tokens, unit);
        if (status != MT_OK) {
            return mt_fail(status, "%s: line %" PRId64 ": %s", path, number, mt_error_message());
        }
        line = next;
    }
    return transcripts->count > 0 ? MT_OK
                                  : mt_fail(MT_ERROR_FORMAT, "%s: no transcript in the file", path);
}

static int compare_utterances(const void *a, const void *b)
{
    const mt_transcript *const *left = a, *const *right = b;
    return strcmp((*left)->utterance, (*right)->utterance);
}

static mt_status check_utterances(const char *path, const mt_transcripts *transcripts)
{
    size_t count = (size_t)transcripts->count;
    const mt_transcript **sorted = malloc(count * sizeof *sorted);
    if (sorted == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu transcripts", path, count);
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &transcripts->items[i];
    }
    qsort(sorted, count, sizeof(mt_transcript *), compare_utterances);
    mt_status status = MT_OK;
    for (size_t i = 1; i < count && status == MT_OK; i++) {
        if (strcmp(sorted[i - 1]->utterance, sorted[i]->utterance) == 0) {
            status = mt_fail(MT_ERROR_FORMAT, "%s: the utterance '%s' is there twice", path,
                             sorted[i]->utterance);
        }
    }
    free(sorted);
    return status;
}

mt_status mt_transcripts_load(const char *path, const mt_token_list *tokens, mt_token_unit unit,
                              mt_transcripts **transcripts)
{
    char *text;
    size_t size;
    *transcripts = NULL;
    if (tokens == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_file_read(path, &text, &size);
    if (status != MT_OK) {
        return status;
    }
    if (strlen(text) != size) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: a zero byte at %zu (not a text file?)", path,
                         strlen(text));
        free(text);
        return status;
    }
    mt_transcripts *made = calloc(1, sizeof *made);
    if (made != NULL) {
        made->items = calloc((size_t)count_lines(text), sizeof *made->items);
    }
    status = made != NULL && made->items != NULL
                 ? parse(path, text, tokens, unit, made)
                 : mt_fail(MT_ERROR_MEMORY, "%s: no memory for its transcripts", path);
    if (status == MT_OK) {
        status = check_utterances(path, made);
    }
    free(text);
    if (status != MT_OK) {
        mt_transcripts_destroy(made);
        return status;
    }
    *transcripts = made;
    return MT_OK;
}
