/* Products of bfloat16 by oneDNN, which has them for processors with instructions for it. It is
 * loaded when a product first asks for it, where the build knew its header and the system has its
 * library. Internal. */
#ifndef MT_KERNELS_CPU_ONEDNN_H
#define MT_KERNELS_CPU_ONEDNN_H

#include "kernels/bfloat16.h"

#include <mixtape/error.h>

#include <stdbool.h>
#include <stdint.h>

/* c = a b, or c + a b with `adds`, on the calling thread alone. a is (M, K), b (K, N), with steps
 * of so many elements from row to row and from column to column, of which one is 1; c (M, N) has
 * rows `c_row` apart, of bfloat16, or of float32 with `wide`. */
typedef struct mt_onednn_product {
    int64_t M, N, K;
    const mt_bf16 *a, *b;
    int64_t a_row, a_column, b_row, b_column, c_row;
    void *c;
    bool wide, adds;
} mt_onednn_product;

/* NULL where the processor and the system have what it takes, else what is lacking, in words. */
const char *mt_onednn_lacks(void);

/* MT_ERROR_DEVICE where oneDNN fails, which it says without a reason. */
mt_status mt_onednn_multiply(const mt_onednn_product *product);

#endif
