/* Walks through the lattices of the transducer loss, by diagonals: the processor works on several
 * nodes of one at once, as none waits for another. At the borders a way on, or back, is missing. */
#undef MT_REAL
#define MT_REAL 64 /* all of it is in double, whatever the logits are */
#include "kernels/cpu/lattice.h"

#include "kernels/cpu/math.h"
#include "kernels/transducer_formulas.h"

/* log(1 + x) for x in [0, 1]: as 2 artanh(s) of s = f / (2 + f), where 1 + x is 1 + f or, nearer to
 * 1, 2 (1 + f). |s| is at most 0.172, so ten terms of the series have all digits of a double. */
static inline double log_one_plus(double x)
{
    const double nearer_to_two = 0.41421356237309503; /* sqrt 2 - 1 */
    bool halves = x > nearer_to_two;
    double f = halves ? 0.5 * (x - 1.0) : x;
    double s = f / (2.0 + f), square = s * s, series = 1.0 / 19.0;
    for (int odd = 17; odd >= 1; odd -= 2) {
        series = series * square + 1.0 / odd;
    }
    return 2.0 * s * series + (halves ? 0.69314718055994531 : 0.0);
}

/* mt_log_add, without a call. */
static inline double log_add(double a, double b)
{
    double larger = real_max(a, b), smaller = a > b ? b : a;
    double sum = larger + log_one_plus(real_exp_negative(smaller - larger));
    return smaller == -INFINITY ? larger : sum;
}

/* Sets sums of a diagonal's nodes from those of the nodes that a blank and a label lead to or, with
 * back = true, come from. The probabilities of a step stand at the node that it begins at. */
static inline void set_within(const mt_transducer_lattice *of, bool back, int64_t diagonal,
                              int64_t first, int64_t end, double *sums)
{
    int64_t stride = of->stride, start = diagonal * stride;
    int64_t blank = back ? -stride : stride, label = back ? -1 : 1;
    const mt_transducer_node *by_blank = of->nodes + (back ? blank : 0);
    const mt_transducer_node *by_label = of->nodes + (back ? label : 0);
#pragma omp simd
    for (int64_t u = first; u < end; u++) {
        int64_t at = start - u * (stride - 1);
        sums[at] =
            log_add(sums[at + blank] + by_blank[at].blank, sums[at + label] + by_label[at].label);
    }
}

void LATTICE(to_start)(const mt_transducer_forward_args *args, int64_t b)
{
    mt_transducer_lattice of = mt_transducer_lattice_of(args, b);
    for (int64_t diagonal = mt_transducer_diagonals(&of) - 1; diagonal >= 0; diagonal--) {
        int64_t first = mt_transducer_first(&of, diagonal);
        int64_t end = mt_transducer_last(&of, diagonal) + 1;
        bool is_last_frame = diagonal - first == of.T - 1, has_last_label = end - 1 == of.U;
        if (is_last_frame) {
            mt_transducer_set_beta(&of, of.T - 1, first);
        }
        if (has_last_label) {
            mt_transducer_set_beta(&of, diagonal - of.U, of.U);
        }
        set_within(&of, false, diagonal, first + is_last_frame, end - has_last_label, of.betas);
    }
}

void LATTICE(to_end)(const mt_transducer_forward_args *args, int64_t b)
{
    mt_transducer_lattice of = mt_transducer_lattice_of(args, b);
    if (of.alphas == NULL) {
        return;
    }
    for (int64_t diagonal = 0; diagonal < mt_transducer_diagonals(&of); diagonal++) {
        int64_t first = mt_transducer_first(&of, diagonal);
        int64_t end = mt_transducer_last(&of, diagonal) + 1;
        bool has_no_label = first == 0, is_first_frame = end - 1 == diagonal;
        if (has_no_label) {
            mt_transducer_set_alpha(&of, diagonal, 0);
        }
        if (is_first_frame) {
            mt_transducer_set_alpha(&of, 0, diagonal);
        }
        set_within(&of, true, diagonal, first + has_no_label, end - is_first_frame, of.alphas);
    }
}
