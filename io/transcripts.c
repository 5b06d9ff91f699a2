#include <mixtape/transcripts.h>

#include "io/input.h"
#include "io/transcripts_files.h"
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

static mt_status encode(const mt_transcript_labels *labels, const char *text, mt_transcript *item)
{
    if (labels->encode == NULL) {
        return mt_token_encode(labels->tokens, labels->unit, text, &item->labels, &item->length);
    }
    const char *begin = mt_utf8_skip_blanks(text), *end = mt_utf8_before_blanks(text);
    return labels->encode(labels->context, begin, end > begin ? (size_t)(end - begin) : 0,
                          &item->labels, &item->length);
}

/* Splits a line into its utterance and its text, and encodes that. */
static mt_status parse_line(mt_transcripts *transcripts, char *line,
                            const mt_transcript_labels *labels)
{
    size_t length = mt_utf8_word_length(line);
    if (length == 0) {
        return mt_fail(MT_ERROR_FORMAT, "no utterance id at the start of the line");
    }
    mt_transcript *item = &transcripts->items[transcripts->count];
    const char *text = line + length;
    mt_status status = encode(labels, text, item);
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

/* Cuts a file's text into lines, in place, behind those that were read. */
static mt_status parse(const mt_file_bytes *file, const mt_transcript_labels *labels,
                       mt_transcripts *transcripts)
{
    int64_t number = 1, before = transcripts->count;
    for (char *line = file->bytes + mt_utf8_mark(file->bytes, file->size); *line != '\0';
         number++) {
        char *next = mt_input_cut_line(line);
        mt_status status = parse_line(transcripts, line, labels);
        if (status != MT_OK) {
            return mt_fail(status, "%s: line %" PRId64 ": %s", file->name, number,
                           mt_error_message());
        }
        line = next;
    }
    return transcripts->count > before
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: no transcript in the file", file->name);
}

static int compare_utterances(const void *a, const void *b)
{
    const mt_transcript *const *left = a, *const *right = b;
    return strcmp((*left)->utterance, (*right)->utterance);
}

/* Finds an utterance that is there twice, or NULL, among `sorted`, with room for all. */
static const char *find_repeated(const mt_transcripts *transcripts, const mt_transcript **sorted)
{
    size_t count = (size_t)transcripts->count;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &transcripts->items[i];
    }
    qsort(sorted, count, sizeof(mt_transcript *), compare_utterances);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i - 1]->utterance, sorted[i]->utterance) == 0) {
            return sorted[i]->utterance;
        }
    }
    return NULL;
}

static mt_status check_utterances(const mt_file_bytes *files, int64_t count,
                                  const mt_transcripts *transcripts)
{
    const mt_transcript **sorted = malloc((size_t)transcripts->count * sizeof *sorted);
    if (sorted == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %" PRId64 " transcripts", files->name,
                       transcripts->count);
    }
    const char *repeated = find_repeated(transcripts, sorted);
    free(sorted);
    return repeated == NULL ? MT_OK
           : count == 1     ? mt_fail(MT_ERROR_FORMAT, "%s: the utterance '%s' is there twice",
                                      files->name, repeated)
                            : mt_fail(MT_ERROR_FORMAT,
                                      "%s and %" PRId64 " more: the utterance '%s' is there twice",
                                      files->name, count - 1, repeated);
}

static mt_status read_all(const mt_file_bytes *files, int64_t count,
                          const mt_transcript_labels *labels, mt_transcripts *made)
{
    int64_t lines = 0;
    for (int64_t i = 0; i < count; i++) {
        mt_status status = mt_input_check_lines(files[i].name, files[i].bytes, files[i].size);
        if (status != MT_OK) {
            return status;
        }
        lines += count_lines(files[i].bytes);
    }
    made->items = calloc((size_t)lines, sizeof *made->items);
    if (made->items == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its transcripts", files->name);
    }
    mt_status status = MT_OK;
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        status = parse(&files[i], labels, made);
    }
    return status == MT_OK ? check_utterances(files, count, made) : status;
}

mt_status mt_transcripts_read(const mt_file_bytes *files, int64_t count,
                              const mt_transcript_labels *labels, mt_transcripts **transcripts)
{
    mt_transcripts *made = calloc(1, sizeof *made);
    *transcripts = NULL;
    mt_status status =
        made != NULL ? read_all(files, count, labels, made)
                     : mt_fail(MT_ERROR_MEMORY, "%s: no memory for its transcripts", files->name);
    if (status != MT_OK) {
        mt_transcripts_destroy(made);
        return status;
    }
    *transcripts = made;
    return MT_OK;
}

mt_status mt_transcripts_load(const char *path, const mt_token_list *tokens, mt_token_unit unit,
                              mt_transcripts **transcripts)
{
    mt_file_bytes file = {.name = path};
    *transcripts = NULL;
    if (tokens == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_file_read(path, &file.bytes, &file.size);
    if (status == MT_OK) {
        status = mt_transcripts_read(
            &file, 1, &(mt_transcript_labels){.tokens = tokens, .unit = unit}, transcripts);
        free(file.bytes);
    }
    return status;
}
