/* A linear map with one of low rank beside it, added to its output where that is: of a map of
 * (N, in) to (N, out) nothing is kept but (N, rank). */
#include "autograd/operators/linear.h"
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

#include <inttypes.h>
#include <string.h>

enum { X, WEIGHT, A, B, BIAS };

static mt_status lora_shape(mt_call *call)
{
    const mt_tensor *x = call->inputs[X], *a = call->inputs[A], *b = call->inputs[B];
    mt_status status = mt_linear_check(call, BIAS);
    if (status == MT_OK) {
        status = mt_expect_rank(call, A, "a", 2);
    }
    if (status == MT_OK) {
        status = mt_expect_rank(call, B, "b", 2);
    }
    if (status != MT_OK) {
        return status;
    }
    int64_t out = call->inputs[WEIGHT]->shape[0], in = call->inputs[WEIGHT]->shape[1];
    if (a->shape[1] != in || b->shape[0] != out || b->shape[1] != a->shape[0]) {
        char of_a[96], of_b[96];
        return mt_fail(MT_ERROR_INVALID,
                       "linear_lora: a has shape %s and b %s, expected (rank, %" PRId64
                       ") and (%" PRId64 ", rank)",
                       mt_tensor_shape_text(a, of_a, sizeof of_a),
                       mt_tensor_shape_text(b, of_b, sizeof of_b), in, out);
    }
    int64_t shape[MT_MAX_RANK];
    memcpy(shape, x->shape, sizeof shape);
    shape[x->rank - 1] = out;
    mt_call_output(call, 0, x->rank, shape);
    return MT_OK;
}

/* What the inner dimension has: c (N, rank) = scale times a product. */
static mt_status inner_product(const mt_call *call, bool transpose_b, int64_t N, int64_t K,
                               const void *x, const void *matrix, void *c)
{
    const double *scale = call->options;
    int64_t rank = call->inputs[A]->shape[0];
    mt_status status =
        mt_products(call, 0, false, transpose_b, N, rank, K, x, matrix, 0.0, c, call->dtype);
    return status == MT_OK ? call->kernels->scale(call->device, N * rank, *scale, c, c) : status;
}

static mt_status lora_forward(mt_call *call)
{
    mt_linear_rows rows;
    const void *a = NULL, *b = NULL;
    void *y = call->outputs[0]->data, *inner = NULL;
    int64_t rank = call->inputs[A]->shape[0];
    mt_status status = mt_linear_rows_of(call, X, BIAS, &rows);
    size_t bytes = status == MT_OK ? (size_t)(rows.N * rank) * mt_dtype_size(call->dtype) : 0;
    if (status == MT_OK) {
        status = call->recording ? mt_call_save(call, bytes) : mt_call_scratch(call, bytes, &inner);
        inner = call->recording ? call->saved : inner;
    }
    if (status == MT_OK) {
        status = mt_linear_values(call, &rows, y);
    }
    if (status == MT_OK) {
        status = mt_call_factor(call, A, &a);
    }
    if (status == MT_OK) {
        status = mt_call_factor(call, B, &b);
    }
    if (status == MT_OK) {
        status = inner_product(call, true, rows.N, rows.in, rows.x, a, inner);
    }
    return status == MT_OK ? mt_products(call, 0, false, true, rows.N, rows.out, rank, inner, b,
                                         1.0, y, call->dtype)
                           : status;
}

/* The part that goes by the thin matrices; x's gradient is there already, and added to. */
static mt_status thin_gradients(mt_call *call, const mt_linear_rows *rows, const void *dy)
{
    const void *a = NULL, *b = NULL;
    void *dinner = NULL, *da = call->grad_inputs[A], *db = call->grad_inputs[B];
    void *dx = call->grad_inputs[X];
    int64_t N = rows->N, rank = call->inputs[A]->shape[0];
    mt_status status = mt_call_factor(call, A, &a);
    if (status == MT_OK) {
        status = mt_call_factor(call, B, &b);
    }
    if (status == MT_OK) {
        status = mt_call_scratch(call, (size_t)(N * rank) * mt_dtype_size(call->dtype), &dinner);
    }
    if (status == MT_OK) {
        status = inner_product(call, false, N, rows->out, dy, b, dinner);
    }
    if (status == MT_OK && db != NULL) {
        status = mt_products(call, 0, true, false, rows->out, rank, N, dy, call->saved, 0.0, db,
                             call->inputs[B]->dtype);
    }
    if (status == MT_OK && da != NULL) {
        status = mt_products(call, 0, true, false, rank, rows->in, N, dinner, rows->x, 0.0, da,
                             call->inputs[A]->dtype);
    }
    return status == MT_OK && dx != NULL ? mt_products(call, 0, false, false, N, rows->in, rank,
                                                       dinner, a, 1.0, dx, call->dtype)
                                         : status;
}

static mt_status lora_backward(mt_call *call)
{
    mt_linear_rows rows;
    const void *dy = call->grad_outputs[0];
    const mt_linear_grads grads = {call->grad_inputs[X], call->grad_inputs[WEIGHT],
                                   call->grad_inputs[BIAS]};
    mt_status status = mt_linear_rows_of(call, X, BIAS, &rows);
    if (status == MT_OK) {
        status = mt_linear_gradients(call, &rows, dy, false, &grads);
    }
    return status == MT_OK ? thin_gradients(call, &rows, dy) : status;
}

const mt_op mt_op_linear_lora = {
    .name = "linear_lora",
    .formula = "y = x weight^T + bias + scale (x a^T) b^T",
    .inputs = 4,
    .outputs = 1,
    .shape = lora_shape,
    .forward = lora_forward,
    .backward = lora_backward,
    .wide = 1u << BIAS,
    .factors = 1u << WEIGHT | 1u << A | 1u << B,
    .compact = 1u << WEIGHT,
};

mt_tensor *mt_linear_lora(mt_tape *tape, mt_tensor *x, mt_tensor *weight, mt_tensor *bias,
                          mt_tensor *a, mt_tensor *b, double scale)
{
    return mt_apply(tape, &mt_op_linear_lora, 5, (mt_tensor *[]){x, weight, a, b, bias}, &scale,
                    sizeof scale);
}
