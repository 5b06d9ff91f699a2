/* Products one side of which is short, as in small layers. A library puts both factors in order
 * before it multiplies, which of these takes up to a quarter of the time; here b alone is, and a is
 * read where it lies. Internal. */
#ifndef MT_KERNELS_CPU_TILES_H
#define MT_KERNELS_CPU_TILES_H

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/product.h"

/* With the registers of AVX-512; with half of them OpenBLAS is as fast. */
#if defined(__AVX512F__) && MT_REAL != 16
#define MT_HAS_TILES
#endif

/* Tells if the product is such a one. The whole product is asked for, so that all parts of it are
 * computed alike. A long b whose rows are columns in memory takes too long to be put in order for a
 * few rows of a; and of a long a whose rows are columns, each number that a tile reads lies in
 * another page. */
static inline bool is_of_tiles(const mt_matmul_args *args)
{
#ifdef MT_HAS_TILES
    enum { LEAST = 32, MOST = 128, MOST_TURNED = 2048, SMALL = 1 << 20 };
    int64_t shorter = args->M < args->N ? args->M : args->N;
    bool is_slower =
        (args->transpose_b && args->N > args->M) || (args->transpose_a && args->M > MOST_TURNED);
    return shorter >= LEAST && shorter <= MOST && args->K >= LEAST && !is_slower &&
           (double)args->M * (double)args->N * (double)args->K >= SMALL;
#else
    (void)args;
    return false;
#endif
}

void KERNEL(multiply_tiles)(const mt_product *product);

#endif
