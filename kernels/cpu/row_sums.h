/* Sums over the rows of an array, in one pass: chunks of a fixed number of rows are summed by
 * whichever thread takes them, each into a partial sum of its own, and the partial sums are added
 * in order, in double. So no result depends on the number of threads, and no float32 sum is long.
 * Internal. */
#ifndef MT_KERNELS_CPU_ROW_SUMS_H
#define MT_KERNELS_CPU_ROW_SUMS_H

#include "real.h"

/* Long enough that adding up the partial sums costs little, short enough to occupy every core. */
enum { CHUNK_ROWS = 32 };

static inline int64_t row_chunks(int64_t rows)
{
    return (rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
}

/* sum[c] = sum over chunks of partials[chunk * stride + c] */
static inline void add_partials(const real *partials, int64_t chunks, int64_t stride, int64_t C,
                                real *sum)
{
    enum { COLUMNS = 64 };
#pragma omp parallel for schedule(static) if (chunks * C >= PARALLEL_ELEMENTS)                     \
    num_threads(mt_cpu_threads())
    for (int64_t first = 0; first < C; first += COLUMNS) {
        int64_t width = C - first < COLUMNS ? C - first : COLUMNS;
        double sums[COLUMNS] = {0.0};
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            const real *partial = partials + chunk * stride + first;
#pragma omp simd
            for (int64_t c = 0; c < width; c++) {
                sums[c] += (double)partial[c];
            }
        }
        for (int64_t c = 0; c < width; c++) {
            sum[first + c] = (real)sums[c];
        }
    }
}

#endif
