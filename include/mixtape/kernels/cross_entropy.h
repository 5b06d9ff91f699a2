/* Softmax cross-entropy of logits (N, V) against targets (N), int32, averaged over the rows whose
 * target is not `ignore_index`. With label smoothing s the target distribution is
 * (1 - s) onehot + s / V, as in PyTorch. Probabilities are never stored.
 *
 *     loss[n] = lse[n] - (1 - s) logits[n][target] - s mean(logits[n]),   lse = log sum exp
 *
 * Where every row is ignored the loss is 0 and its gradient zero. A target outside 0 .. V-1 that is
 * not ignore_index is MT_ERROR_INVALID, of this call or, on a device that runs behind, of the next
 * one that waits; the loss is NaN there. */
#ifndef MIXTAPE_KERNELS_CROSS_ENTROPY_H
#define MIXTAPE_KERNELS_CROSS_ENTROPY_H

#include <stdint.h>

typedef struct mt_cross_entropy_forward_args {
    int64_t N, V;
    int32_t ignore_index;
    double label_smoothing;
    const void *logits;
    const int32_t *targets;
    void *loss;  /* (1): the mean over counted rows */
    void *lse;   /* (N), for backward */
    void *stats; /* (2): rows counted; rows whose largest logit (first of equals) is the target */
} mt_cross_entropy_forward_args;

/* dlogits[n] = dloss / count (softmax(logits[n]) - (1 - s) onehot - s / V), zero in ignored
 * rows. */
typedef struct mt_cross_entropy_backward_args {
    int64_t N, V;
    int32_t ignore_index;
    double label_smoothing;
    const void *logits;
    const int32_t *targets;
    const void *lse, *stats;
    const void *dloss; /* (1) */
    void *dlogits;     /* (N, V) */
} mt_cross_entropy_backward_args;

#endif
