/* What the transducer loss (mixtape/kernels/transducer.h) does with the numbers of a node and its
 * neighbours, for the CPU and CUDA alike. Internal. */
#ifndef MT_KERNELS_TRANSDUCER_FORMULAS_H
#define MT_KERNELS_TRANSDUCER_FORMULAS_H

#include <mixtape/kernels/transducer.h>

#include "kernels/everywhere.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- input that is refused ---- */

typedef enum mt_transducer_fault {
    MT_TRANSDUCER_FINE,
    MT_TRANSDUCER_FRAMES,
    MT_TRANSDUCER_LABEL_LENGTH,
    MT_TRANSDUCER_LABEL,
    MT_TRANSDUCER_LABEL_IS_BLANK
} mt_transducer_fault;

MT_EVERYWHERE mt_transducer_fault mt_transducer_length_fault(int64_t T, int64_t U, int32_t frames,
                                                             int32_t labels)
{
    if (frames < 1 || frames > T) {
        return MT_TRANSDUCER_FRAMES;
    }
    return labels < 0 || labels > U ? MT_TRANSDUCER_LABEL_LENGTH : MT_TRANSDUCER_FINE;
}

MT_EVERYWHERE mt_transducer_fault mt_transducer_label_fault(int32_t label, int32_t blank, int64_t V)
{
    if (label < 0 || label >= V) {
        return MT_TRANSDUCER_LABEL;
    }
    return label == blank ? MT_TRANSDUCER_LABEL_IS_BLANK : MT_TRANSDUCER_FINE;
}

#ifdef __cplusplus
extern "C" {
#endif

/* MT_ERROR_INVALID that tells of a fault: of row `row`, for a label also its place there; values
 * beyond `most` are out of range. */
mt_status mt_transducer_fail(mt_transducer_fault fault, int64_t value, int64_t row, int64_t place,
                             int64_t most);

#ifdef __cplusplus
}
#endif

/* ---- the lattice of one row ---- */

typedef struct mt_transducer_lattice {
    int64_t T, U;                    /* frames and labels of the row */
    int64_t stride;                  /* nodes from one frame to the next */
    const mt_transducer_node *nodes; /* from the row's first */
    double *alphas, *betas;
} mt_transducer_lattice;

/* What stands in the place of the sums of node n, which is beyond its row's lengths. */
MT_EVERYWHERE void mt_transducer_set_padding(const mt_transducer_forward_args *args, int64_t n)
{
    args->betas[n] = 0.0;
    if (args->alphas != NULL) {
        args->alphas[n] = 0.0;
    }
}

/* T is 0 where the row's lengths are out of range. */
MT_EVERYWHERE mt_transducer_lattice mt_transducer_lattice_of(const mt_transducer_forward_args *args,
                                                             int64_t b)
{
    int32_t frames = args->frames[b], labels = args->label_lengths[b];
    bool fine = mt_transducer_length_fault(args->T, args->U, frames, labels) == MT_TRANSDUCER_FINE;
    int64_t stride = args->U + 1, first = b * args->T * stride;
    mt_transducer_lattice lattice = {fine ? frames : 0,
                                     fine ? labels : 0,
                                     stride,
                                     args->nodes + first,
                                     args->alphas != NULL ? args->alphas + first : NULL,
                                     args->betas + first};
    return lattice;
}

/* Nodes with t + u = diagonal do not depend on one another. Of these their u go from first to
 * last. */
MT_EVERYWHERE int64_t mt_transducer_diagonals(const mt_transducer_lattice *of)
{
    return of->T + of->U;
}

MT_EVERYWHERE int64_t mt_transducer_first(const mt_transducer_lattice *of, int64_t diagonal)
{
    return diagonal < of->T ? 0 : diagonal - of->T + 1;
}

MT_EVERYWHERE int64_t mt_transducer_last(const mt_transducer_lattice *of, int64_t diagonal)
{
    return diagonal < of->U ? diagonal : of->U;
}

/* log(e^a + e^b), of which both may be minus infinity; NaN where one is. */
MT_EVERYWHERE double mt_log_add(double a, double b)
{
    double larger = a > b ? a : b, smaller = a > b ? b : a;
    return smaller == -INFINITY ? larger : larger + log1p(exp(smaller - larger));
}

/* beta of the node that a blank leads to from a node, whose own stands at `beta`, and a label. The
 * last blank ends the row. */
MT_EVERYWHERE double mt_transducer_behind_blank(const double *beta, int64_t stride, bool last_frame,
                                                bool last_label)
{
    double ended = last_label ? 0.0 : -INFINITY;
    return last_frame ? ended : beta[stride];
}

MT_EVERYWHERE double mt_transducer_behind_label(const double *beta, bool last_label)
{
    return last_label ? -INFINITY : beta[1];
}

MT_EVERYWHERE void mt_transducer_set_beta(const mt_transducer_lattice *of, int64_t t, int64_t u)
{
    int64_t at = t * of->stride + u;
    double *beta = of->betas + at;
    bool last_label = u == of->U;
    double by_blank = mt_transducer_behind_blank(beta, of->stride, t + 1 == of->T, last_label);
    double by_label = mt_transducer_behind_label(beta, last_label);
    *beta = mt_log_add(of->nodes[at].blank + by_blank, of->nodes[at].label + by_label);
}

MT_EVERYWHERE void mt_transducer_set_alpha(const mt_transducer_lattice *of, int64_t t, int64_t u)
{
    int64_t at = t * of->stride + u, before = at - of->stride;
    double begun = u == 0 ? 0.0 : -INFINITY;
    double by_blank = t > 0 ? of->alphas[before] + of->nodes[before].blank : begun;
    double by_label = u > 0 ? of->alphas[at - 1] + of->nodes[at - 1].label : -INFINITY;
    of->alphas[at] = mt_log_add(by_blank, by_label);
}

/* ---- the gradient of a node ---- */

/* The posterior probabilities b and l that an alignment leaves a node, and the logarithm of the sum
 * of e^logit, which the node's beta tells: beta = logaddexp(logit_blank + beta behind the blank,
 * logit_label + beta behind the label) - lse. */
typedef struct mt_transducer_posteriors {
    double blank, label; /* both 0 where no alignment comes by: then lse has no meaning */
    double lse;
} mt_transducer_posteriors;

/* Tells if the betas of a row are small enough for that: to some 1e-7. */
MT_EVERYWHERE bool mt_transducer_betas_tell_lse(const mt_transducer_backward_args *args, int64_t b)
{
    const double most = 1e8;
    return fabs(args->betas[b * args->T * (args->U + 1)]) < most;
}

/* Of node (t, u) of row b, within its lengths, with its logits of the blank and of its label, for
 * which the last has any other. */
MT_EVERYWHERE mt_transducer_posteriors
mt_transducer_posteriors_of(const mt_transducer_backward_args *args, int64_t b, int64_t t,
                            int64_t u, double blank, double label)
{
    int64_t stride = args->U + 1, first = b * args->T * stride, at = first + t * stride + u;
    const double *beta = args->betas + at;
    bool last_label = u == args->label_lengths[b];
    double by_blank =
        blank + mt_transducer_behind_blank(beta, stride, t + 1 == args->frames[b], last_label);
    double by_label = label + mt_transducer_behind_label(beta, last_label);
    double larger = by_blank > by_label ? by_blank : by_label;
    double smaller = by_blank > by_label ? by_label : by_blank;
    double ratio = exp(smaller - larger); /* of the less probable way on to the other */
    double both = exp(args->alphas[at] + *beta - args->betas[first]);
    both = both > 1.0 ? 1.0 : both; /* where the sums are too large for their digits */
    double more = both / (1.0 + ratio), less = more * ratio;
    mt_transducer_posteriors none = {0.0, 0.0, 0.0};
    mt_transducer_posteriors some = {by_blank > by_label ? more : less,
                                     by_blank > by_label ? less : more,
                                     larger + log1p(ratio) - *beta};
    return both == 0.0 ? none : some;
}

#endif
