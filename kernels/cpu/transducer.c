/* The transducer loss. What takes time are the logits, V of them to a node: each direction reads
 * them once, a node to a thread, and probabilities are not stored. The sums along the lattice, a
 * row's alphas or betas to a thread, are those of lattice.c. */
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/lattice.h"
#include "kernels/cpu/softmax.h"
#include "kernels/transducer_formulas.h"

/* A node's place: everything is about (B, T, U + 1) nodes, in their order. */
typedef struct node_place {
    int64_t b, t, u;
} node_place;

static node_place place_of(int64_t n, int64_t T, int64_t U)
{
    int64_t frame = n / (U + 1);
    return (node_place){frame / T, frame % T, n % (U + 1)};
}

/* The sum of e^(logit - near), infinite where a real cannot hold one of these. */
static double sum_of_exps(const real *logits, real near, int64_t V)
{
    double sum = 0.0;
    for (int64_t first = 0; first < V; first += SUM_BLOCK) {
        int64_t end = V - first < SUM_BLOCK ? V : first + SUM_BLOCK;
        real block = (real)0.0;
#pragma omp simd reduction(+ : block)
        for (int64_t v = first; v < end; v++) {
            real above = logits[v] - near;
            block += real_exp_negative(above < EXP_HIGHEST ? above : EXP_HIGHEST);
        }
        sum += (double)block;
    }
    return sum;
}

/* log of the sum of e^logit, relative to `near`, the larger of the two logits that count. That is
 * most often the largest of all, else near enough to take its place: so a pass over the logits is
 * made only where it is not. */
static double log_sum_exp(const real *logits, real near, int64_t V)
{
    double sum = sum_of_exps(logits, near, V);
    if (!isfinite(sum)) {
        near = row_max(logits, V);
        sum = row_exp_sum(logits, near, V);
    }
    return (double)near + log(sum);
}

static void log_probabilities(const void *loop, int64_t first, int64_t end)
{
    const mt_transducer_forward_args *args = loop;
    int64_t V = args->V;
    for (int64_t n = first; n < end; n++) {
        node_place at = place_of(n, args->T, args->U);
        int32_t labels = args->label_lengths[at.b];
        if (at.t >= args->frames[at.b] || at.u > labels) {
            mt_transducer_set_padding(args, n);
            continue;
        }
        const real *logits = (const real *)args->logits + n * V;
        int32_t label = at.u < labels ? args->labels[at.b * args->U + at.u] : args->blank;
        double lse = log_sum_exp(logits, real_max(logits[args->blank], logits[label]), V);
        args->nodes[n] =
            (mt_transducer_node){(double)logits[args->blank] - lse, (double)logits[label] - lse};
    }
}

/* The betas of all rows, then the alphas of all rows. */
static void walk_lattices(const void *loop, int64_t first, int64_t end)
{
    const mt_transducer_forward_args *args = loop;
    for (int64_t turn = first; turn < end; turn++) {
        if (turn < args->B) {
            LATTICE(to_start)(args, turn);
            ((real *)args->losses)[turn] = (real)-args->betas[turn * args->T * (args->U + 1)];
        } else {
            LATTICE(to_end)(args, turn - args->B);
        }
    }
}

mt_status KERNEL(transducer_forward)(mt_device *device, const mt_transducer_forward_args *args)
{
    (void)device;
    enum { NODE_ELEMENTS = 32 }; /* that an exponential and a logarithm take as long as */
    int64_t nodes = args->B * args->T * (args->U + 1);
    mt_status status = mt_transducer_check(args->B, args->T, args->U, args->V, args->blank,
                                           args->labels, args->frames, args->label_lengths);
    if (status != MT_OK) {
        return status;
    }
    mt_team_loop(nodes * args->V, nodes, log_probabilities, args);
    int64_t walks = args->alphas != NULL ? 2 * args->B : args->B;
    mt_team_loop(nodes * NODE_ELEMENTS, walks, walk_lattices, args);
    return MT_OK;
}

/* scale e^(logit - lse), where lse, which may be large, is in two parts. */
static void scaled_softmax(const real *logits, double lse, real scale, int64_t V, real *dlogits)
{
    real high = (real)lse, low = (real)(lse - (double)high);
#pragma omp simd
    for (int64_t v = 0; v < V; v++) {
        dlogits[v] = scale * real_exp_negative((logits[v] - high) - low);
    }
}

static void logit_grads(const void *loop, int64_t first, int64_t end)
{
    const mt_transducer_backward_args *args = loop;
    int64_t V = args->V;
    for (int64_t n = first; n < end; n++) {
        node_place at = place_of(n, args->T, args->U);
        const real *logits = (const real *)args->logits + n * V;
        real *dlogits = (real *)args->dlogits + n * V;
        int32_t labels = args->label_lengths[at.b];
        mt_transducer_posteriors node = {0.0, 0.0, 0.0};
        int32_t label = at.u < labels ? args->labels[at.b * args->U + at.u] : args->blank;
        if (at.t < args->frames[at.b] && at.u <= labels) {
            node = mt_transducer_posteriors_of(args, at.b, at.t, at.u, (double)logits[args->blank],
                                               (double)logits[label]);
        }
        if (node.blank + node.label == 0.0) {
            memset(dlogits, 0, (size_t)V * sizeof *dlogits);
            continue;
        }
        if (!mt_transducer_betas_tell_lse(args, at.b)) {
            node.lse = log_sum_exp(logits, row_max(logits, V), V);
        }
        double dloss = (double)((const real *)args->dlosses)[at.b];
        double by_blank = dloss * node.blank;
        double by_label = dloss * node.label * (1.0 + args->fastemit_lambda);
        scaled_softmax(logits, node.lse, (real)(by_blank + by_label), V, dlogits);
        dlogits[args->blank] -= (real)by_blank;
        dlogits[label] -= (real)by_label;
    }
}

mt_status KERNEL(transducer_backward)(mt_device *device, const mt_transducer_backward_args *args)
{
    (void)device;
    int64_t nodes = args->B * args->T * (args->U + 1);
    mt_team_loop(nodes * args->V, nodes, logit_grads, args);
    return MT_OK;
}
