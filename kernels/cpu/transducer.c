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
static double sum_of_exps(const stored *logits, real near, int64_t V)
{
    double sum = 0.0;
    for (int64_t first = 0; first < V; first += SUM_BLOCK) {
        int64_t end = V - first < SUM_BLOCK ? V : first + SUM_BLOCK;
        real block = (real)0.0;
#pragma omp simd reduction(+ : block)
        for (int64_t v = first; v < end; v++) {
            real above = value(logits[v]) - near;
            block += real_exp_negative(above < EXP_HIGHEST ? above : EXP_HIGHEST);
        }
        sum += (double)block;
    }
    return sum;
}

/* log of the sum of e^logit, relative to `near`, the larger of the two logits that count. That is
 * most often the largest of all, else near enough to take its place: so a pass over the logits is
 * made only where it is not. */
static double log_sum_exp(const stored *logits, real near, int64_t V)
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
        const stored *logits = (const stored *)args->logits + n * V;
        int32_t label = at.u < labels ? args->labels[at.b * args->U + at.u] : args->blank;
        real of_blank = value(logits[args->blank]), of_label = value(logits[label]);
        double lse = log_sum_exp(logits, real_max(of_blank, of_label), V);
        args->nodes[n] = (mt_transducer_node){(double)of_blank - lse, (double)of_label - lse};
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
typedef struct scaled_softmax {
    real scale, high, low;
} scaled_softmax;

static inline real softmax_of(scaled_softmax of, real logit)
{
    return of.scale * real_exp_negative((logit - of.high) - of.low);
}

/* The same as it is before it is rounded to be stored. */
static inline real exact(scaled_softmax of, real logit, stored kept)
{
    return sizeof(stored) == sizeof(real) ? value(kept) : softmax_of(of, logit);
}

static void logit_grads(const void *loop, int64_t first, int64_t end)
{
    const mt_transducer_backward_args *args = loop;
    int64_t V = args->V;
    for (int64_t n = first; n < end; n++) {
        node_place at = place_of(n, args->T, args->U);
        const stored *logits = (const stored *)args->logits + n * V;
        stored *dlogits = (stored *)args->dlogits + n * V;
        int32_t labels = args->label_lengths[at.b];
        mt_transducer_posteriors node = {0.0, 0.0, 0.0};
        int32_t label = at.u < labels ? args->labels[at.b * args->U + at.u] : args->blank;
        real of_blank = value(logits[args->blank]), of_label = value(logits[label]);
        if (at.t < args->frames[at.b] && at.u <= labels) {
            node = mt_transducer_posteriors_of(args, at.b, at.t, at.u, (double)of_blank,
                                               (double)of_label);
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
        real high = (real)node.lse, low = (real)(node.lse - (double)high);
        scaled_softmax all = {(real)(by_blank + by_label), high, low};
#pragma omp simd
        for (int64_t v = 0; v < V; v++) {
            dlogits[v] = rounded(softmax_of(all, value(logits[v])));
        }
        real at_blank = exact(all, of_blank, dlogits[args->blank]) - (real)by_blank;
        dlogits[args->blank] = rounded(at_blank);
        real at_label = label == args->blank ? at_blank : exact(all, of_label, dlogits[label]);
        dlogits[label] = rounded(at_label - (real)by_label);
    }
}

mt_status KERNEL(transducer_backward)(mt_device *device, const mt_transducer_backward_args *args)
{
    (void)device;
    int64_t nodes = args->B * args->T * (args->U + 1);
    mt_team_loop(nodes * args->V, nodes, logit_grads, args);
    return MT_OK;
}
