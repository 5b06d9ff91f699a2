/* What the transducer loss (mixtape/kernels/transducer.h) does with the numbers of a node and its
 * neighbours, for the CPU and CUDA alike. Internal. */
#ifndef MT_KERNELS_TRANSDUCER_FORMULAS_H
#define MT_KERNELS_TRANSDUCER_FORMULAS_H

#include <mixtape/kernels/transducer.h>

#include "kernels/everywhere.h"

#include <math.h>

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
    int64_t T, U;              /* frames and labels of the row */
    int64_t stride;            /* nodes from one frame to the next */
    mt_transducer_node *nodes; /* from the row's first */
    double *alphas, *betas;
} mt_transducer_lattice;

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

/* The logarithms of the probabilities to go on to the end by a blank, and by the label. */
MT_EVERYWHERE double mt_transducer_by_blank(const mt_transducer_lattice *of, int64_t t, int64_t u)
{
    int64_t at = t * of->stride + u;
    double ended = u == of->U ? 0.0 : -INFINITY;
    return of->nodes[at].blank + (t + 1 < of->T ? of->betas[at + of->stride] : ended);
}

MT_EVERYWHERE double mt_transducer_by_label(const mt_transducer_lattice *of, int64_t t, int64_t u)
{
    int64_t at = t * of->stride + u;
    return u < of->U ? of->nodes[at].label + of->betas[at + 1] : -INFINITY;
}

MT_EVERYWHERE void mt_transducer_set_beta(const mt_transducer_lattice *of, int64_t t, int64_t u)
{
    of->betas[t * of->stride + u] =
        mt_log_add(mt_transducer_by_blank(of, t, u), mt_transducer_by_label(of, t, u));
}

MT_EVERYWHERE void mt_transducer_set_alpha(const mt_transducer_lattice *of, int64_t t, int64_t u)
{
    int64_t at = t * of->stride + u, before = at - of->stride;
    double begun = u == 0 ? 0.0 : -INFINITY;
    double by_blank = t > 0 ? of->alphas[before] + of->nodes[before].blank : begun;
    double by_label = u > 0 ? of->alphas[at - 1] + of->nodes[at - 1].label : -INFINITY;
    of->alphas[at] = mt_log_add(by_blank, by_label);
}

/* Puts the posteriors in the place of the node's logarithms, which no other node asks for then. */
MT_EVERYWHERE void mt_transducer_set_posteriors(const mt_transducer_lattice *of, int64_t t,
                                                int64_t u)
{
    int64_t at = t * of->stride + u;
    double arrived = of->alphas[at] - of->betas[0];
    double by_blank = mt_transducer_by_blank(of, t, u), by_label = mt_transducer_by_label(of, t, u);
    of->nodes[at].blank = exp(arrived + by_blank);
    of->nodes[at].label = exp(arrived + by_label);
}

#endif
