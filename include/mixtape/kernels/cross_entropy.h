/* Softmax cross-entropy of logits (N, V) against targets (N), int32, averaged over the rows whose
 * target is not `ignore_index`. With label smoothing s the target distribution is (1 - s) onehot +
 * s / V, as in PyTorch. Probabilities are never stored.
 *
 *     loss[n] = lse[n] - (1 - s) logits[n][target] - s mean(logits[n]),   lse = log sum exp
 *
 * L2Wrap, of RWKV-LM, adds to the gradient what the loss does not show: l2wrap dloss / count times
 * the largest logit of each counted row, at the first place where it stands. So the gradient is
 * that of
 *
 *     loss + l2wrap / 2 mean(max(logits[n])^2)   over counted rows
 *
 * All but the logits and their gradient are wide (kernels/list.h). Where every row is ignored the
 * loss is 0 and its gradient zero. A target outside 0 .. V-1 that is not ignore_index is
 * MT_ERROR_INVALID, of this call or, on a device that runs behind, of the next one that waits; the
 * loss is NaN there. */
#ifndef MIXTAPE_KERNELS_CROSS_ENTROPY_H
#define MIXTAPE_KERNELS_CROSS_ENTROPY_H

#include <stdint.h>

/* What a row adds to the sums; nothing, where it is ignored. */
typedef struct mt_cross_entropy_row {
    double loss;
    int32_t counted, hit;
} mt_cross_entropy_row;

typedef struct mt_cross_entropy_forward_args {
    int64_t N, V;
    int32_t ignore_index;
    double label_smoothing;
    const void *logits;
    const int32_t *targets;
    void *loss;   /* (1): the mean over counted rows; NULL with stats */
    void *lse;    /* (N), for backward */
    void *stats;  /* (2): rows counted; rows whose largest logit (first of equals) is the target */
    int32_t *top; /* (N), or NULL: where the largest logit stands first, for l2wrap */

    /* Of rows that come block by block, a call for each: */
    mt_cross_entropy_row *rows; /* (N), for cross_entropy_total */
    int64_t first_row;          /* the place of the first row among all, for messages */
} mt_cross_entropy_forward_args;

/* The loss and the stats of N rows, whose results calls of forward left; `share`, or NULL: receives
 * (1), 1 / count, or 0 where every row is ignored. */
typedef struct mt_cross_entropy_total_args {
    int64_t N;
    const mt_cross_entropy_row *rows;
    void *loss, *stats, *share;
} mt_cross_entropy_total_args;

/* dlogits[n] = dloss / count (softmax(logits[n]) - (1 - s) onehot - s / V), zero in ignored rows;
 * with `top`, L2Wrap's part too. dlogits may be logits. */
typedef struct mt_cross_entropy_backward_args {
    int64_t N, V;
    int32_t ignore_index;
    double label_smoothing;
    const void *logits;
    const int32_t *targets;
    const void *lse, *stats;
    const int32_t *top; /* forward's; NULL where l2wrap is 0 */
    double l2wrap;
    const void *dloss; /* (1) */
    void *dlogits;     /* (N, V) */
} mt_cross_entropy_backward_args;

#endif
