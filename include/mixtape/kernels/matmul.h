/* Matrix products, by a BLAS on every device. */
#ifndef MIXTAPE_KERNELS_MATMUL_H
#define MIXTAPE_KERNELS_MATMUL_H

#include <mixtape/dtype.h>

#include <stdbool.h>
#include <stdint.h>

/* c = alpha op(a) op(b) + beta c, row-major and contiguous; op transposes where asked.
 * op(a) is (M, K), op(b) is (K, N), c is (M, N). With beta = 0, c is not read. Of bfloat16 the sums
 * are float32, and rounded once; c is bfloat16, or wide with `wide`: float32.
 *
 * `batch` products are made, each of matrices of its own; 0 counts as 1. Where they begin, and the
 * biases, is a step of so many elements apart, above 0; a step of 0 leaves no gap.
 *
 * With a bias c = alpha op(a) op(b) + bias: each row of c begins as the bias, rounded to c's type,
 * and beta counts as 1. */
typedef struct mt_matmul_args {
    bool transpose_a, transpose_b;
    int64_t M, N, K;
    double alpha, beta;
    const void *a, *b;
    void *c;
    int64_t batch;
    bool wide; /* c is of mt_dtype_wide of the table's type */
    int64_t a_step, b_step, c_step;
    const void *bias; /* (N), wide, for each product, or NULL */
    int64_t bias_step;
    /* The biases rounded to the table's type, as far apart, where they are at hand, or NULL: some
     * devices add these. */
    const void *narrow_bias;
} mt_matmul_args;

/* y = x W^T + beta y, x (M, K) and y (M, N) of the table's type, with weights W (N, K) that are
 * stored in fewer bits: as MT_BF16, or as MT_I8, where row n of W is scales[n] weights[n], with the
 * scale applied to the sum. Sums are wide. With beta = 0, y is not read. */
typedef struct mt_matmul_compact_args {
    int64_t M, N, K;
    double beta;
    const void *x;
    mt_dtype type;
    const void *weights;
    const float *scales; /* (N), of MT_I8 */
    void *y;
} mt_matmul_compact_args;

#endif
