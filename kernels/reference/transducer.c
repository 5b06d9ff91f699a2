/* The transducer loss and its gradient, with alpha from the start to a node and beta from it to the
 * end, and FastEmit's weight on the label's part of the gradient (mixtape/kernels/transducer.h). */
#include "kernels/reference/reference.h"

#include <math.h>

static double log_add(double a, double b)
{
    double larger = fmax(a, b);
    return larger == -INFINITY ? larger : larger + log(exp(a - larger) + exp(b - larger));
}

/* log p_blank and log p_label of a node. */
static void log_probabilities(const mt_transducer_forward_args *args, int64_t b, int64_t t,
                              int64_t u, mt_transducer_node *node)
{
    const double *logits = args->logits;
    logits += ((b * args->T + t) * (args->U + 1) + u) * args->V;
    node->lse = -INFINITY;
    for (int64_t v = 0; v < args->V; v++) {
        node->lse = log_add(node->lse, logits[v]);
    }
    node->blank = logits[args->blank] - node->lse;
    node->label = -INFINITY;
    if (u < args->label_lengths[b]) {
        node->label = logits[args->labels[b * args->U + u]] - node->lse;
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
            node[at].blank = exp(alpha[at] + by_blank - total);
            node[at].label = exp(alpha[at] + by_label - total);
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

/* The gradient of a node's logits. */
static void node_gradient(const mt_transducer_backward_args *args, int64_t b, int64_t u,
                          const mt_transducer_node *node, const double *logits, double *dlogits)
{
    double dloss = ((const double *)args->dlosses)[b];
    double by_blank = node->blank, by_label = node->label * (1.0 + args->fastemit_lambda);
    for (int64_t v = 0; v < args->V; v++) {
        double slope = exp(logits[v] - node->lse) * (by_blank + by_label);
        slope -= v == args->blank ? by_blank : 0.0;
        if (u < args->label_lengths[b]) {
            slope -= v == args->labels[b * args->U + u] ? by_label : 0.0;
        }
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
            node_gradient(args, b, u, &args->nodes[n], (const double *)args->logits + n * args->V,
                          dlogits);
            continue;
        }
        for (int64_t v = 0; v < args->V; v++) {
            dlogits[v] = 0.0;
        }
    }
}
