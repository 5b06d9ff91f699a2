/* A matrix product, or the part of one that a thread computes. Internal. */
#ifndef MT_KERNELS_CPU_PRODUCT_H
#define MT_KERNELS_CPU_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

/* c = alpha a b + beta c; with beta 0 whatever c held is nothing. a is (M, K), b (K, N), with steps
 * of so many elements from row to row and from column to column, of which one is 1; c (M, N) has
 * rows `c_row` apart. */
typedef struct mt_product {
    int64_t M, N, K;
    const void *a, *b;
    int64_t a_row, a_column, b_row, b_column, c_row;
    double alpha, beta;
    void *c;
    bool wide; /* c is of the wide type (mixtape/kernels/list.h) */
} mt_product;

#endif
