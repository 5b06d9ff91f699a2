/* The four norms over the last dimension, as espnet2/asr_transducer/normalization.py and PyTorch
 * define them. Each is y = weight scale (x - mean) + bias. mean is zero but for layer_norm, and the
 * factor weight is 1 for basic_norm, which has its weight inside the scale. scale is a function of
 * the squares S = sum of (x - mean)^2, over the first P channels in rms_norm and over all C else:
 *
 *                  scale                         slope = 2 d scale / d S
 *     layer_norm   1 / sqrt(S/C + eps)           -scale^3 / C
 *     rms_norm     1 / (sqrt(S/P) + eps)         -scale^2 / (P sqrt(S/P))
 *     scale_norm   1 / max(sqrt(S), eps)         -scale^3, and 0 where sqrt(S) <= eps
 *     basic_norm   1 / sqrt(S/C + e^weight)      -scale^3 / C
 *
 * Backward, with g = dy weight and R = sum of g (x - mean), which is d (sum of dy y) / d scale:
 *
 *     dx      = scale (g - mean(g)) + R slope (x - mean)     no mean(g) where mean is zero,
 *                                                            no R in channels that S leaves out
 *     dweight = sum over rows of dy scale (x - mean), for scale_norm over channels too
 *     dweight = sum over rows of R (-scale^3 e^weight / 2)   for basic_norm
 *     dbias   = sum over rows of dy */
#include "kernels/reference/optional.h"
#include "kernels/reference/reference.h"

#include <math.h>

static double mean_of(const double *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t c = 0; c < n; c++) {
        sum += x[c];
    }
    return sum / (double)n;
}

static double squares_of(const double *x, double mean, int64_t n)
{
    double sum = 0.0;
    for (int64_t c = 0; c < n; c++) {
        sum += (x[c] - mean) * (x[c] - mean);
    }
    return sum;
}

static double scale_of(const mt_norm_forward_args *args, double S)
{
    double C = (double)args->C, P = (double)args->P;
    switch (args->kind) {
    case MT_LAYER_NORM:
        return 1.0 / sqrt(S / C + args->eps);
    case MT_RMS_NORM:
        return 1.0 / (sqrt(S / P) + args->eps);
    case MT_SCALE_NORM:
        return 1.0 / fmax(sqrt(S), args->eps);
    case MT_BASIC_NORM:
        return 1.0 / sqrt(S / C + exp(get(args->weight, 0, 0.0)));
    }
    return NAN;
}

static double slope_of(const mt_norm_backward_args *args, double S, double scale)
{
    double C = (double)args->C, P = (double)args->P;
    switch (args->kind) {
    case MT_LAYER_NORM:
    case MT_BASIC_NORM:
        return -pow(scale, 3.0) / C;
    case MT_RMS_NORM:
        return S > 0.0 ? -pow(scale, 2.0) / (P * sqrt(S / P)) : 0.0; /* x is zero, whatever R is */
    case MT_SCALE_NORM:
        return sqrt(S) > args->eps ? -pow(scale, 3.0) : 0.0;
    }
    return NAN;
}

/* The place of channel c's weight: layer_norm and rms_norm have one for each. */
static int64_t place_of(mt_norm_kind kind, int64_t c)
{
    return kind == MT_LAYER_NORM || kind == MT_RMS_NORM ? c : 0;
}

static double factor_of(mt_norm_kind kind, const double *weight, int64_t c)
{
    return kind == MT_BASIC_NORM ? 1.0 : weight[place_of(kind, c)];
}

void mt_reference_norm_forward(const mt_norm_forward_args *args)
{
    int64_t C = args->C, P = args->kind == MT_RMS_NORM ? args->P : C;
    for (int64_t n = 0; n < args->N; n++) {
        const double *x = (const double *)args->x + n * C;
        double mean = args->kind == MT_LAYER_NORM ? mean_of(x, C) : 0.0;
        double scale = scale_of(args, squares_of(x, mean, P));
        for (int64_t c = 0; c < C; c++) {
            double bias = args->kind == MT_LAYER_NORM ? get(args->bias, c, 0.0) : 0.0;
            put(args->y, n * C + c,
                factor_of(args->kind, args->weight, c) * scale * (x[c] - mean) + bias);
        }
        put(args->mean, n, mean);
        put(args->scale, n, scale);
    }
}

static void row_backward(const mt_norm_backward_args *args, int64_t n)
{
    int64_t C = args->C, P = args->kind == MT_RMS_NORM ? args->P : C;
    const double *x = (const double *)args->x + n * C, *dy = (const double *)args->dy + n * C;
    double mean = args->kind == MT_LAYER_NORM ? get(args->mean, n, 0.0) : 0.0;
    double scale = get(args->scale, n, 0.0);
    double slope = slope_of(args, squares_of(x, mean, P), scale), R = 0.0, mean_g = 0.0;
    for (int64_t c = 0; c < C; c++) {
        double g = dy[c] * factor_of(args->kind, args->weight, c);
        R += g * (x[c] - mean);
        mean_g += args->kind == MT_LAYER_NORM ? g / (double)C : 0.0;
    }
    for (int64_t c = 0; c < C; c++) {
        double g = dy[c] * factor_of(args->kind, args->weight, c);
        put(args->dx, n * C + c, scale * (g - mean_g) + (c < P ? R * slope * (x[c] - mean) : 0.0));
        if (args->kind != MT_BASIC_NORM) {
            add(args->dweight, place_of(args->kind, c), dy[c] * scale * (x[c] - mean));
        }
        add(args->dbias, c, dy[c]);
    }
    if (args->kind == MT_BASIC_NORM) {
        add(args->dweight, 0, R * -pow(scale, 3.0) * exp(get(args->weight, 0, 0.0)) / 2.0);
    }
}

void mt_reference_norm_backward(const mt_norm_backward_args *args)
{
    for (int64_t c = 0; c < args->C; c++) {
        put(args->dweight, place_of(args->kind, c), 0.0);
        put(args->dbias, c, 0.0);
    }
    for (int64_t n = 0; n < args->N; n++) {
        row_backward(args, n);
    }
}
