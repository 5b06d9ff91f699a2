/* The transducer loss and its gradient, with alpha from the start to a node and beta from it to the
 * end, and FastEmit's weight on the label's part of the gradient (mixtape/kernels/transducer.h). */
#include "kernels/reference/reference.h"

#include <math.h>
#include <stdbool.h>

static double log_add(double a, double b)
{
    double larger = fmax(a, b);
    return larger == -INFINITY ? larger : larger + log(exp(a - larger) + exp(b - larger));
}

static double log_sum_exp(const double *logits, int64_t V)
{
    double lse = -INFINITY;
    for (int64_t v = 0; v < V; v++) {
        lse = log_add(lse, logits[v]);
    }
    return lse;
}

/* log p_blank and log p_label of a node. */
static void log_probabilities(const mt_transducer_forward_args *args, int64_t b, int64_t t,
                              int64_t u, mt_transducer_node *node)
{
    const double *logits = args->logits;
    logits += ((b * args->T + t) * (args->U + 1) + u) * args->V;
    double lse = log_sum_exp(logits, args->V);
    node->blank = logits[args->blank] - lse;
    node->label = -INFINITY;
    if (u < args->label_lengths[b]) {
        node->label = logits[args->labels[b * args->U + u]] - lse;
    }
}

static void one_row(const mt_transducer_forward_args *args, int64_t b)
{
    int64_t T = args->frames[b], U = args->label_lengths[b], next = args->U + 1;
    mt_transducer_node *node = args->nodes + b * args->T * next;
    double *alpha = args->alphas + b * args->T * next, *beta = args->betas + b * args->T * next;
    for (int64_t t = 0; t < T; t++) {
        for (int64_t u = 0; u <= U; u++) {
            int64_t at = t * next + u;
            log_probabilities(args, b, t, u, &node[at]);
            double by_blank = t > 0 ? alpha[at - next] + node[at - next].blank : -INFINITY;
            double by_label = u > 0 ? alpha[at - 1] + node[at - 1].label : -INFINITY;
            alpha[at] = t + u > 0 ? log_add(by_blank, by_label) : 0.0;
        }
    }
    double total = alpha[(T - 1) * next + U] + node[(T - 1) * next + U].blank;
    for (int64_t t = T - 1; t >= 0; t--) {
        for (int64_t u = U; u >= 0; u--) {
            int64_t at = t * next + u;
            double end = t == T - 1 && u == U ? 0.0 : -INFINITY;
            double by_blank = node[at].blank + (t < T - 1 ? beta[at + next] : end);
            double by_label = u < U ? node[at].label + beta[at + 1] : -INFINITY;
            beta[at] = log_add(by_blank, by_label);
        }
    }
    ((double *)args->losses)[b] = -total;
}

void mt_reference_transducer_forward(const mt_transducer_forward_args *args)
{
    for (int64_t b = 0; b < args->B; b++) {
        one_row(args, b);
    }
}

/* The gradient of the logits of node (t, u) of row b, n of all nodes. */
static void node_gradient(const mt_transducer_backward_args *args, int64_t b, int64_t t, int64_t u,
                          int64_t n, double *dlogits)
{
    const double *logits = (const double *)args->logits + n * args->V;
    double dloss = ((const double *)args->dlosses)[b];
    double total = args->betas[b * args->T * (args->U + 1)];
    double lse = log_sum_exp(logits, args->V), arrived = args->alphas[n] - lse - total;
    bool last_frame = t == args->frames[b] - 1, last_label = u == args->label_lengths[b];
    int32_t label = last_label ? -1 : args->labels[b * args->U + u];
    double end = last_label ? 0.0 : -INFINITY, by_label = 0.0;
    double behind = last_frame ? end : args->betas[n + args->U + 1];
    double by_blank = exp(arrived + logits[args->blank] + behind);
    if (!last_label) {
        by_label =
            exp(arrived + logits[label] + args->betas[n + 1]) * (1.0 + args->fastemit_lambda);
    }
    for (int64_t v = 0; v < args->V; v++) {
        double slope = exp(logits[v] - lse) * (by_blank + by_label);
        slope -= v == args->blank ? by_blank : 0.0;
        slope -= v == label ? by_label : 0.0;
        dlogits[v] = dloss * slope;
    }
}

void mt_reference_transducer_backward(const mt_transducer_backward_args *args)
{
    for (int64_t n = 0; n < args->B * args->T * (args->U + 1); n++) {
        int64_t u = n % (args->U + 1), t = n / (args->U + 1) % args->T;
        int64_t b = n / (args->U + 1) / args->T;
        double *dlogits = (double *)args->dlogits + n * args->V;
        if (t < args->frames[b] && u <= args->label_lengths[b]) {
            node_gradient(args, b, t, u, n, dlogits);
            continue;
        }
        for (int64_t v = 0; v < args->V; v++) {
            dlogits[v] = 0.0;
        }
    }
}
