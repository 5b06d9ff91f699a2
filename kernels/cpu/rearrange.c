/* Kernels that move numbers: rows, axes, and from type to type. */
#include "kernels/cpu/kernels.h"

#include <math.h>
#include <string.h>

/* Rows of `columns` numbers that are copied. */
typedef struct rows_to_copy {
    int64_t columns, from_stride, to_stride;
    const stored *from;
    stored *to;
} rows_to_copy;

static void copy_stretch(const void *loop, int64_t first, int64_t end)
{
    const rows_to_copy *of = loop;
    for (int64_t row = first; row < end; row++) {
        memcpy(of->to + row * of->to_stride, of->from + row * of->from_stride,
               (size_t)of->columns * sizeof(stored));
    }
}

mt_status KERNEL(copy_rows)(mt_device *device, int64_t rows, int64_t columns, const void *src,
                            int64_t src_stride, void *dst, int64_t dst_stride)
{
    (void)device;
    rows_to_copy loop = {columns, src_stride, dst_stride, src, dst};
    mt_team_loop(rows * columns, rows, copy_stretch, &loop);
    return MT_OK;
}

/* A row of C numbers, written again and again. Rows are often short, so that a call of memcpy for
 * each would be a good part of the work. */
typedef struct row_to_repeat {
    int64_t C;
    const real *x;
    stored *y;
} row_to_repeat;

static void repeat_stretch(const void *loop, int64_t first, int64_t end)
{
    const row_to_repeat of = *(const row_to_repeat *)loop;
    const real *restrict x = of.x;
    for (int64_t row = first; row < end; row++) {
        stored *restrict y = of.y + row * of.C;
#pragma omp simd
        for (int64_t c = 0; c < of.C; c++) {
            y[c] = rounded(x[c]);
        }
    }
}

mt_status KERNEL(broadcast_rows)(mt_device *device, int64_t N, int64_t C, const void *x, void *y)
{
    (void)device;
    row_to_repeat loop = {C, x, y};
    mt_team_loop(N * C, N, repeat_stretch, &loop);
    return MT_OK;
}

/* Axes of P and Q steps that change places. A turn of the loop is a tile of the second, at one
 * place of what stands before and between them: it is read along Q and written along P. */
enum { TILE = 16 };

typedef struct axes {
    int64_t P, M, Q, N, tiles;
    const stored *from;
    stored *to;
} axes;

static void swap_tiles(const void *loop, int64_t first, int64_t end)
{
    const axes of = *(const axes *)loop;
    for (int64_t turn = first; turn < end; turn++) {
        int64_t tile = turn % of.tiles, m = turn / of.tiles % of.M, a = turn / of.tiles / of.M;
        int64_t begin = tile * TILE, stop = begin + TILE < of.Q ? begin + TILE : of.Q;
        for (int64_t p = 0; p < of.P; p++) {
            const stored *from = of.from + (((a * of.P + p) * of.M + m) * of.Q) * of.N;
            stored *to = of.to + ((a * of.Q * of.M + m) * of.P + p) * of.N;
            for (int64_t q = begin; q < stop; q++) {
                memcpy(to + q * of.M * of.P * of.N, from + q * of.N, (size_t)of.N * sizeof(stored));
            }
        }
    }
}

mt_status KERNEL(swap_axes)(mt_device *device, int64_t A, int64_t P, int64_t M, int64_t Q,
                            int64_t N, const void *x, void *y)
{
    (void)device;
    axes loop = {P, M, Q, N, (Q + TILE - 1) / TILE, x, y};
    mt_team_loop(A * P * M * Q * N, A * M * loop.tiles, swap_tiles, &loop);
    return MT_OK;
}

/* Numbers that are taken over. */
typedef struct wide_numbers {
    const real *from;
    real *to;
} wide_numbers;

static void take_stretch(const void *loop, int64_t first, int64_t end)
{
    const wide_numbers *of = loop;
    memcpy(of->to + first, of->from + first, (size_t)(end - first) * sizeof(real));
}

mt_status KERNEL(commit)(mt_device *device, int64_t n, const double *halt, const void *x, void *y)
{
    (void)device;
    if (!isnan(*halt)) {
        mt_team_loop(n, n, take_stretch, &(wide_numbers){x, y});
    }
    return MT_OK;
}

typedef struct numbers {
    const void *from;
    void *to;
} numbers;

static void widen_stretch(const void *loop, int64_t first, int64_t end)
{
    const stored *from = ((const numbers *)loop)->from;
    real *to = ((const numbers *)loop)->to;
#pragma omp simd
    for (int64_t i = first; i < end; i++) {
        to[i] = value(from[i]);
    }
}

static void narrow_stretch(const void *loop, int64_t first, int64_t end)
{
    const real *from = ((const numbers *)loop)->from;
    stored *to = ((const numbers *)loop)->to;
#pragma omp simd
    for (int64_t i = first; i < end; i++) {
        to[i] = rounded(from[i]);
    }
}

mt_status KERNEL(widen)(mt_device *device, int64_t n, const void *x, void *y)
{
    (void)device;
    mt_team_loop(n, n, widen_stretch, &(numbers){x, y});
    return MT_OK;
}

mt_status KERNEL(narrow)(mt_device *device, int64_t n, const void *x, void *y)
{
    (void)device;
    mt_team_loop(n, n, narrow_stretch, &(numbers){x, y});
    return MT_OK;
}
