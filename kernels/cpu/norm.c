/* The four norms. Each row is y = weight scale (x - mean); what differs is how a row's scale comes
 * about, and what of its gradient flows back through it. */
#include "kernels/cpu/device.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/row_sums.h"
#include "kernels/norm_formulas.h"

#include <math.h>
#include <string.h>

/* Terms of a row's sum that are added as reals before the sum goes on in double. */
enum { SUM_BLOCK = 256 };

/* The mean, as x[0] plus the mean distance from it: a row of equal values has exactly their mean,
 * and so a variance of zero. */
static double row_mean(const stored *x, int64_t n)
{
    double sum = 0.0;
    real origin = value(x[0]);
    for (int64_t first = 0; first < n; first += SUM_BLOCK) {
        int64_t end = n - first < SUM_BLOCK ? n : first + SUM_BLOCK;
        real block = (real)0.0;
#pragma omp simd reduction(+ : block)
        for (int64_t c = first; c < end; c++) {
            block += value(x[c]) - origin;
        }
        sum += (double)block;
    }
    return (double)origin + sum / (double)n;
}

/* Sum of (x - mean)^2. */
static double row_squares(const stored *x, real mean, int64_t n)
{
    double sum = 0.0;
    for (int64_t first = 0; first < n; first += SUM_BLOCK) {
        int64_t end = n - first < SUM_BLOCK ? n : first + SUM_BLOCK;
        real block = (real)0.0;
#pragma omp simd reduction(+ : block)
        for (int64_t c = first; c < end; c++) {
            real distance = value(x[c]) - mean;
            block += distance * distance;
        }
        sum += (double)block;
    }
    return sum;
}

/* The row's mean (zero but for layer_norm) and scale. */
static void row_statistics(const mt_norm_forward_args *args, const stored *x, double *mean,
                           double *scale)
{
    int64_t n = mt_norm_counted(args->kind, args->C, args->P);
    double eps = args->kind == MT_BASIC_NORM ? exp((double)*(const real *)args->weight) : args->eps;
    *mean = args->kind == MT_LAYER_NORM ? row_mean(x, n) : 0.0;
    *scale = mt_norm_scale(args->kind, row_squares(x, (real)*mean, n), (double)n, eps);
}

static real single_weight(mt_norm_kind kind, const real *weight)
{
    return kind == MT_SCALE_NORM ? weight[0] : (real)1.0;
}

static void write_row(const mt_norm_forward_args *args, const stored *x, real mean, real scale,
                      stored *y)
{
    const real *weight = args->weight, *bias = args->bias;
    if (args->kind == MT_LAYER_NORM) {
#pragma omp simd
        for (int64_t c = 0; c < args->C; c++) {
            y[c] = rounded((value(x[c]) - mean) * scale * weight[c] + bias[c]);
        }
    } else if (args->kind == MT_RMS_NORM) {
#pragma omp simd
        for (int64_t c = 0; c < args->C; c++) {
            y[c] = rounded(value(x[c]) * scale * weight[c]);
        }
    } else {
        real factor = scale * single_weight(args->kind, weight);
#pragma omp simd
        for (int64_t c = 0; c < args->C; c++) {
            y[c] = rounded(value(x[c]) * factor);
        }
    }
}

static void forward_rows(const void *loop, int64_t first, int64_t end)
{
    const mt_norm_forward_args *args = loop;
    int64_t C = args->C;
    for (int64_t n = first; n < end; n++) {
        double mean, scale;
        row_statistics(args, (const stored *)args->x + n * C, &mean, &scale);
        write_row(args, (const stored *)args->x + n * C, (real)mean, (real)scale,
                  (stored *)args->y + n * C);
        if (args->mean != NULL) {
            ((real *)args->mean)[n] = (real)mean;
        }
        if (args->scale != NULL) {
            ((real *)args->scale)[n] = (real)scale;
        }
    }
}

mt_status KERNEL(norm_forward)(mt_device *device, const mt_norm_forward_args *args)
{
    (void)device;
    mt_team_loop(args->N * args->C, args->N, forward_rows, args);
    return MT_OK;
}

/* A row in backward, and the partial sums that its columns are added to (NULL: not wanted). */
typedef struct backward_row {
    const stored *x, *dy;
    real mean, scale;
    stored *dx;
    real *dweight, *dbias;
    double sum_g, sum_gx; /* of g = dy weight, and of g (x - mean): dx needs them */
} backward_row;

static void channel_sums(const mt_norm_backward_args *args, backward_row *row)
{
    const real *weight = args->weight;
    const stored *x = row->x, *dy = row->dy;
    real mean = row->mean;
    for (int64_t first = 0; first < args->C; first += SUM_BLOCK) {
        int64_t end = args->C - first < SUM_BLOCK ? args->C : first + SUM_BLOCK;
        real sum_g = (real)0.0, sum_gx = (real)0.0;
#pragma omp simd reduction(+ : sum_g, sum_gx)
        for (int64_t c = first; c < end; c++) {
            real g = value(dy[c]) * weight[c];
            sum_g += g;
            sum_gx += g * (value(x[c]) - mean);
        }
        row->sum_g += (double)sum_g;
        row->sum_gx += (double)sum_gx;
    }
}

/* Adds dy scale (x - mean) and dy to the columns' sums. */
static void add_weight_grad(int64_t C, const backward_row *row)
{
    const stored *restrict x = row->x, *restrict dy = row->dy;
    real *restrict dweight = row->dweight;
    real mean = row->mean, scale = row->scale;
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        dweight[c] += value(dy[c]) * scale * (value(x[c]) - mean);
    }
}

static void add_bias_grad(int64_t C, const backward_row *row)
{
    const stored *restrict dy = row->dy;
    real *restrict dbias = row->dbias;
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        dbias[c] += value(dy[c]);
    }
}

/* Sum of dy x: for the norms of a single weight. */
static double row_dot(const stored *x, const stored *dy, int64_t C)
{
    double sum = 0.0;
    for (int64_t first = 0; first < C; first += SUM_BLOCK) {
        int64_t end = C - first < SUM_BLOCK ? C : first + SUM_BLOCK;
        real block = (real)0.0;
#pragma omp simd reduction(+ : block)
        for (int64_t c = first; c < end; c++) {
            block += value(dy[c]) * value(x[c]);
        }
        sum += (double)block;
    }
    return sum;
}

/* dx = scale g - shift - slope (x - mean) over the first `sloped` channels of a row, with slope and
 * shift the same for all. */
static void input_grad(const mt_norm_backward_args *args, const backward_row *row)
{
    int64_t C = args->C, sloped = mt_norm_counted(args->kind, C, args->P);
    const stored *restrict x = row->x, *restrict dy = row->dy;
    const real *restrict weight = args->weight;
    stored *restrict dx = row->dx;
    real mean = row->mean, scale = row->scale;
    real slope =
        (real)mt_norm_slope(args->kind, (double)scale, row->sum_gx, (double)sloped, args->eps);
    if (args->kind == MT_LAYER_NORM) {
        real shift = (real)((double)scale * row->sum_g / (double)C);
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            dx[c] =
                rounded(scale * value(dy[c]) * weight[c] - shift - slope * (value(x[c]) - mean));
        }
    } else if (args->kind == MT_RMS_NORM) {
#pragma omp simd
        for (int64_t c = 0; c < sloped; c++) {
            dx[c] = rounded(scale * value(dy[c]) * weight[c] - slope * value(x[c]));
        }
#pragma omp simd
        for (int64_t c = sloped; c < C; c++) {
            dx[c] = rounded(scale * value(dy[c]) * weight[c]);
        }
    } else {
        real factor = scale * single_weight(args->kind, weight);
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            dx[c] = rounded(factor * value(dy[c]) - slope * value(x[c]));
        }
    }
}

static backward_row row_at(const mt_norm_backward_args *args, int64_t n)
{
    return (backward_row){
        .x = (const stored *)args->x + n * args->C,
        .dy = (const stored *)args->dy + n * args->C,
        .mean = args->kind == MT_LAYER_NORM ? ((const real *)args->mean)[n] : (real)0.0,
        .scale = ((const real *)args->scale)[n],
        .dx = args->dx != NULL ? (stored *)args->dx + n * args->C : NULL,
    };
}

typedef struct backward_loop {
    const mt_norm_backward_args *args;
    void *sums; /* of each chunk of rows, or of each row */
} backward_loop;

static void channel_weight_chunks(const void *loop, int64_t first_chunk, int64_t end_chunk)
{
    const mt_norm_backward_args *args = ((const backward_loop *)loop)->args;
    real *partials = ((const backward_loop *)loop)->sums;
    int64_t C = args->C;
    for (int64_t chunk = first_chunk; chunk < end_chunk; chunk++) {
        real *partial = partials + 2 * chunk * C;
        int64_t first = chunk * CHUNK_ROWS;
        int64_t end = args->N - first < CHUNK_ROWS ? args->N : first + CHUNK_ROWS;
        memset(partial, 0, (size_t)(2 * C) * sizeof(real));
        for (int64_t n = first; n < end; n++) {
            backward_row row = row_at(args, n);
            row.dweight = partial;
            row.dbias = partial + C;
            if (args->dweight != NULL) {
                add_weight_grad(C, &row);
            }
            if (args->dbias != NULL) {
                add_bias_grad(C, &row);
            }
            if (args->dx != NULL) {
                channel_sums(args, &row);
                input_grad(args, &row);
            }
        }
    }
}

/* layer_norm and rms_norm: rows in chunks, each with its partial dweight and dbias. */
static mt_status channel_weight_backward(mt_device *device, const mt_norm_backward_args *args)
{
    int64_t C = args->C, chunks = row_chunks(args->N);
    real *partials;
    mt_status status =
        mt_cpu_workspace(device, (size_t)(2 * chunks * C) * sizeof(real), (void **)&partials);
    if (status != MT_OK) {
        return status;
    }
    backward_loop loop = {args, partials};
    mt_team_loop(args->N * C, chunks, channel_weight_chunks, &loop);
    if (args->dweight != NULL) {
        add_partials(partials, chunks, 2 * C, C, args->dweight);
    }
    if (args->dbias != NULL) {
        add_partials(partials + C, chunks, 2 * C, C, args->dbias);
    }
    return MT_OK;
}

static void single_weight_rows(const void *loop, int64_t first, int64_t end)
{
    const mt_norm_backward_args *args = ((const backward_loop *)loop)->args;
    double *dots = ((const backward_loop *)loop)->sums;
    for (int64_t n = first; n < end; n++) {
        backward_row row = row_at(args, n);
        dots[n] = row_dot(row.x, row.dy, args->C);
        if (args->dx != NULL) {
            row.sum_gx = (double)single_weight(args->kind, args->weight) * dots[n];
            input_grad(args, &row);
        }
    }
}

/* scale_norm and basic_norm. */
static mt_status single_weight_backward(mt_device *device, const mt_norm_backward_args *args)
{
    int64_t N = args->N;
    const real *weight = args->weight, *scales = args->scale;
    double *dots;
    mt_status status = mt_cpu_workspace(device, (size_t)N * sizeof *dots, (void **)&dots);
    if (status != MT_OK) {
        return status;
    }
    backward_loop loop = {args, dots};
    mt_team_loop(N * args->C, N, single_weight_rows, &loop);
    if (args->dweight == NULL) {
        return MT_OK;
    }
    double sum = 0.0, eps = exp((double)weight[0]);
    for (int64_t n = 0; n < N; n++) {
        sum += mt_norm_weight_grad(args->kind, dots[n], (double)scales[n], eps);
    }
    *(real *)args->dweight = (real)sum;
    return MT_OK;
}

mt_status KERNEL(norm_backward)(mt_device *device, const mt_norm_backward_args *args)
{
    return mt_norm_weight_per_channel(args->kind) ? channel_weight_backward(device, args)
                                                  : single_weight_backward(device, args);
}
