/* Matrix products, and those of linear operators, of all their rows or of some. Internal. */
#ifndef MT_AUTOGRAD_OPERATORS_LINEAR_H
#define MT_AUTOGRAD_OPERATORS_LINEAR_H

#include <mixtape/extend.h>

/* c = op(a) op(b) + beta c by the call's kernels; arguments as mt_matmul_args has them, c of type
 * `of_c`, the call's or what is wide beside it. */
mt_status mt_products(const mt_call *call, int64_t batch, bool transpose_a, bool transpose_b,
                      int64_t M, int64_t N, int64_t K, const void *a, const void *b, double beta,
                      void *c, mt_dtype of_c);

/* y = x weight^T + bias of N rows;  x (N, in), weight (out, in), both of the call's type, bias
 * (out), wide, or NULL; narrow_bias as in mt_matmul_args. `compact` is the weight's tensor where it
 * is stored in fewer bits, and `weight` then NULL. */
typedef struct mt_linear_rows {
    int64_t N, in, out;
    const void *x, *weight, *bias, *narrow_bias;
    const mt_tensor *compact;
    mt_dtype of_dweight; /* the type of weight's gradient */
} mt_linear_rows;

/* Gradients of x (N, in), weight (out, in) and bias (out); those that are NULL are not wanted. */
typedef struct mt_linear_grads {
    void *x, *weight, *bias;
} mt_linear_grads;

/* Checks a call whose first inputs are x and weight, and the bias, or NULL, its input `bias`. */
mt_status mt_linear_check(const mt_call *call, int bias);

/* All rows of x, a call's input `first`, with the weight behind it, one of op->factors, and such a
 * bias. */
mt_status mt_linear_rows_of(mt_call *call, int first, int bias, mt_linear_rows *rows);

/* y (N, out) */
mt_status mt_linear_values(const mt_call *call, const mt_linear_rows *rows, void *y);

/* From dy (N, out). With `adds`, weight's is added to what is there: the sum over more rows than
 * these. */
mt_status mt_linear_gradients(const mt_call *call, const mt_linear_rows *rows, const void *dy,
                              bool adds, const mt_linear_grads *grads);

#endif
