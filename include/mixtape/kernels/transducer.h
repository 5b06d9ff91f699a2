/* The transducer loss (Graves 2012, "Sequence Transduction with Recurrent Neural Networks", section
 * 2): minus the logarithm of the probability that a row of labels is emitted along its frames, by
 * any alignment. An alignment walks a lattice of nodes (t, u) from (0, 0): a blank takes it to (t +
 * 1, u), the next label to (t, u + 1), and the blank at (T - 1, U) ends it. With log p =
 * log_softmax(logits) and beta(t, u) the logarithm of the probability to get from a node to the
 * end,
 *
 *     beta(t,u) = logaddexp(log p_blank(t,u) + beta(t+1,u), log p_label[u](t,u) + beta(t,u+1))
 *     loss      = -beta(0,0)
 *     dlogits_k(t,u) = dloss (p_k (b + l) - [k = blank] b - [k = label[u]] l)
 *
 * where b and l are the posterior probabilities that an alignment leaves the node by a blank or by
 * its label: with alpha the logarithm of the probability to get to the node,
 *
 *     b = e^(alpha(t,u) + log p_blank(t,u) + beta(t+1,u) + loss)
 *     l = e^(alpha(t,u) + log p_label[u](t,u) + beta(t,u+1) + loss) (1 + fastemit_lambda)
 *
 * FastEmit (Yu et al. 2021, section 3) is that last factor: as in ESPnet's fork of warp-transducer
 * it weighs the gradient, and the loss stays what it is. alpha and beta are what forward keeps of a
 * node: with two logits, they tell the logarithm of the sum of e^logits, too (docs/mathematics.md).
 *
 * Losses and their gradients are wide (kernels/list.h). All sums along the lattice are in float64.
 * A row that no alignment has a probability for has an infinite loss and a gradient that is not a
 * number. All arrays are contiguous, on one device. */
#ifndef MIXTAPE_KERNELS_TRANSDUCER_H
#define MIXTAPE_KERNELS_TRANSDUCER_H

#include <mixtape/api.h>
#include <mixtape/error.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the sums along the lattice need of a node's V probabilities: log p_blank and log p_label,
 * which has no meaning behind a row's last label. */
typedef struct mt_transducer_node {
    double blank, label;
} mt_transducer_node;

/* Row b has frames[b] of the T frames and label_lengths[b] of the U labels. What lies beyond is
 * never read, and has the gradient zero. */
typedef struct mt_transducer_forward_args {
    int64_t B, T, U, V;
    int32_t blank;
    const void *logits;           /* (B, T, U + 1, V) */
    const int32_t *labels;        /* (B, U); NULL where U is 0 */
    const int32_t *frames;        /* (B), in 1 .. T */
    const int32_t *label_lengths; /* (B), in 0 .. U */
    void *losses;                 /* (B), written */
    double *betas;             /* (B, T, U + 1), written, zero beyond the lengths: for backward */
    double *alphas;            /* the same, or NULL if there will be no backward */
    mt_transducer_node *nodes; /* (B, T, U + 1): memory to work in */
} mt_transducer_forward_args;

typedef struct mt_transducer_backward_args {
    int64_t B, T, U, V;
    int32_t blank;
    double fastemit_lambda; /* 0: the gradient of the loss */
    const void *logits;     /* as forward had them */
    const int32_t *labels, *frames, *label_lengths;
    const double *betas, *alphas; /* as forward left them */
    const void *dlosses;          /* (B) */
    void *dlogits;                /* (B, T, U + 1, V), written; may be logits */
} mt_transducer_backward_args;

/* What forward refuses, for arrays of the host: MT_ERROR_INVALID with the value and its place for a
 * length out of range, and for a label that is out of range or the blank. A device that runs behind
 * tells of it in the next call that waits; the row's loss is NaN there. */
MT_API mt_status mt_transducer_check(int64_t B, int64_t T, int64_t U, int64_t V, int32_t blank,
                                     const int32_t *labels, const int32_t *frames,
                                     const int32_t *label_lengths);

#ifdef __cplusplus
}
#endif

#endif
