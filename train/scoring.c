#include <mixtape/scoring.h>
#include <mixtape/stream.h>
#include <mixtape/wkv.h>

#include "io/arrays.h"
#include "kernels/null.h"
#include "train/stream_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum {
    MOST_LOGITS = 1 << 24, /* of one call, where nobody says otherwise: 64 MiB of float32, */
    MOST_WINDOW = 256,     /* but no more steps or sequences than matrix products profit from */
    MOST_BATCH = 16,
    UNCOUNTED = -1
};

struct mt_scorer {
    mt_model *model;
    int32_t start, last;  /* the label before the next one of a sequence in pieces; -1: none */
    int64_t window, rows; /* of the stream that short sequences share */
    int64_t least_rows;   /* of any stream, of which a sequence in pieces has the first */
    mt_stream *shared, *single;
    int32_t *input, *target; /* of one call */
    void *logits;
    double *wide; /* those of a step */
};

/* Labels that are counted, behind one. */
typedef struct piece {
    int32_t before;
    const int32_t *labels;
    int64_t count;
} piece;

/* ---- its life ---- */

mt_scoring mt_scoring_default(int32_t start)
{
    return (mt_scoring){.start = start};
}

static mt_status check(const mt_model_config *config, const mt_scoring *scoring)
{
    if (config->vocab_size == 0 || config->output_size == 0) {
        return mt_fail(MT_ERROR_INVALID, "scoring: the model has no %s",
                       config->vocab_size == 0 ? "labels" : "head");
    }
    if (scoring->start < -1 || scoring->start >= config->vocab_size) {
        return mt_fail(MT_ERROR_INVALID,
                       "scoring: the start symbol %" PRId32 ", not in 0 .. %" PRId64,
                       scoring->start, config->vocab_size - 1);
    }
    if (scoring->window < 0 || scoring->window > config->context_size || scoring->batch < 0 ||
        scoring->batch > INT32_MAX) {
        return mt_fail(MT_ERROR_INVALID,
                       "scoring: a window of %" PRId64 ", at most the context_size %" PRId64
                       ", and a batch of %" PRId64,
                       scoring->window, config->context_size, scoring->batch);
    }
    return MT_OK;
}

static int64_t clamp(int64_t value, int64_t most)
{
    return value < 1 ? 1 : value < most ? value : most;
}

/* How many rows go through WKV together, and how many steps of them. */
static void choose_sizes(const mt_scoring *scoring, mt_scorer *scorer)
{
    const mt_model_config *config = &scorer->model->config;
    int64_t most_steps = MOST_LOGITS / config->output_size;
    int64_t most_window = clamp(config->context_size, MOST_WINDOW);
    scorer->least_rows = stream_least_rows(config);
    scorer->window =
        scoring->window > 0 ? scoring->window : clamp(most_steps / scorer->least_rows, most_window);
    int64_t batch =
        scoring->batch > 0 ? scoring->batch : clamp(most_steps / scorer->window, MOST_BATCH);
    scorer->rows = (batch + scorer->least_rows - 1) / scorer->least_rows * scorer->least_rows;
}

static mt_status open_scorer(mt_scorer *scorer)
{
    const mt_model *model = scorer->model;
    size_t V = (size_t)model->config.output_size, size = mt_dtype_size(model->parameters->dtype);
    size_t steps = (size_t)scorer->rows * (size_t)scorer->window;
    mt_status status = mt_stream_create(scorer->model, scorer->rows, &scorer->shared);
    if (status == MT_OK) {
        status = mt_stream_create(scorer->model, scorer->least_rows, &scorer->single);
    }
    if (status != MT_OK) {
        return status;
    }
    bool fits = steps <= SIZE_MAX / 2 / V / size;
    scorer->input = fits ? malloc(steps * sizeof *scorer->input) : NULL;
    scorer->target = fits ? malloc(steps * sizeof *scorer->target) : NULL;
    scorer->logits = fits ? malloc(steps * V * size) : NULL;
    scorer->wide = malloc(V * sizeof *scorer->wide);
    bool whole = scorer->input != NULL && scorer->target != NULL && scorer->logits != NULL &&
                 scorer->wide != NULL;
    return whole ? MT_OK
                 : mt_fail(MT_ERROR_MEMORY,
                           "scoring: no memory for %" PRId64 " by %" PRId64 " steps of %zu logits",
                           scorer->rows, scorer->window, V);
}

mt_status mt_scorer_create(mt_model *model, const mt_scoring *scoring, mt_scorer **scorer)
{
    *scorer = NULL;
    if (model == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check(&model->config, scoring);
    mt_scorer *made = status == MT_OK ? calloc(1, sizeof *made) : NULL;
    if (made == NULL) {
        return status != MT_OK ? status : mt_fail(MT_ERROR_MEMORY, "scoring: no memory for it");
    }
    made->model = model;
    made->start = made->last = scoring->start;
    choose_sizes(scoring, made);
    status = open_scorer(made);
    if (status != MT_OK) {
        mt_scorer_destroy(made);
        return status;
    }
    *scorer = made;
    return MT_OK;
}

void mt_scorer_destroy(mt_scorer *scorer)
{
    if (scorer != NULL) {
        mt_stream_destroy(scorer->shared);
        mt_stream_destroy(scorer->single);
        free(scorer->input);
        free(scorer->target);
        free(scorer->logits);
        free(scorer->wide);
        free(scorer);
    }
}

/* ---- a call of the model ---- */

/* Adds what the softmax of V logits says of a label. */
static mt_status add_label(const double *logits, int64_t V, int32_t label, mt_score *score)
{
    int64_t best = 0;
    double others = 0.0; /* beside the likeliest, of which e^0 is 1 */
    for (int64_t i = 1; i < V; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    for (int64_t i = 0; i < V; i++) {
        others += i != best ? exp(logits[i] - logits[best]) : 0.0;
    }
    double value = logits[label] - logits[best] - log1p(others);
    score->log_likelihood += value;
    score->counted++;
    score->hits += best == label;
    return isfinite(value)
               ? MT_OK
               : mt_fail(MT_ERROR_NUMERIC,
                         "scoring: the logarithm of label %" PRId32 "'s probability is %g", label,
                         value);
}

/* Puts the steps from `first` on of pieces into rows; what is beyond them is fed as 0. */
static void fill(mt_scorer *scorer, int64_t rows, int64_t count, const piece *pieces, int64_t first,
                 int64_t T)
{
    for (int64_t b = 0; b < rows; b++) {
        int64_t length = b < count ? pieces[b].count : 0;
        for (int64_t t = 0; t < T; t++) {
            int64_t at = first + t;
            bool inside = at < length;
            int32_t before = !inside ? 0 : at == 0 ? pieces[b].before : pieces[b].labels[at - 1];
            scorer->input[b * T + t] = before;
            scorer->target[b * T + t] = inside ? pieces[b].labels[at] : UNCOUNTED;
        }
    }
}

static mt_status add_logits(const mt_scorer *scorer, int64_t count, int64_t T, mt_score *scores)
{
    mt_dtype dtype = scorer->model->parameters->dtype;
    int64_t V = scorer->model->config.output_size;
    size_t width = (size_t)V * mt_dtype_size(dtype);
    mt_status status = MT_OK;
    for (int64_t i = 0; i < count * T && status == MT_OK; i++) {
        int32_t label = scorer->target[i];
        if (label != UNCOUNTED) {
            const char *logits = (const char *)scorer->logits + (size_t)i * width;
            mt_convert_reals(dtype, logits, MT_F64, scorer->wide, V);
            status = add_label(scorer->wide, V, label, &scores[i / T]);
        }
    }
    return status;
}

/* Scores pieces that begin where the stream's rows are. */
static mt_status score_pieces(mt_scorer *scorer, mt_stream *stream, int64_t rows, int64_t count,
                              const piece *pieces, mt_score *scores)
{
    int64_t longest = 0;
    mt_status status = MT_OK;
    for (int64_t b = 0; b < count; b++) {
        longest = pieces[b].count > longest ? pieces[b].count : longest;
    }
    for (int64_t first = 0; first < longest && status == MT_OK; first += scorer->window) {
        int64_t T = longest - first < scorer->window ? longest - first : scorer->window;
        fill(scorer, rows, count, pieces, first, T);
        status = mt_stream_feed(stream, T, scorer->input, T, scorer->logits);
        if (status == MT_OK) {
            status = add_logits(scorer, count, T, scores);
        }
    }
    return status;
}

/* ---- sequences ---- */

static mt_status check_labels(const mt_scorer *scorer, int64_t count, const int32_t *labels)
{
    const mt_model_config *config = &scorer->model->config;
    int64_t most =
        config->output_size < config->vocab_size ? config->output_size : config->vocab_size;
    for (int64_t i = 0; i < count; i++) {
        if (labels[i] < 0 || labels[i] >= most) {
            return mt_fail(MT_ERROR_INVALID,
                           "scoring: label %" PRId64 " is %" PRId32 ", not in 0 .. %" PRId64, i,
                           labels[i], most - 1);
        }
    }
    return MT_OK;
}

mt_status mt_scorer_begin(mt_scorer *scorer)
{
    if (scorer == NULL) {
        return mt_fail_null(__func__);
    }
    scorer->last = scorer->start;
    return mt_stream_reset(scorer->single, MT_EVERY_ROW);
}

/* Without a start symbol the first label is context alone. */
static piece piece_of(int32_t before, const int32_t *labels, int64_t count)
{
    return before >= 0 || count == 0 ? (piece){before, labels, count}
                                     : (piece){labels[0], labels + 1, count - 1};
}

mt_status mt_scorer_add(mt_scorer *scorer, int64_t count, const int32_t *labels, mt_score *score)
{
    if (scorer == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check_labels(scorer, count, labels);
    if (status != MT_OK || count <= 0) {
        return status;
    }
    piece next = piece_of(scorer->last, labels, count);
    scorer->last = labels[count - 1];
    return score_pieces(scorer, scorer->single, scorer->least_rows, 1, &next, score);
}

/* How many of the sequences, from the first on, fit the shared stream together. */
static int64_t count_shared(const mt_scorer *scorer, int64_t count, const mt_sequence *sequences)
{
    int64_t shared = 0;
    while (shared < count && shared < scorer->rows && sequences[shared].count <= scorer->window) {
        shared++;
    }
    return shared;
}

static mt_status score_shared(mt_scorer *scorer, int64_t count, const mt_sequence *sequences,
                              piece *pieces, mt_score *scores)
{
    mt_status status = mt_stream_reset(scorer->shared, MT_EVERY_ROW);
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        pieces[i] = piece_of(scorer->start, sequences[i].labels, sequences[i].count);
        status = check_labels(scorer, sequences[i].count, sequences[i].labels);
    }
    return status == MT_OK
               ? score_pieces(scorer, scorer->shared, scorer->rows, count, pieces, scores)
               : status;
}

static mt_status score_alone(mt_scorer *scorer, const mt_sequence *sequence, mt_score *score)
{
    mt_status status = mt_scorer_begin(scorer);
    return status == MT_OK ? mt_scorer_add(scorer, sequence->count, sequence->labels, score)
                           : status;
}

mt_status mt_scorer_score(mt_scorer *scorer, int64_t count, const mt_sequence *sequences,
                          mt_score *scores)
{
    if (scorer == NULL) {
        return mt_fail_null(__func__);
    }
    piece *pieces = malloc((size_t)scorer->rows * sizeof *pieces);
    mt_status status = pieces != NULL
                           ? MT_OK
                           : mt_fail(MT_ERROR_MEMORY,
                                     "scoring: no memory for %" PRId64 " sequences", scorer->rows);
    for (int64_t i = 0, shared; i < count && status == MT_OK; i += shared > 0 ? shared : 1) {
        shared = count_shared(scorer, count - i, sequences + i);
        for (int64_t j = i; j < i + (shared > 0 ? shared : 1); j++) {
            scores[j] = (mt_score){0.0};
        }
        status = shared > 1 ? score_shared(scorer, shared, sequences + i, pieces, scores + i)
                            : score_alone(scorer, &sequences[i], &scores[i]);
    }
    free(pieces);
    return status;
}
