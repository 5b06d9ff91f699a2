/* Rows of a table. */
#include "kernels/cpu/kernels.h"

#include <inttypes.h>
#include <string.h>

/* Columns of a cache line: no two threads write to one. */
enum { COLUMN_BLOCK = 64 / sizeof(real) };

mt_status KERNEL(embedding_forward)(mt_device *device, const mt_embedding_forward_args *args)
{
    (void)device;
    int64_t C = args->C;
    for (int64_t n = 0; n < args->N; n++) {
        if (args->indices[n] < 0 || args->indices[n] >= args->V) {
            return mt_fail(MT_ERROR_INVALID,
                           "embedding: index %" PRId32 " at %" PRId64 ", not in 0 .. %" PRId64,
                           args->indices[n], n, args->V - 1);
        }
    }
#pragma omp parallel for schedule(static) if (args->N * C >= PARALLEL_ELEMENTS)                    \
    num_threads(mt_cpu_threads())
    for (int64_t n = 0; n < args->N; n++) {
        memcpy((real *)args->y + n * C, (const real *)args->table + args->indices[n] * C,
               (size_t)C * sizeof(real));
    }
    return MT_OK;
}

/* The columns first .. first + width - 1 of the whole table: each row sums its uses in order. */
static void table_grad(const mt_embedding_backward_args *args, int64_t first, int64_t width)
{
    int64_t C = args->C;
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
    /* A stretch of columns to a thread: where the stretches end changes no sum. */
    int64_t blocks = (args->C + COLUMN_BLOCK - 1) / COLUMN_BLOCK, threads = mt_cpu_threads();
    int64_t width = (blocks + threads - 1) / threads * COLUMN_BLOCK;
#pragma omp parallel for schedule(static) if ((args->N + args->V) * args->C >= PARALLEL_ELEMENTS)  \
    num_threads(mt_cpu_threads())
    for (int64_t first = 0; first < args->C; first += width) {
        table_grad(args, first, args->C - first < width ? args->C - first : width);
    }
    return MT_OK;
}
