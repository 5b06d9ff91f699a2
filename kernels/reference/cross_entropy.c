/* Softmax cross-entropy with label smoothing s, as PyTorch defines it, averaged over the rows whose
 * target is not ignored; `count` of them:
 *
 *     lse[n]     = log sum over v of e^logits[n][v]
 *     loss       = sum over n of (lse[n] - (1 - s) logits[n][target] - s mean(logits[n])) / count
 *     dlogits[n] = dloss / count (e^(logits[n] - lse[n]) - (1 - s) onehot(target) - s / V)
 *
 * With L2Wrap of RWKV-LM, which the loss does not show, the gradient has one term more:
 *
 *     dlogits[n] = ... + dloss / count l2wrap max(logits[n]) onehot(the first place of the max) */
#include "kernels/reference/reference.h"

#include <math.h>

/* The sum of e^x as a multiple of e^largest, which keeps every term in range. */
static double exp_sum(const double *x, int64_t n, double largest)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += exp(x[i] - largest);
    }
    return sum;
}

void mt_reference_cross_entropy_forward(const mt_cross_entropy_forward_args *args)
{
    double *lse = args->lse, *stats = args->stats, s = args->label_smoothing, loss = 0.0;
    stats[0] = stats[1] = 0.0;
    for (int64_t n = 0; n < args->N; n++) {
        const double *logits = (const double *)args->logits + n * args->V;
        int32_t target = args->targets[n];
        if (target == args->ignore_index) {
            continue;
        }
        int64_t largest = 0; /* the first place where it stands */
        for (int64_t v = 1; v < args->V; v++) {
            largest = logits[v] > logits[largest] ? v : largest;
        }
        double mean = 0.0;
        for (int64_t v = 0; v < args->V; v++) {
            mean += logits[v] / (double)args->V;
        }
        if (args->top != NULL) {
            args->top[n] = (int32_t)largest;
        }
        lse[n] = logits[largest] + log(exp_sum(logits, args->V, logits[largest]));
        loss += lse[n] - (1.0 - s) * logits[target] - s * mean;
        stats[0] += 1.0;
        stats[1] += largest == target ? 1.0 : 0.0;
    }
    *(double *)args->loss = stats[0] > 0.0 ? loss / stats[0] : 0.0;
}

void mt_reference_cross_entropy_backward(const mt_cross_entropy_backward_args *args)
{
    const double *lse = args->lse, *stats = args->stats, *dloss = args->dloss;
    double s = args->label_smoothing;
    for (int64_t n = 0; n < args->N; n++) {
        const double *logits = (const double *)args->logits + n * args->V;
        double *dlogits = (double *)args->dlogits + n * args->V;
        int32_t target = args->targets[n];
        for (int64_t v = 0; v < args->V; v++) {
            double onehot = v == target ? 1.0 : 0.0, smooth = s / (double)args->V;
            double slope = exp(logits[v] - lse[n]) - (1.0 - s) * onehot - smooth;
            slope += args->top != NULL && v == args->top[n] ? args->l2wrap * logits[v] : 0.0;
            dlogits[v] = target == args->ignore_index ? 0.0 : dloss[0] / stats[0] * slope;
        }
    }
}
