/* Products of rows with weights that are read once, as in generating: y = x W^T with x (M, K), W
 * (N, K). Each weight is used M times, so where M is small what counts is reading. matmul_compact,
 * of any number of rows, is made of the same. Internal. */
#ifndef MT_KERNELS_CPU_FEW_ROWS_H
#define MT_KERNELS_CPU_FEW_ROWS_H

#include "kernels/cpu/kernels.h"

/* From here on a library that packs the weights first is faster. */
enum { FEW_ROWS = 4 };

/* Tells if the product is such a one. */
static inline bool is_of_few_rows(const mt_matmul_args *args)
{
    return args->batch <= 1 && args->M >= 1 && args->M <= FEW_ROWS && args->K > 0 &&
           args->transpose_b && (!args->transpose_a || args->M == 1 || args->K == 1);
}

/* Without a bias. */
void KERNEL(multiply_few_rows)(const mt_matmul_args *args);

#endif
