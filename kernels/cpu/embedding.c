/* Rows of a table. */
#include "kernels/cpu/kernels.h"

#include <inttypes.h>
#include <string.h>

/* Columns of a cache line: no two threads write to one. */
enum { COLUMN_BLOCK = 64 / sizeof(real) };

static void copy_rows(const void *loop, int64_t first, int64_t end)
{
    const mt_embedding_forward_args *args = loop;
    int64_t C = args->C;
    for (int64_t n = first; n < end; n++) {
        const real *row = (const real *)args->table + args->indices[n] * C;
        stored *y = (stored *)args->y + n * C;
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            y[c] = rounded(row[c]);
        }
    }
}

mt_status KERNEL(embedding_forward)(mt_device *device, const mt_embedding_forward_args *args)
{
    (void)device;
    for (int64_t n = 0; n < args->N; n++) {
        if (args->indices[n] < 0 || args->indices[n] >= args->V) {
            return mt_fail(MT_ERROR_INVALID,
                           "embedding: index %" PRId32 " at %" PRId64 ", not in 0 .. %" PRId64,
                           args->indices[n], n, args->V - 1);
        }
    }
    mt_team_loop(args->N * args->C, args->N, copy_rows, args);
    return MT_OK;
}

static bool is_zero(const mt_embedding_backward_args *args, int64_t v)
{
    return args->zero_rows != NULL && args->zero_rows[v] != 0;
}

static void clear_rows(const void *loop, int64_t first, int64_t end)
{
    const mt_embedding_backward_args *args = loop;
    for (int64_t v = first; v < end; v++) {
        if (!is_zero(args, v)) {
            memset((real *)args->dtable + v * args->C, 0, (size_t)args->C * sizeof(real));
        }
    }
}

/* Blocks of columns of the whole table: each row sums its uses in order, whichever thread does
 * it. */
static void table_grad(const void *loop, int64_t first_block, int64_t end_block)
{
    const mt_embedding_backward_args *args = loop;
    int64_t C = args->C, first = first_block * COLUMN_BLOCK, end = end_block * COLUMN_BLOCK;
    int64_t width = (end < C ? end : C) - first;
    real *dtable = (real *)args->dtable + first;
    for (int64_t n = 0; n < args->N; n++) {
        if (args->indices[n] == args->padding_index) {
            continue;
        }
        const stored *restrict dy = (const stored *)args->dy + n * C + first;
        real *restrict row = dtable + args->indices[n] * C;
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
            row[c] += value(dy[c]);
        }
    }
}

static void mark_rows(const mt_embedding_backward_args *args)
{
    if (!args->adds) {
        memset(args->zero_rows, 1, (size_t)args->V);
    }
    for (int64_t n = 0; n < args->N; n++) {
        if (args->indices[n] != args->padding_index) {
            args->zero_rows[args->indices[n]] = 0;
        }
    }
}

mt_status KERNEL(embedding_backward)(mt_device *device, const mt_embedding_backward_args *args)
{
    (void)device;
    int64_t blocks = (args->C + COLUMN_BLOCK - 1) / COLUMN_BLOCK;
    if (!args->adds) {
        mt_team_loop(args->V * args->C, args->V, clear_rows, args);
    }
    mt_team_loop(args->N * args->C, blocks, table_grad, args);
    if (args->zero_rows != NULL) {
        mark_rows(args);
    }
    return MT_OK;
}
