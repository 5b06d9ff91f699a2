/* Sums and their inverses. Every sum is made of parts whose borders depend on the size alone, added
 * in order: the number of threads changes who computes a part, not what comes out. */
#include "kernels/cpu/device.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/row_sums.h"

#include <string.h>

/* Elements of one part of a sum over everything. */
enum { SUM_PART = 8192 };

mt_status KERNEL(broadcast_rows)(mt_device *device, int64_t N, int64_t C, const void *x, void *y)
{
    (void)device;
    const real *from = x;
    real *to = y;
#pragma omp parallel for schedule(static) if (N * C >= PARALLEL_ELEMENTS)                          \
    num_threads(mt_cpu_threads())
    for (int64_t n = 0; n < N; n++) {
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            to[n * C + c] = from[c];
        }
    }
    return MT_OK;
}

/* partial[c] = sum of `rows` rows, four at a time, to spare the cache that holds the sums. */
static void sum_chunk(const real *restrict x, int64_t rows, int64_t C, real *restrict partial)
{
    int64_t row = 0;
    memset(partial, 0, (size_t)C * sizeof(real));
    for (; row + 4 <= rows; row += 4, x += 4 * C) {
        const real *restrict x1 = x + C, *restrict x2 = x + 2 * C, *restrict x3 = x + 3 * C;
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            partial[c] += (x[c] + x1[c]) + (x2[c] + x3[c]);
        }
    }
    for (; row < rows; row++, x += C) {
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            partial[c] += x[c];
        }
    }
}

mt_status KERNEL(sum_rows)(mt_device *device, int64_t N, int64_t C, const void *x, void *y)
{
    real *partials;
    int64_t chunks = row_chunks(N);
    mt_status status =
        mt_cpu_workspace(device, (size_t)(chunks * C) * sizeof(real), (void **)&partials);
    if (status != MT_OK) {
        return status;
    }
#pragma omp parallel for schedule(static) if (N * C >= PARALLEL_ELEMENTS)                          \
    num_threads(mt_cpu_threads())
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        int64_t first = chunk * CHUNK_ROWS;
        sum_chunk((const real *)x + first * C, N - first < CHUNK_ROWS ? N - first : CHUNK_ROWS, C,
                  partials + chunk * C);
    }
    add_partials(partials, chunks, C, C, y);
    return MT_OK;
}

/* The sum over n elements of a function of a and b: parts in parallel, then their sum in order. */
typedef double (*part_sum)(const real *a, const real *b, int64_t n);

static mt_status sum_of_parts(mt_device *device, int64_t n, part_sum part, const real *a,
                              const real *b, double *sum)
{
    int64_t parts = (n + SUM_PART - 1) / SUM_PART;
    double *sums;
    mt_status status = mt_cpu_workspace(device, (size_t)parts * sizeof *sums, (void **)&sums);
    if (status != MT_OK) {
        return status;
    }
#pragma omp parallel for schedule(static) if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < parts; i++) {
        int64_t first = i * SUM_PART;
        sums[i] = part(a + first, b + first, n - first < SUM_PART ? n - first : SUM_PART);
    }
    *sum = 0.0;
    for (int64_t i = 0; i < parts; i++) {
        *sum += sums[i];
    }
    return MT_OK;
}

static double part_plain(const real *a, const real *b, int64_t n)
{
    (void)b;
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        sum += (double)a[i];
    }
    return sum;
}

static double part_product(const real *a, const real *b, int64_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static double part_square_difference(const real *a, const real *b, int64_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        double difference = (double)a[i] - (double)b[i];
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

mt_status KERNEL(mean_square_backward)(mt_device *device, int64_t n, const void *a, const void *b,
                                       const void *dy, void *da)
{
    (void)device;
    const real *left = a, *right = b;
    real *to = da;
    real factor = *(const real *)dy * (real)(2.0 / (double)n);
#pragma omp parallel for simd schedule(static) if (n >= PARALLEL_ELEMENTS)                         \
    num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = factor * (left[i] - right[i]);
    }
    return MT_OK;
}

mt_status KERNEL(copy_rows)(mt_device *device, int64_t rows, int64_t columns, const void *src,
                            int64_t src_stride, void *dst, int64_t dst_stride)
{
    (void)device;
    const real *from = src;
    real *to = dst;
#pragma omp parallel for schedule(static) if (rows * columns >= PARALLEL_ELEMENTS)                 \
    num_threads(mt_cpu_threads())
    for (int64_t row = 0; row < rows; row++) {
        memcpy(to + row * dst_stride, from + row * src_stride, (size_t)columns * sizeof(real));
    }
    return MT_OK;
}
