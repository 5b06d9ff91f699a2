/* What the norms of mixtape/kernels/norm.h do with the sums over a row, for the CPU and CUDA alike.
 * Internal. */
#ifndef MT_KERNELS_NORM_FORMULAS_H
#define MT_KERNELS_NORM_FORMULAS_H

#include <mixtape/kernels/norm.h>

#include "kernels/everywhere.h"

#include <math.h>
#include <stdbool.h>

/* The learnt weight enters per channel, as one number (scale_norm), or not at all: basic_norm's is
 * inside the scale. */
MT_EVERYWHERE bool mt_norm_weight_per_channel(mt_norm_kind kind)
{
    return kind == MT_LAYER_NORM || kind == MT_RMS_NORM;
}

/* The numbers of a row that its scale depends on, of C: rms_norm may have its first P alone. */
MT_EVERYWHERE int64_t mt_norm_counted(mt_norm_kind kind, int64_t C, int64_t P)
{
    return kind == MT_RMS_NORM ? P : C;
}

/* The scale of a row from `squares`, the sum of (x - mean)^2 over its first n numbers. `eps` is
 * basic_norm's learnt e^log_eps, and else the configuration's. */
MT_EVERYWHERE double mt_norm_scale(mt_norm_kind kind, double squares, double n, double eps)
{
    switch (kind) {
    case MT_LAYER_NORM:
    case MT_BASIC_NORM:
        return 1.0 / sqrt(squares / n + eps);
    case MT_RMS_NORM:
        return 1.0 / (sqrt(squares / n) + eps);
    case MT_SCALE_NORM:
        return 1.0 / fmax(sqrt(squares), eps);
    }
    return 1.0;
}

/* The slope of dx = scale g - shift - slope (x - mean), from `sum_gx`, the sum of g (x - mean) over
 * the first n numbers of the row: every norm's scale depends on x through a sum of squares. The
 * shift is the mean of scale g in layer_norm, and 0 in the others. */
MT_EVERYWHERE double mt_norm_slope(mt_norm_kind kind, double scale, double sum_gx, double n,
                                   double eps)
{
    double root; /* the square root inside rms_norm's and scale_norm's scale */
    switch (kind) {
    case MT_LAYER_NORM:
    case MT_BASIC_NORM:
        return scale * scale * scale * sum_gx / n;
    case MT_RMS_NORM:
        root = 1.0 / scale - eps;
        return root > 0.0 ? scale * scale * sum_gx / (n * root) : 0.0;
    case MT_SCALE_NORM:
        /* Below eps the scale is constant. */
        return scale < 1.0 / eps ? scale * scale * scale * sum_gx : 0.0;
    }
    return 0.0;
}

/* A row's part of the gradient of a single weight, from `dot`, its sum of dy x: of scale_norm's
 * factor, or of basic_norm's log eps, through d scale / d log eps = -scale^3 eps / 2. */
MT_EVERYWHERE double mt_norm_weight_grad(mt_norm_kind kind, double dot, double scale, double eps)
{
    return dot * scale * (kind == MT_SCALE_NORM ? 1.0 : -0.5 * eps * scale * scale);
}

#endif
