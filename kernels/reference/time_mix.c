/* The shift by one step of time and its mixes, as ESPnet's and RWKV-LM's layers have them. With
 * x'[b][t] = x[b][t-1], and x'[b][0] = carried[b]:
 *
 *     y_i[b][t] = x[b][t] m_i + x'[b][t] (1 - m_i)
 *
 *     dx[b][t]    = sum over i of dy_i[b][t] m_i + dy_i[b][t+1] (1 - m_i)     dy_i[b][T] = 0
 *     dcarried[b] = sum over i of dy_i[b][0] (1 - m_i)
 *     dm_i        = sum over b and t of dy_i[b][t] (x[b][t] - x'[b][t]) */
#include "kernels/reference/optional.h"
#include "kernels/reference/reference.h"

void mt_reference_time_mix_forward(const mt_time_mix_forward_args *args)
{
    const double *x = args->x;
    int64_t T = args->T, C = args->C;
    for (int64_t i = 0; i < args->B * T * C; i++) { /* of row b, step t and channel c */
        int64_t b = i / C / T, t = i / C % T, c = i % C;
        double shifted = t > 0 ? x[i - C] : get(args->carried, b * C + c, 0.0);
        for (int m = 0; m < args->count; m++) {
            double mix = get(args->mix[m], c, 0.0);
            put(args->y[m], i, x[i] * mix + shifted * (1.0 - mix));
        }
    }
}

void mt_reference_time_mix_backward(const mt_time_mix_backward_args *args)
{
    const double *x = args->x;
    int64_t T = args->T, C = args->C;
    for (int64_t c = 0; c < C; c++) {
        double dmix[MT_TIME_MIX_MAX] = {0.0};
        for (int64_t b = 0; b < args->B; b++) {
            double dshifted = 0.0; /* of the step behind t: x there is x[t] */
            for (int64_t t = T - 1; t >= 0; t--) {
                int64_t i = (b * T + t) * C + c;
                double shifted = t > 0 ? x[i - C] : get(args->carried, b * C + c, 0.0);
                double dx = dshifted;
                dshifted = 0.0;
                for (int m = 0; m < args->count; m++) {
                    double mix = get(args->mix[m], c, 0.0), dy = get(args->dy[m], i, 0.0);
                    dx += dy * mix;
                    dshifted += dy * (1.0 - mix);
                    dmix[m] += dy * (x[i] - shifted);
                }
                put(args->dx, i, dx);
            }
            put(args->dcarried, b * C + c, dshifted);
        }
        for (int m = 0; m < args->count; m++) {
            put(args->dmix[m], c, dmix[m]);
        }
    }
}
