/* Matrix products, by a BLAS on every device. */
#ifndef MIXTAPE_KERNELS_MATMUL_H
#define MIXTAPE_KERNELS_MATMUL_H

#include <stdbool.h>
#include <stdint.h>

/* c = alpha op(a) op(b) + beta c, row-major and contiguous; op transposes where asked.
 * op(a) is (M, K), op(b) is (K, N), c is (M, N). With beta = 0, c is not read. `batch` of each
 * matrix lie one after the other, and as many products are made; 0 counts as 1. Of bfloat16 the
 * sums are float32, and rounded once; c is bfloat16, or wide with `wide`: float32. */
typedef struct mt_matmul_args {
    bool transpose_a, transpose_b;
    int64_t M, N, K;
    double alpha, beta;
    const void *a, *b;
    void *c;
    int64_t batch;
    bool wide; /* c is of mt_dtype_wide of the table's type */
} mt_matmul_args;

#endif
