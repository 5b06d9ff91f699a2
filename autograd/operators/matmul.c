/* Matrix products. */
#include "autograd/operators/linear.h"
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

#include <inttypes.h>
#include <string.h>

typedef struct matmul_options {
    bool transpose_a, transpose_b;
} matmul_options;

/* The rows and columns of a tensor's matrices: its last two dimensions. */
static const int64_t *matrix_of(const mt_tensor *x)
{
    return x->shape + x->rank - 2;
}

/* Both are matrices, or as many of them in the same leading dimensions. */
static mt_status expect_matrices(const mt_call *call)
{
    const mt_tensor *a = call->inputs[0], *b = call->inputs[1];
    bool alike = a->rank == b->rank && a->rank >= 2;
    for (int i = 0; i < a->rank - 2 && alike; i++) {
        alike = a->shape[i] == b->shape[i];
    }
    if (alike) {
        return MT_OK;
    }
    char first[96], other[96];
    return mt_fail(MT_ERROR_INVALID,
                   "matmul: shapes %s and %s are not matrices, or differ before "
                   "the last two dimensions",
                   mt_tensor_shape_text(a, first, sizeof first),
                   mt_tensor_shape_text(b, other, sizeof other));
}

static mt_status matmul_shape(mt_call *call)
{
    const matmul_options *options = call->options;
    mt_status status = expect_matrices(call);
    if (status != MT_OK) {
        return status;
    }
    const int64_t *a = matrix_of(call->inputs[0]), *b = matrix_of(call->inputs[1]);
    int64_t inner_a = a[options->transpose_a ? 0 : 1], inner_b = b[options->transpose_b ? 1 : 0];
    if (inner_a != inner_b) {
        return mt_fail(MT_ERROR_INVALID,
                       "matmul: inner dimensions differ: %" PRId64 " and %" PRId64, inner_a,
                       inner_b);
    }
    int rank = call->inputs[0]->rank;
    int64_t shape[MT_MAX_RANK];
    memcpy(shape, call->inputs[0]->shape, sizeof shape);
    shape[rank - 2] = a[options->transpose_a ? 1 : 0];
    shape[rank - 1] = b[options->transpose_b ? 0 : 1];
    mt_call_output(call, 0, rank, shape);
    return MT_OK;
}

/* The sizes of the products that an application of matmul is. */
typedef struct matmul_sizes {
    int64_t batch, M, N, K;
} matmul_sizes;

static matmul_sizes sizes_of(const mt_call *call)
{
    const matmul_options *options = call->options;
    const int64_t *y = matrix_of(call->outputs[0]);
    return (matmul_sizes){.batch = mt_tensor_count(call->outputs[0]) / (y[0] * y[1]),
                          .M = y[0],
                          .N = y[1],
                          .K = matrix_of(call->inputs[0])[options->transpose_a ? 0 : 1]};
}

static mt_status matmul_forward(mt_call *call)
{
    const matmul_options *options = call->options;
    matmul_sizes of = sizes_of(call);
    return mt_products(call, of.batch, options->transpose_a, options->transpose_b, of.M, of.N, of.K,
                       call->inputs[0]->data, call->inputs[1]->data, 0.0, call->outputs[0]->data);
}

/* d op(a) = dy op(b)^T and d op(b) = op(a)^T dy; a transposed operand's gradient is the transposed
 * product. */
static mt_status matmul_backward(mt_call *call)
{
    const matmul_options *options = call->options;
    bool ta = options->transpose_a, tb = options->transpose_b;
    matmul_sizes of = sizes_of(call);
    int64_t M = of.M, N = of.N, K = of.K;
    const void *a = call->inputs[0]->data, *b = call->inputs[1]->data, *dy = call->grad_outputs[0];
    void *da = call->grad_inputs[0], *db = call->grad_inputs[1];
    mt_status status = MT_OK;
    if (da != NULL) {
        status = ta ? mt_products(call, of.batch, tb, true, K, M, N, b, dy, 0.0, da)
                    : mt_products(call, of.batch, false, !tb, M, K, N, dy, b, 0.0, da);
    }
    if (status == MT_OK && db != NULL) {
        status = tb ? mt_products(call, of.batch, true, ta, N, K, M, dy, a, 0.0, db)
                    : mt_products(call, of.batch, !ta, false, K, N, M, a, dy, 0.0, db);
    }
    return status;
}

const mt_op mt_op_matmul = {
    .name = "matmul",
    .formula = "y = a b",
    .inputs = 2,
    .outputs = 1,
    .shape = matmul_shape,
    .forward = matmul_forward,
    .backward = matmul_backward,
};

mt_tensor *mt_matmul(mt_tape *tape, mt_tensor *a, mt_tensor *b, bool transpose_a, bool transpose_b)
{
    matmul_options options = {.transpose_a = transpose_a, .transpose_b = transpose_b};
    return mt_apply(tape, &mt_op_matmul, 2, (mt_tensor *[]){a, b}, &options, sizeof options);
}
