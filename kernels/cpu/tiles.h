/* Products one side of which is short, as in small layers. A library puts both factors in order
 * before it multiplies, which of these takes up to a quarter of the time; here b alone is.
 * Internal. */
#ifndef MT_KERNELS_CPU_TILES_H
#define MT_KERNELS_CPU_TILES_H

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/product.h"

/* With the registers of AVX-512; with half of them OpenBLAS is as fast. */
#if defined(__AVX512F__) && MT_REAL != 16
#define MT_HAS_TILES
#endif

/* Tells if the product is such a one, whoever computes parts of it. */
static inline bool is_of_tiles(const mt_matmul_args *args)
{
#ifdef MT_HAS_TILES
    enum { LEAST = 32, MOST = 128, SMALL = 1 << 20 };
    int64_t shorter = args->M < args->N ? args->M : args->N;
    return shorter >= LEAST && shorter <= MOST && args->K >= LEAST &&
           (double)args->M * (double)args->N * (double)args->K >= SMALL;
#else
    (void)args;
    return false;
#endif
}

void KERNEL(multiply_tiles)(const mt_product *product);

#endif
