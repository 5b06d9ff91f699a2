/* WKV as its formulas read (Peng et al. 2023, eq. 16), for each batch row and channel:
 *
 *     y[t] = (num + e^(u+k[t]) v[t]) / (den + e^(u+k[t]))
 *     num  = e^w num + e^(k[t]) v[t]
 *     den  = e^w den + e^(k[t])
 *
 * and backward, with D[t] the denominator of y[t], and num[t], den[t] the sums before step t:
 *
 *     q[t]  = dy[t] / D[t]
 *     G[t]  = q[t+1] + e^w G[t+1]                 the gradient of num after step t
 *     H[t]  = -q[t+1] y[t+1] + e^w H[t+1]         that of den
 *     dv[t] = q[t] e^(u+k[t]) + e^(k[t]) G[t]
 *     dk[t] = q[t] e^(u+k[t]) (v[t] - y[t]) + e^(k[t]) (G[t] v[t] + H[t])
 *     du    = sum of q[t] e^(u+k[t]) (v[t] - y[t])
 *     dw    = sum of e^w (G[t] num[t] + H[t] den[t])
 *
 * These exponentials overflow. So num, den and D are kept as multiples of the largest exponential
 * in them, e^max, and what `weigh` returns stands in the place of each pair of exponentials that
 * are added. G and H are kept as multiples of e^-max, with the max of the sum that they are the
 * gradient of. docs/mathematics.md has the derivation. */
#include "kernels/reference/optional.h"
#include "kernels/reference/reference.h"

#include <math.h>

/* e^a and e^b as multiples of e^max, where max is the larger of a and b. */
typedef struct weights {
    double a, b, max;
} weights;

static weights weigh(double a, double b)
{
    double max = fmax(a, b);
    return (weights){exp(a - max), exp(b - max), max};
}

void mt_reference_wkv_forward(const mt_wkv_forward_args *args)
{
    const double *w = args->w, *u = args->u, *k = args->k, *v = args->v;
    double *y = args->y;
    int64_t T = args->T, C = args->C, states = args->B * C;
    for (int64_t state = 0; state < states; state++) { /* of batch row b and channel c */
        int64_t b = state / C, c = state % C;
        double num = get(args->state_in, state, 0.0);
        double den = get(args->state_in, states + state, 0.0);
        double max = get(args->state_in, 2 * states + state, MT_WKV_EMPTY_MAX);
        for (int64_t t = 0; t < T; t++) {
            int64_t i = (b * T + t) * C + c;
            put(args->saved, 3 * t * states + state, num);
            put(args->saved, (3 * t + 1) * states + state, den);
            put(args->saved, (3 * t + 2) * states + state, max);
            weights output = weigh(max, u[c] + k[i]);
            weights update = weigh(max + w[c], k[i]);
            y[i] = (output.a * num + output.b * v[i]) / (output.a * den + output.b);
            num = update.a * num + update.b * v[i];
            den = update.a * den + update.b;
            max = update.max;
        }
        put(args->state_out, state, num);
        put(args->state_out, states + state, den);
        put(args->state_out, 2 * states + state, max);
    }
}

void mt_reference_wkv_backward(const mt_wkv_backward_args *args)
{
    const double *w = args->w, *u = args->u, *k = args->k, *v = args->v, *saved = args->saved;
    int64_t T = args->T, C = args->C, states = args->B * C;
    for (int64_t c = 0; c < C; c++) {
        double dw = 0.0, du = 0.0;
        for (int64_t b = 0; b < args->B; b++) {
            int64_t state = b * C + c;
            double G = get(args->dstate_out, state, 0.0);
            double H = get(args->dstate_out, states + state, 0.0);
            for (int64_t t = T - 1; t >= 0; t--) {
                int64_t i = (b * T + t) * C + c;
                double num = saved[3 * t * states + state];
                double den = saved[(3 * t + 1) * states + state];
                double max = saved[(3 * t + 2) * states + state];
                weights output = weigh(max, u[c] + k[i]);
                weights update = weigh(max + w[c], k[i]);
                double D = output.a * den + output.b;
                double y = (output.a * num + output.b * v[i]) / D;
                double q = get(args->dy, i, 0.0) / D;
                put(args->dv, i, q * output.b + update.b * G);
                put(args->dk, i, q * output.b * (v[i] - y) + update.b * (G * v[i] + H));
                du += q * output.b * (v[i] - y);
                dw += update.a * (G * num + H * den);
                G = output.a * q + update.a * G;
                H = output.a * -q * y + update.a * H;
            }
            put(args->dstate_in, state, G);
            put(args->dstate_in, states + state, H);
            put(args->dstate_in, 2 * states + state, 0.0);
        }
        put(args->dw, c, dw);
        put(args->du, c, du);
    }
}
