#include "train/command/measure.h"

#include "io/input.h"
#include "io/text_files.h"
#include "io/token_pieces.h"
#include "io/token_unknown.h"
#include "io/utf8.h"
#include "train/command/measure_documents.h"
#include "train/command/progress.h"
#include "train/command/utterance_text.h"
#include "train/data_files.h"
#include "train/id_files.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- how much text they are ---- */

static mt_status text_of_one(const text_symbols *symbols, int32_t symbol, symbol_text *text)
{
    if (symbols->tokenizer != NULL) {
        return tokenizer_alone(symbols->tokenizer, symbol, &text->bytes, &text->length);
    }
    symbols_text(symbols, symbol, text);
    return MT_OK;
}

/* What the symbols stand for, without the first where that is context alone. */
static mt_status add_counts(file_measure *measure, mt_text_counts counts, const int32_t *ids,
                            int64_t count)
{
    mt_text_counts *sums = &measure->sums.counts;
    symbol_text first;
    if (measure->start < 0 && count > 0) {
        mt_status status = text_of_one(measure->symbols, ids[0], &first);
        if (status != MT_OK) {
            return status;
        }
        mt_text_counts uncounted = mt_text_count(first.bytes, first.length);
        counts.bytes -= uncounted.bytes;
        counts.characters -= uncounted.characters;
    }
    if (!measure->sums.has_text) {
        *sums = (mt_text_counts){.is_text = true};
        measure->sums.has_text = true;
    }
    sums->bytes += counts.bytes;
    sums->is_text = sums->is_text && counts.is_text;
    sums->characters += counts.characters;
    sums->words += counts.words;
    return MT_OK;
}

/* ---- text ---- */

static mt_status read_text(void *source, int64_t at, int64_t count, int32_t *ids)
{
    const mt_text *text = source;
    memcpy(ids, text->ids + at, (size_t)count * sizeof *ids);
    return MT_OK;
}

/* The symbols of a file, of which a byte order mark, `mark` bytes, is no part. */
static mt_status encode_file(const text_symbols *symbols, const mt_file_bytes *file, size_t mark,
                             mt_text *text)
{
    if (symbols->tokenizer == NULL) {
        return mt_text_encode_file(file, symbols->unit, symbols->tokens, text);
    }
    mt_status status = tokenizer_encode(symbols->tokenizer, file->bytes + mark, file->size - mark,
                                        &text->ids, &text->length);
    return status == MT_OK ? MT_OK : mt_fail(status, "%s: %s", file->name, mt_error_message());
}

static mt_status measure_text(file_measure *measure, const mt_file_bytes *file)
{
    mt_text text;
    const text_symbols *symbols = measure->symbols;
    bool marked = symbols->tokenizer != NULL || symbols->unit == MT_TEXT_CHAR;
    size_t mark = marked ? mt_utf8_mark(file->bytes, file->size) : 0;
    mt_status status = encode_file(symbols, file, mark, &text);
    if (status != MT_OK) {
        return status;
    }
    status = add_counts(measure, mt_text_count(file->bytes + mark, file->size - mark), text.ids,
                        text.length);
    if (status == MT_OK && text.length <= MEASURE_PIECE) {
        return measure_document(measure, NULL, text.ids, text.length);
    }
    if (status == MT_OK) {
        status = measure_long_document(measure, text.length, read_text, &text);
    }
    mt_text_destroy(&text);
    return status;
}

/* ---- transcripts ---- */

/* A line, of which the text is changed. */
static mt_status measure_utterance(file_measure *measure, char *line, bool pieces)
{
    size_t length = mt_utf8_word_length(line);
    int32_t *ids;
    int64_t count;
    if (length == 0) {
        return mt_fail(MT_ERROR_FORMAT, "no utterance id at the start of the line");
    }
    char *text = line + length;
    /* The blanks around it are no part of a text, nor of what a tokenizer splits. */
    if (!measure->symbols->transcripts || measure->symbols->tokenizer != NULL) {
        text = utterance_text(measure->symbols, text, false);
    }
    if (measure->symbols->tokenizer != NULL) {
        measure->sums.with_marks += mt_text_has_piece_mark(text, strlen(text));
    }
    mt_status status = symbols_of(measure->symbols, text, &ids, &count);
    if (status != MT_OK) {
        return status;
    }
    text = utterance_text(measure->symbols, text, pieces);
    status = add_counts(measure, mt_text_count(text, strlen(text)), ids, count);
    if (status != MT_OK) {
        free(ids);
        return status;
    }
    char *name = strndup(line, length);
    if (name == NULL) {
        free(ids);
        return mt_fail(MT_ERROR_MEMORY, "no memory for an utterance id of %zu bytes", length);
    }
    return measure_document(measure, name, ids, count);
}

static mt_status measure_transcripts(file_measure *measure, const mt_file_bytes *file)
{
    const text_symbols *symbols = measure->symbols;
    bool pieces = symbols->words && mt_token_list_has_pieces(symbols->tokens);
    int64_t number = 1;
    mt_status status = mt_input_check_lines(file->name, file->bytes, file->size);
    if (status != MT_OK) {
        return status;
    }
    for (char *line = file->bytes + mt_utf8_mark(file->bytes, file->size); *line != '\0';) {
        char *next = mt_input_cut_line(line);
        status = measure_utterance(measure, line, pieces);
        if (status != MT_OK) {
            return mt_fail(status, "%s: line %" PRId64 ": %s", file->name, number,
                           mt_error_message());
        }
        line = next;
        number++;
    }
    return status;
}

/* ---- ids ---- */

/* A document of files of ids. */
typedef struct ids_document {
    mt_token_ids *ids;
    int64_t first, vocabulary;
} ids_document;

static mt_status read_ids(void *source, int64_t at, int64_t count, int32_t *ids)
{
    const ids_document *document = source;
    return mt_token_ids_read(document->ids, document->first + at, count, document->vocabulary, ids);
}

static mt_status measure_ids_document(file_measure *measure, mt_token_ids *ids, mt_ids_span span)
{
    ids_document document = {ids, span.first, measure->symbols->count};
    if (span.count > MEASURE_PIECE) {
        return measure_long_document(measure, span.count, read_ids, &document);
    }
    int32_t *values = malloc((size_t)(span.count + 1) * sizeof *values);
    mt_status status = values != NULL
                           ? read_ids(&document, 0, span.count, values)
                           : mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " ids", span.count);
    if (status != MT_OK) {
        free(values);
        return status;
    }
    return measure_document(measure, NULL, values, span.count);
}

static mt_status measure_ids(file_measure *measure, const file_list *files)
{
    mt_token_ids *ids;
    mt_status status = id_files_open(files, measure->ids_type, &ids);
    if (status != MT_OK) {
        return status;
    }
    for (int64_t d = 0; d < mt_token_ids_documents(ids) && status == MT_OK; d++) {
        status = measure_ids_document(measure, ids, mt_token_ids_document(ids, d));
    }
    mt_token_ids_close(ids);
    return status == MT_OK ? measure_waiting(measure) : status;
}

/* ---- the kinds ---- */

typedef mt_status measure_one(file_measure *measure, const mt_file_bytes *file);

static const struct {
    const char *name;
    measure_one *measure; /* NULL: files of ids are measured together */
} kinds[] = {{"text", measure_text}, {"tokens", measure_transcripts}, {"ids", NULL}};

enum { KINDS = sizeof kinds / sizeof *kinds };

static int find_kind(const char *kind)
{
    int i = 0;
    while (i < KINDS && strcmp(kinds[i].name, kind) != 0) {
        i++;
    }
    return i;
}

const char measure_kinds[] = "text|tokens|ids";

bool measure_has_kind(const char *kind)
{
    return find_kind(kind) < KINDS;
}

/* A file at a time, each in memory. */
static mt_status measure_file(file_measure *measure, measure_one *measure_it, char *name)
{
    data_files read;
    file_list one = {1, &name};
    mt_status status = data_files_read(&one, &read);
    for (int64_t i = 0; i < read.count && status == MT_OK; i++) {
        status = measure_it(measure, &read.files[i]);
    }
    data_files_free(&read);
    return status;
}

static mt_status measure_texts(file_measure *measure, measure_one *measure_it,
                               const file_list *names)
{
    file_list files = {0};
    mt_status status = file_list_walk(names, &files);
    for (int64_t i = 0; i < files.count && status == MT_OK; i++) {
        status = measure_file(measure, measure_it, files.names[i]);
    }
    file_list_clear(&files);
    return status == MT_OK ? measure_waiting(measure) : status;
}

static mt_status check_sums(const file_measure *measure, const file_list *files)
{
    const char *first = files->names[0], *more = files->count > 1 ? " ..." : "";
    const measured *sums = &measure->sums;
    const text_symbols *symbols = measure->symbols;
    if (sums->score.counted == 0) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s%s: in %" PRId64 " document%s there is no symbol to measure%s", first,
                       more, sums->documents, sums->documents == 1 ? "" : "s",
                       measure->start < 0 ? " (a document's first is context alone)" : "");
    }
    if (symbols->tokens != NULL && 2 * sums->with_marks > sums->documents) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s%s: %" PRId64 " of %" PRId64 " transcripts have '" MT_PIECE_MARK
                       "', so they are split into pieces already (--unit word)",
                       first, more, sums->with_marks, sums->documents);
    }
    double share = (double)sums->unknown / (double)sums->score.counted;
    bool cut_otherwise = sums->unknown > 0 && !symbols->words && symbols->tokenizer == NULL &&
                         mt_token_list_has_pieces(symbols->tokens);
    return share <= mt_token_most_unknown(cut_otherwise)
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "%s%s: %.1f %% of the symbols are not in the token list (%s)", first, more,
                         100.0 * share,
                         cut_otherwise ? "name its model of SentencePiece, --bpemodel, or split "
                                         "them before and take --unit word"
                                       : "are they cut as --unit has it?");
}

mt_status measure_files(file_measure *measure, const char *kind, const file_list *files)
{
    measure_one *measure_it = kinds[find_kind(kind)].measure;
    measure->told = clock_seconds();
    mt_status status = measure_it != NULL ? measure_texts(measure, measure_it, files)
                                          : measure_ids(measure, files);
    measure_forget(measure);
    return status == MT_OK ? check_sums(measure, files) : status;
}
