#include "train/command/measure_documents.h"

#include "io/token_unknown.h"
#include "train/command/lines.h"
#include "train/command/progress.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MOST_SYMBOLS = 1 << 20 }; /* that wait */

static void add_score(file_measure *measure, const mt_score *score)
{
    measured *sums = &measure->sums;
    sums->score.log_likelihood += score->log_likelihood;
    sums->score.counted += score->counted;
    sums->score.hits += score->hits;
    sums->documents++;
}

/* Now and then a line, `so_far` being of the document at work. */
static void show_progress(file_measure *measure, const mt_score *so_far)
{
    const double interval = 5.0;
    const mt_score *sums = &measure->sums.score;
    int64_t counted = sums->counted + so_far->counted;
    if (clock_seconds() - measure->told >= interval && counted > 0) {
        print_line(stderr, "%" PRId64 " symbols, loss %.4f", counted,
                   -(sums->log_likelihood + so_far->log_likelihood) / (double)counted);
        measure->told = clock_seconds();
    }
}

void measure_forget(file_measure *measure)
{
    for (int i = 0; i < measure->waiting; i++) {
        free((int32_t *)(uintptr_t)measure->sequences[i].labels);
        free(measure->names[i]);
    }
    measure->waiting = 0;
    measure->waiting_count = 0;
}

mt_status measure_waiting(file_measure *measure)
{
    mt_score scores[MOST_WAITING];
    mt_status status =
        mt_scorer_score(measure->scorer, measure->waiting, measure->sequences, scores);
    for (int i = 0; i < measure->waiting && status == MT_OK; i++) {
        add_score(measure, &scores[i]);
        if (measure->tell != NULL) {
            status =
                measure->tell(measure->context, measure->names[i], &scores[i], measure->unknown[i]);
        }
    }
    measure_forget(measure);
    show_progress(measure, &(mt_score){0.0});
    return status;
}

/* Of an utterance; other documents are of what the vocabulary has. */
static int64_t count_unknown(file_measure *measure, const int32_t *ids, int64_t count)
{
    int64_t unknown = mt_token_count_unknown(measure->symbols->tokens, ids, count);
    measure->sums.unknown += unknown;
    measure->sums.with_unknown += unknown > 0;
    return unknown;
}

mt_status measure_document(file_measure *measure, char *name, int32_t *ids, int64_t count)
{
    int64_t unknown = name != NULL ? count_unknown(measure, ids, count) : 0;
    int32_t *longer = ids;
    if (measure->end >= 0) {
        longer = realloc(ids, (size_t)(count + 1) * sizeof *ids);
        ids = longer != NULL ? longer : ids;
    }
    if (longer == NULL && (measure->end >= 0 || count > 0)) {
        free(ids);
        free(name);
        return mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " symbols", count);
    }
    if (measure->end >= 0) {
        ids[count++] = measure->end;
    }
    measure->names[measure->waiting] = name;
    measure->unknown[measure->waiting] = unknown;
    measure->sequences[measure->waiting++] = (mt_sequence){ids, count};
    measure->waiting_count += count;
    bool many = measure->waiting == MOST_WAITING || measure->waiting_count > MOST_SYMBOLS;
    return many ? measure_waiting(measure) : MT_OK;
}

static mt_status score_pieces(file_measure *measure, int64_t count, measure_read *read,
                              void *source, int32_t *ids)
{
    mt_score score = {0.0};
    mt_status status = mt_scorer_begin(measure->scorer);
    for (int64_t at = 0; at < count && status == MT_OK; at += MEASURE_PIECE) {
        int64_t length = count - at < MEASURE_PIECE ? count - at : MEASURE_PIECE;
        status = read(source, at, length, ids);
        if (status == MT_OK) {
            status = mt_scorer_add(measure->scorer, length, ids, &score);
        }
        show_progress(measure, &score);
    }
    if (status == MT_OK && measure->end >= 0) {
        status = mt_scorer_add(measure->scorer, 1, &measure->end, &score);
    }
    add_score(measure, &score);
    return status;
}

mt_status measure_long_document(file_measure *measure, int64_t count, measure_read *read,
                                void *source)
{
    int32_t *ids = malloc(MEASURE_PIECE * sizeof *ids);
    mt_status status = ids != NULL
                           ? measure_waiting(measure)
                           : mt_fail(MT_ERROR_MEMORY, "no memory for %d symbols", MEASURE_PIECE);
    if (status == MT_OK) {
        status = score_pieces(measure, count, read, source, ids);
    }
    free(ids);
    return status;
}
