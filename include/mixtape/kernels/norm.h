/* The four norms over the last dimension of x (N, C), in ESPnet's definitions
 * (espnet2/asr_transducer/normalization.py; layer_norm is PyTorch's).
 *
 *     layer_norm   y = weight (x - mean(x)) / sqrt(var(x) + eps) + bias     weight, bias (C)
 *     rms_norm     y = weight x / (sqrt(mean(x[:P]^2)) + eps)               weight (C); P channels
 *     scale_norm   y = weight x / max(|x|, eps)                             weight (1)
 *     basic_norm   y = x / sqrt(mean(x^2) + exp(weight))                    weight (1): log eps
 *
 * Each is y = scale[n] (x - mean[n]) times its weight, so one contract serves the four: forward
 * leaves `scale` (N), and for layer_norm `mean` (N), for backward to read. These, weight, bias and
 * their gradients are wide (kernels/list.h). */
#ifndef MIXTAPE_KERNELS_NORM_H
#define MIXTAPE_KERNELS_NORM_H

#include <stdint.h>

typedef enum mt_norm_kind { MT_LAYER_NORM, MT_RMS_NORM, MT_SCALE_NORM, MT_BASIC_NORM } mt_norm_kind;

typedef struct mt_norm_forward_args {
    mt_norm_kind kind;
    int64_t N, C;
    int64_t P;                     /* rms_norm: channels in the statistic, 1 .. C */
    double eps;                    /* not used by basic_norm */
    const void *x, *weight, *bias; /* bias: layer_norm alone */
    void *y;                       /* (N, C), written; may be x when there is no backward */
    void *mean, *scale;            /* (N) each, written */
} mt_norm_forward_args;

typedef struct mt_norm_backward_args {
    mt_norm_kind kind;
    int64_t N, C, P;
    double eps;
    const void *x, *weight, *mean, *scale, *dy;
    void *dx, *dweight, *dbias; /* NULL where not wanted */
} mt_norm_backward_args;

#endif
