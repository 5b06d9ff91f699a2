/* Linear maps of the last dimension. */
#include "autograd/operators/linear.h"
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

#include <inttypes.h>
#include <string.h>

enum { X, WEIGHT, BIAS };

mt_status mt_linear_check(const mt_call *call, int bias)
{
    const mt_tensor *x = call->inputs[X], *weight = call->inputs[WEIGHT];
    mt_status status = mt_expect_rank(call, WEIGHT, "weight", 2);
    if (status != MT_OK) {
        return status;
    }
    int64_t in = weight->shape[1], out = weight->shape[0];
    if (x->rank < 1 || mt_last_dimension(x) != in) {
        char shape[96];
        return mt_fail(MT_ERROR_INVALID, "%s: x has shape %s, expected (..., %" PRId64 ")",
                       call->op->name, mt_tensor_shape_text(x, shape, sizeof shape), in);
    }
    return call->inputs[bias] != NULL ? mt_expect_count(call, bias, "bias", out) : MT_OK;
}

mt_status mt_linear_rows_of(mt_call *call, int first, int bias, mt_linear_rows *rows)
{
    const mt_tensor *x = call->inputs[first + X], *weight = call->inputs[first + WEIGHT];
    const mt_tensor *of_bias = call->inputs[bias];
    const bool has_narrow = of_bias != NULL && of_bias->dtype != call->dtype;
    *rows = (mt_linear_rows){.N = mt_leading_count(x),
                             .in = weight->shape[1],
                             .out = weight->shape[0],
                             .x = x->data,
                             .bias = of_bias != NULL ? of_bias->data : NULL,
                             .narrow_bias = has_narrow ? of_bias->narrow : NULL,
                             .of_dweight = weight->dtype};
    if (weight->dtype != call->dtype && weight->dtype != mt_dtype_wide(call->dtype)) {
        rows->compact = weight;
        return MT_OK;
    }
    return mt_call_factor(call, first + WEIGHT, &rows->weight);
}

mt_status mt_products(const mt_call *call, int64_t batch, bool transpose_a, bool transpose_b,
                      int64_t M, int64_t N, int64_t K, const void *a, const void *b, double beta,
                      void *c, mt_dtype of_c)
{
    mt_matmul_args args = {.batch = batch,
                           .transpose_a = transpose_a,
                           .transpose_b = transpose_b,
                           .M = M,
                           .N = N,
                           .K = K,
                           .alpha = 1.0,
                           .beta = beta,
                           .a = a,
                           .b = b,
                           .c = c,
                           .wide = of_c != call->dtype};
    return call->kernels->matmul(call->device, &args);
}

/* Of weights in fewer bits: the bias is put in place first, and the product added to it. */
static mt_status compact_values(const mt_call *call, const mt_linear_rows *rows, void *y)
{
    const mt_tensor *compact = rows->compact;
    mt_matmul_compact_args args = {.M = rows->N,
                                   .N = rows->out,
                                   .K = rows->in,
                                   .beta = rows->bias != NULL ? 1.0 : 0.0,
                                   .x = rows->x,
                                   .type = compact->dtype,
                                   .weights = compact->data,
                                   .scales = compact->scales,
                                   .y = y};
    mt_status status = MT_OK;
    if (rows->bias != NULL) {
        status = call->kernels->broadcast_rows(call->device, rows->N, rows->out, rows->bias, y);
    }
    return status == MT_OK ? call->kernels->matmul_compact(call->device, &args) : status;
}

mt_status mt_linear_values(const mt_call *call, const mt_linear_rows *rows, void *y)
{
    const mt_matmul_args args = {.transpose_b = true,
                                 .M = rows->N,
                                 .N = rows->out,
                                 .K = rows->in,
                                 .alpha = 1.0,
                                 .a = rows->x,
                                 .b = rows->weight,
                                 .bias = rows->bias,
                                 .narrow_bias = rows->narrow_bias,
                                 .c = y};
    return rows->compact != NULL ? compact_values(call, rows, y)
                                 : call->kernels->matmul(call->device, &args);
}

mt_status mt_linear_gradients(const mt_call *call, const mt_linear_rows *rows, const void *dy,
                              bool adds, const mt_linear_grads *grads)
{
    mt_status status = MT_OK;
    if (rows->compact != NULL && (grads->x != NULL || grads->weight != NULL)) {
        return mt_fail(MT_ERROR_INVALID, "%s: no gradient goes through weights that are kept as %s",
                       call->op->name, mt_dtype_name(rows->compact->dtype));
    }
    if (grads->x != NULL) {
        status = mt_products(call, 0, false, false, rows->N, rows->in, rows->out, dy, rows->weight,
                             0.0, grads->x, call->dtype);
    }
    if (status == MT_OK && grads->weight != NULL) {
        status = mt_products(call, 0, true, false, rows->out, rows->in, rows->N, dy, rows->x,
                             adds ? 1.0 : 0.0, grads->weight, rows->of_dweight);
    }
    if (status == MT_OK && grads->bias != NULL) {
        status =
            call->kernels->sum_rows(call->device, 1, rows->N, rows->out, dy, 0, grads->bias, 0);
    }
    return status;
}

static mt_status linear_shape(mt_call *call)
{
    mt_status status = mt_linear_check(call, BIAS);
    if (status == MT_OK) {
        const mt_tensor *x = call->inputs[X];
        int64_t shape[MT_MAX_RANK];
        memcpy(shape, x->shape, sizeof shape);
        shape[x->rank - 1] = call->inputs[WEIGHT]->shape[0];
        mt_call_output(call, 0, x->rank, shape);
    }
    return status;
}

static mt_status linear_forward(mt_call *call)
{
    mt_linear_rows rows;
    mt_status status = mt_linear_rows_of(call, X, BIAS, &rows);
    return status == MT_OK ? mt_linear_values(call, &rows, call->outputs[0]->data) : status;
}

/* From dy, the gradient of x weight^T + bias. */
static mt_status gradients(mt_call *call, const void *dy)
{
    mt_linear_rows rows;
    mt_linear_grads grads = {call->grad_inputs[X], call->grad_inputs[WEIGHT],
                             call->grad_inputs[BIAS]};
    mt_status status = mt_linear_rows_of(call, X, BIAS, &rows);
    return status == MT_OK ? mt_linear_gradients(call, &rows, dy, false, &grads) : status;
}

static mt_status linear_backward(mt_call *call)
{
    return gradients(call, call->grad_outputs[0]);
}

const mt_op mt_op_linear = {
    .name = "linear",
    .formula = "y = x weight^T + bias",
    .inputs = 2,
    .outputs = 1,
    .shape = linear_shape,
    .forward = linear_forward,
    .backward = linear_backward,
    .wide = 1u << BIAS,
    .factors = 1u << WEIGHT,
    .compact = 1u << WEIGHT,
};

mt_tensor *mt_linear(mt_tape *tape, mt_tensor *x, mt_tensor *weight, mt_tensor *bias)
{
    return mt_apply(tape, &mt_op_linear, 3, (mt_tensor *[]){x, weight, bias}, NULL, 0);
}

/* The product, and everything else in one pass over it. */
static mt_status linear_squared_relu_forward(mt_call *call)
{
    mt_linear_rows rows;
    void *y = call->outputs[0]->data;
    mt_status status = mt_linear_rows_of(call, X, BIAS, &rows);
    const void *bias = rows.bias;
    rows.bias = NULL;
    if (status == MT_OK) {
        status = mt_linear_values(call, &rows, y);
    }
    return status == MT_OK
               ? call->kernels->squared_relu_forward(call->device, rows.N, rows.out, y, bias, y)
               : status;
}

static mt_status linear_squared_relu_backward(mt_call *call)
{
    const mt_tensor *y = call->outputs[0];
    void *inner; /* the gradient of x weight^T + bias */
    mt_status status = mt_call_scratch(call, mt_tensor_bytes(y), &inner);
    if (status == MT_OK) {
        status = call->kernels->squared_relu_backward(call->device, mt_tensor_count(y), y->data,
                                                      call->grad_outputs[0], inner);
    }
    return status == MT_OK ? gradients(call, inner) : status;
}

const mt_op mt_op_linear_squared_relu = {
    .name = "linear_squared_relu",
    .formula = "y = max(x weight^T + bias, 0)^2",
    .inputs = 2,
    .outputs = 1,
    .shape = linear_shape,
    .forward = linear_squared_relu_forward,
    .backward = linear_squared_relu_backward,
    .wide = 1u << BIAS,
    .factors = 1u << WEIGHT,
    .compact = 1u << WEIGHT,
};

mt_tensor *mt_linear_squared_relu(mt_tape *tape, mt_tensor *x, mt_tensor *weight, mt_tensor *bias)
{
    return mt_apply(tape, &mt_op_linear_squared_relu, 3, (mt_tensor *[]){x, weight, bias}, NULL, 0);
}
