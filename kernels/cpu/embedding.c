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
        memcpy((real *)args->y + n * C, (const real *)args->table + args->indices[n] * C,
               (size_t)C * sizeof(real));
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

/* Blocks of columns of the whole table: each row sums its uses in order, whichever thread does
 * it. */
static void table_grad(const void *loop, int64_t first_block, int64_t end_block)
{
    const mt_embedding_backward_args *args = loop;
    int64_t C = args->C, first = first_block * COLUMN_BLOCK, end = end_block * COLUMN_BLOCK;
    int64_t width = (end < C ? end : C) - first;
    real *dtable = (real *)args->dtable + first;
    for (int64_t v = 0; v < args->V; v++) {
        memset(dtable + v * C, 0, (size_t)width * sizeof(real));
    }
    for (int64_t n = 0; n < args->N; n++) {
        if (args->indices[n] == args->padding_index) {
            continue;
        }
        const real *restrict dy = (const real *)args->dy + n * C + first;
        real *restrict row = dtable + args->indices[n] * C;
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
            row[c] += dy[c];
        }
    }
}

mt_status KERNEL(embedding_backward)(mt_device *device, const mt_embedding_backward_args *args)
{
    (void)device;
    int64_t blocks = (args->C + COLUMN_BLOCK - 1) / COLUMN_BLOCK;
    mt_team_loop((args->N + args->V) * args->C, blocks, table_grad, args);
    return MT_OK;
}
