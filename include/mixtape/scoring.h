/* Log-likelihoods of sequences of labels by a language model: for perplexities, and for rescoring.
 *
 *     mt_scorer *scorer;
 *     mt_scoring scoring = mt_scoring_default(0);   behind the blank, as transcripts are learnt
 *     mt_sequence sequence = {labels, count};
 *     mt_score score;
 *     mt_status status = mt_scorer_create(model, &scoring, &scorer);
 *     if (status == MT_OK) {
 *         status = mt_scorer_score(scorer, 1, &sequence, &score);
 *     }
 *     mt_scorer_destroy(scorer);
 *
 * The log-likelihood of labels y[0], ..., y[n-1] behind a start symbol is
 *
 *     sum over t of ln softmax(logits[t])[y[t]]
 *
 * with the logits of step t those that the model gives for the start symbol and y[0], ..., y[t-1].
 * Every label is counted once, with all that comes before it in its sequence as context, however
 * long that is: the state is carried from call to call. There is no end symbol but what the labels
 * hold. Softmax and sums are computed in float64. */
#ifndef MIXTAPE_SCORING_H
#define MIXTAPE_SCORING_H

#include <mixtape/api.h>
#include <mixtape/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_scoring {
    int32_t start;  /* what is fed before a sequence, as ESPnet's blank, 0; -1: nothing, and a
                       sequence's first label is not counted, as nothing tells it */
    int64_t window; /* steps of one call, at most the model's context_size; 0: chosen by memory */
    int64_t batch;  /* short sequences of one call, at most; 0: chosen by memory */
} mt_scoring;

/* With a start symbol, or -1; window and batch are chosen. */
MT_API mt_scoring mt_scoring_default(int32_t start);

typedef struct mt_sequence {
    const int32_t *labels;
    int64_t count; /* may be 0 */
} mt_sequence;

typedef struct mt_score {
    double log_likelihood; /* in nats */
    int64_t counted;       /* labels that it is the sum over, */
    int64_t hits;          /* and those that were the likeliest */
} mt_score;

typedef struct mt_scorer mt_scorer;

/* MT_ERROR_INVALID for a model without a head or labels, a start symbol that it has not, a window
 * that is longer than its context_size, a batch below 0; MT_ERROR_MEMORY. `*scorer` is NULL after
 * a failure; the caller destroys it. The model outlives it, and serves one thread with it. */
MT_API mt_status mt_scorer_create(mt_model *model, const mt_scoring *scoring, mt_scorer **scorer);
MT_API void mt_scorer_destroy(mt_scorer *scorer); /* NULL is allowed */

/* Scores sequences, which are apart from one another: neighbours that fit a window go through the
 * model together. How they do changes no more than rounding. MT_ERROR_INVALID, with the place, for
 * a label that the model has not; MT_ERROR_NUMERIC for a score that is not finite. After a failure
 * the scores are undefined. */
MT_API mt_status mt_scorer_score(mt_scorer *scorer, int64_t count, const mt_sequence *sequences,
                                 mt_score *scores);

/* Begins a sequence that comes in pieces, and adds the score of its next labels to `score`. */
MT_API mt_status mt_scorer_begin(mt_scorer *scorer);
MT_API mt_status mt_scorer_add(mt_scorer *scorer, int64_t count, const int32_t *labels,
                               mt_score *score);

#ifdef __cplusplus
}
#endif

#endif
