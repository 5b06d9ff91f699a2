/* Sums over the rows of an array, in one pass: chunks of a fixed number of rows are summed by
 * whichever thread takes them, each into a partial sum of its own, and the partial sums are added
 * in order, in double. So no result depends on the number of threads, and no float32 sum is long.
 * Internal. */
#ifndef MT_KERNELS_CPU_ROW_SUMS_H
#define MT_KERNELS_CPU_ROW_SUMS_H

#include "real.h"
#include "team.h"

/* Long enough that adding up the partial sums costs little, short enough to occupy every core. */
enum { CHUNK_ROWS = 32 };

static inline int64_t row_chunks(int64_t rows)
{
    return (rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
}

/* Columns that are added up together. */
enum { SUMMED_COLUMNS = 64 };

typedef struct partial_sums {
    const real *partials;
    int64_t chunks, stride, C;
    real *sum;
} partial_sums;

static inline void add_columns(const void *loop, int64_t first_block, int64_t end_block)
{
    const partial_sums *of = loop;
    for (int64_t block = first_block; block < end_block; block++) {
        int64_t first = block * SUMMED_COLUMNS, rest = of->C - first;
        int64_t width = rest < SUMMED_COLUMNS ? rest : SUMMED_COLUMNS;
        double sums[SUMMED_COLUMNS] = {0.0};
        for (int64_t chunk = 0; chunk < of->chunks; chunk++) {
            const real *partial = of->partials + chunk * of->stride + first;
#pragma omp simd
            for (int64_t c = 0; c < width; c++) {
                sums[c] += (double)partial[c];
            }
        }
        for (int64_t c = 0; c < width; c++) {
            of->sum[first + c] = (real)sums[c];
        }
    }
}

/* sum[c] = sum over chunks of partials[chunk * stride + c] */
static inline void add_partials(const real *partials, int64_t chunks, int64_t stride, int64_t C,
                                real *sum)
{
    partial_sums loop = {partials, chunks, stride, C, sum};
    mt_team_loop(chunks * C, (C + SUMMED_COLUMNS - 1) / SUMMED_COLUMNS, add_columns, &loop);
}

#endif
