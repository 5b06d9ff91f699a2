/* One update of Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019):
 *
 *     g = grad_scale min(1, clip / norm) grad,    norm = grad_scale sqrt(*norm_squared)
 *     m = beta1 m + (1 - beta1) g
 *     v = beta2 v + (1 - beta2) g^2
 *     p = p - lr weight_decay p - lr (m / bias1) / (sqrt(v / bias2) + eps)
 *
 * lr is times the factor of the parameter's range, where there are ranges. The bias of step n is
 * 1 - beta^n. m and v below the smallest normal number become zero; nothing
 * is done where the norm is not finite. */
#include "kernels/reference/reference.h"

#include <float.h>
#include <math.h>

static double flushed(double x)
{
    return fabs(x) < DBL_MIN ? 0.0 : x;
}

void mt_reference_adam(const mt_adam_args *args)
{
    const mt_adam_rates *rates = args->rates;
    const double *grad = args->grad;
    double *p = args->parameter, *m = args->m, *v = args->v, scale = args->grad_scale;
    if (args->norm_squared != NULL) {
        double norm = args->grad_scale * sqrt(*args->norm_squared);
        if (!isfinite(norm)) {
            return;
        }
        scale *= args->clip > 0.0 && norm > args->clip ? args->clip / norm : 1.0;
    }
    const mt_adam_range *range = args->ranges;
    for (int64_t i = 0; i < args->n; i++) {
        while (args->range_count > 0 && i >= range->end) {
            range++;
        }
        double lr = rates->lr * (args->range_count > 0 ? range->factor : 1.0);
        double g = scale * grad[i], decay = i < args->decayed ? args->weight_decay : 0.0;
        m[i] = flushed(args->beta1 * m[i] + (1.0 - args->beta1) * g);
        v[i] = flushed(args->beta2 * v[i] + (1.0 - args->beta2) * g * g);
        p[i] -= lr * decay * p[i] +
                lr * (m[i] / rates->bias1) / (sqrt(v[i] / rates->bias2) + args->eps);
    }
}
