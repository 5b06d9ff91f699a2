/* Sums. Every sum is made of parts whose borders depend on the size alone, added
 * in order: the number of threads changes who computes a part, not what comes out. */
#include "kernels/cpu/device.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/row_sums.h"

#include <math.h>
#include <string.h>

/* Elements of one part of a sum over everything. */
enum { SUM_PART = 8192 };

/* partial[c] = sum of `rows` rows, four at a time, to spare the cache that holds the sums. */
static void sum_chunk(const stored *restrict x, int64_t rows, int64_t C, real *restrict partial)
{
    int64_t row = 0;
    memset(partial, 0, (size_t)C * sizeof(real));
    for (; row + 4 <= rows; row += 4, x += 4 * C) {
        const stored *restrict x1 = x + C, *restrict x2 = x + 2 * C, *restrict x3 = x + 3 * C;
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            partial[c] += (value(x[c]) + value(x1[c])) + (value(x2[c]) + value(x3[c]));
        }
    }
    for (; row < rows; row++, x += C) {
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            partial[c] += value(x[c]);
        }
    }
}

typedef struct rows_to_sum {
    int64_t N, C, chunks;
    const stored *x;
    int64_t step;   /* from matrix to matrix */
    real *partials; /* (batch, chunks, C) */
} rows_to_sum;

static void sum_chunks(const void *loop, int64_t first_turn, int64_t end_turn)
{
    const rows_to_sum *of = loop;
    for (int64_t turn = first_turn; turn < end_turn; turn++) {
        int64_t first = turn % of->chunks * CHUNK_ROWS, rest = of->N - first;
        sum_chunk(of->x + turn / of->chunks * of->step + first * of->C,
                  rest < CHUNK_ROWS ? rest : CHUNK_ROWS, of->C, of->partials + turn * of->C);
    }
}

mt_status KERNEL(sum_rows)(mt_device *device, int64_t batch, int64_t N, int64_t C, const void *x,
                           int64_t x_step, void *y, int64_t y_step)
{
    real *partials;
    int64_t chunks = row_chunks(N);
    mt_status status =
        mt_cpu_workspace(device, (size_t)(batch * chunks * C) * sizeof(real), (void **)&partials);
    if (status != MT_OK) {
        return status;
    }
    rows_to_sum loop = {N, C, chunks, x, x_step > 0 ? x_step : N * C, partials};
    mt_team_loop(batch * N * C, batch * chunks, sum_chunks, &loop);
    for (int64_t b = 0; b < batch; b++) {
        add_partials(partials + b * chunks * C, chunks, C, C,
                     (real *)y + b * (y_step > 0 ? y_step : C));
    }
    return MT_OK;
}

/* The sum over n elements of a function of a and b: parts in parallel, then their sum in order. */
typedef double (*part_sum)(const stored *a, const stored *b, int64_t n);

typedef struct parts_to_sum {
    int64_t n;
    part_sum part;
    const stored *a, *b;
    double *sums;
} parts_to_sum;

static void sum_parts(const void *loop, int64_t first_part, int64_t end_part)
{
    const parts_to_sum *of = loop;
    for (int64_t i = first_part; i < end_part; i++) {
        int64_t first = i * SUM_PART, rest = of->n - first;
        of->sums[i] = of->part(of->a + first, of->b + first, rest < SUM_PART ? rest : SUM_PART);
    }
}

static mt_status sum_of_parts(mt_device *device, int64_t n, part_sum part, const stored *a,
                              const stored *b, double *sum)
{
    int64_t parts = (n + SUM_PART - 1) / SUM_PART;
    double *sums;
    mt_status status = mt_cpu_workspace(device, (size_t)parts * sizeof *sums, (void **)&sums);
    if (status != MT_OK) {
        return status;
    }
    parts_to_sum loop = {n, part, a, b, sums};
    mt_team_loop(n, parts, sum_parts, &loop);
    *sum = 0.0;
    for (int64_t i = 0; i < parts; i++) {
        *sum += sums[i];
    }
    return MT_OK;
}

static double part_plain(const stored *a, const stored *b, int64_t n)
{
    (void)b;
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        sum += (double)value(a[i]);
    }
    return sum;
}

static double part_product(const stored *a, const stored *b, int64_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        sum += (double)value(a[i]) * (double)value(b[i]);
    }
    return sum;
}

static double part_square_difference(const stored *a, const stored *b, int64_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        double difference = (double)value(a[i]) - (double)value(b[i]);
        sum += difference * difference;
    }
    return sum;
}

mt_status KERNEL(sum)(mt_device *device, int64_t n, double alpha, const void *x, void *y)
{
    double sum;
    mt_status status = sum_of_parts(device, n, part_plain, x, x, &sum);
    if (status == MT_OK) {
        *(real *)y = (real)(alpha * sum);
    }
    return status;
}

mt_status KERNEL(sum_squares)(mt_device *device, int64_t n, const void *x, double *y)
{
    return sum_of_parts(device, n, part_product, x, x, y);
}

mt_status KERNEL(watch)(mt_device *device, double most, const void *x, double *halt)
{
    (void)device;
    double watched = (double)*(const real *)x;
    if (!(watched >= -most && watched <= most)) {
        *halt = (double)NAN;
    }
    return MT_OK;
}

mt_status KERNEL(mean_square_forward)(mt_device *device, int64_t n, const void *a, const void *b,
                                      void *y)
{
    double sum;
    mt_status status = sum_of_parts(device, n, part_square_difference, a, b, &sum);
    if (status == MT_OK) {
        *(real *)y = (real)(sum / (double)n);
    }
    return status;
}

typedef struct differences {
    const stored *a, *b;
    real factor;
    stored *to;
} differences;

static void scale_differences(const void *loop, int64_t first, int64_t end)
{
    const stored *a = ((const differences *)loop)->a, *b = ((const differences *)loop)->b;
    stored *to = ((const differences *)loop)->to;
    real factor = ((const differences *)loop)->factor;
#pragma omp simd
    for (int64_t i = first; i < end; i++) {
        to[i] = rounded(factor * (value(a[i]) - value(b[i])));
    }
}

mt_status KERNEL(mean_square_backward)(mt_device *device, int64_t n, const void *a, const void *b,
                                       const void *dy, void *da)
{
    (void)device;
    differences loop = {a, b, *(const real *)dy * (real)(2.0 / (double)n), da};
    mt_team_loop(n, n, scale_differences, &loop);
    return MT_OK;
}
