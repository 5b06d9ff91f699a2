/* Sums, differences, products and quotients. Of two tensors one may have the shape that the other's
 * ends with: it is repeated over the leading dimensions, and its gradient summed over them. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

#include <string.h>

/* Tells if the shape of `a` ends with that of `b`. */
static bool ends_with(const mt_tensor *a, const mt_tensor *b)
{
    int leading = a->rank - b->rank;
    return leading >= 0 &&
           memcmp(a->shape + leading, b->shape, (size_t)b->rank * sizeof *b->shape) == 0;
}

static mt_status binary_shape(mt_call *call)
{
    const mt_tensor *a = call->inputs[0], *b = call->inputs[1];
    if (a->dtype == b->dtype && ends_with(a, b)) {
        mt_call_output_like(call, 0, a);
        return MT_OK;
    }
    if (a->dtype == b->dtype && ends_with(b, a)) {
        mt_call_output_like(call, 0, b);
        return MT_OK;
    }
    return mt_expect_same_shape(call, 1);
}

static int64_t count(const mt_call *call)
{
    return mt_tensor_count(call->outputs[0]);
}

static bool is_repeated(const mt_call *call, int input)
{
    return mt_tensor_count(call->inputs[input]) < count(call);
}

/* The values of an input as wide ones, as those that are repeated are. */
static mt_status widened(mt_call *call, const mt_tensor *x, const void **values)
{
    void *made = NULL;
    int64_t n = mt_tensor_count(x);
    *values = x->data;
    if (mt_dtype_wide(call->dtype) == call->dtype) {
        return MT_OK;
    }
    mt_status status = mt_call_scratch(call, (size_t)n * mt_dtype_size(MT_F32), &made);
    *values = made;
    return status == MT_OK ? call->kernels->widen(call->device, n, x->data, made) : status;
}

/* An input as an array of the output's shape: itself, or repeated in `room`, which has that many
 * elements. */
static mt_status spread(mt_call *call, int input, void *room, const void **values)
{
    const mt_tensor *x = call->inputs[input];
    int64_t n = mt_tensor_count(x);
    *values = x->data;
    if (!is_repeated(call, input)) {
        return MT_OK;
    }
    *values = room;
    const void *row;
    mt_status status = widened(call, x, &row);
    return status == MT_OK
               ? call->kernels->broadcast_rows(call->device, count(call) / n, n, row, room)
               : status;
}

typedef mt_status (*binary_kernel)(mt_device *device, int64_t n, const void *a, const void *b,
                                   void *y);

/* y = kernel(a, b). At most one of the two is repeated, for which y has the room. */
static mt_status binary_forward(mt_call *call, binary_kernel kernel)
{
    void *y = call->outputs[0]->data;
    const void *a = NULL, *b = NULL;
    mt_status status = spread(call, 0, y, &a);
    if (status == MT_OK) {
        status = spread(call, 1, y, &b);
    }
    return status == MT_OK ? kernel(call->device, count(call), a, b, y) : status;
}

/* Where an input's gradient is to be written before it is summed: in its own place, or in memory of
 * the output's shape. */
static mt_status begin_grad(mt_call *call, int input, void **grad)
{
    *grad = call->grad_inputs[input];
    return is_repeated(call, input) ? mt_call_scratch(call, mt_tensor_bytes(call->outputs[0]), grad)
                                    : MT_OK;
}

/* sum[i] = the sum of the rows of grad (N, C), of which sum_rows makes a wide one. */
static mt_status sum_repeats(mt_call *call, int64_t N, int64_t C, const void *grad, void *sum)
{
    mt_dtype wide = mt_dtype_wide(call->dtype);
    void *row = sum;
    mt_status status =
        wide != call->dtype ? mt_call_scratch(call, (size_t)C * mt_dtype_size(wide), &row) : MT_OK;
    if (status == MT_OK) {
        status = call->kernels->sum_rows(call->device, 1, N, C, grad, 0, row, 0);
    }
    return status == MT_OK && row != sum ? call->kernels->narrow(call->device, C, row, sum)
                                         : status;
}

/* The gradient of an input from one of the output's shape, which may be in its place already. */
static mt_status end_grad(mt_call *call, int input, const void *grad)
{
    int64_t n = mt_tensor_count(call->inputs[input]);
    void *own = call->grad_inputs[input];
    if (is_repeated(call, input)) {
        return sum_repeats(call, count(call) / n, n, grad, own);
    }
    return grad == own
               ? MT_OK
               : call->device->copy(call->device, own, grad, mt_tensor_bytes(call->inputs[input]));
}

/* The gradient of an input by which y = ... + sign x. */
static mt_status term_grad(mt_call *call, int input, double sign)
{
    void *grad = call->grad_inputs[input];
    if (grad == NULL) {
        return MT_OK;
    }
    mt_status status = end_grad(call, input, call->grad_outputs[0]);
    return status == MT_OK && sign != 1.0
               ? call->kernels->scale(call->device, mt_tensor_count(call->inputs[input]), sign,
                                      grad, grad)
               : status;
}

/* dx = kernel(dy, the other input), of which not both are repeated. */
static mt_status factor_grad(mt_call *call, int input, binary_kernel kernel)
{
    void *grad;
    const void *other = NULL;
    if (call->grad_inputs[input] == NULL) {
        return MT_OK;
    }
    mt_status status = begin_grad(call, input, &grad);
    if (status == MT_OK) {
        status = spread(call, 1 - input, grad, &other);
    }
    if (status == MT_OK) {
        status = kernel(call->device, count(call), call->grad_outputs[0], other, grad);
    }
    return status == MT_OK ? end_grad(call, input, grad) : status;
}

static mt_status add_forward(mt_call *call)
{
    return binary_forward(call, call->kernels->add);
}

static mt_status add_backward(mt_call *call)
{
    mt_status status = term_grad(call, 0, 1.0);
    return status == MT_OK ? term_grad(call, 1, 1.0) : status;
}

static mt_status subtract_forward(mt_call *call)
{
    return binary_forward(call, call->kernels->subtract);
}

static mt_status subtract_backward(mt_call *call)
{
    mt_status status = term_grad(call, 0, 1.0);
    return status == MT_OK ? term_grad(call, 1, -1.0) : status;
}

static mt_status multiply_forward(mt_call *call)
{
    return binary_forward(call, call->kernels->multiply);
}

static mt_status multiply_backward(mt_call *call)
{
    mt_status status = factor_grad(call, 0, call->kernels->multiply);
    return status == MT_OK ? factor_grad(call, 1, call->kernels->multiply) : status;
}

static mt_status divide_forward(mt_call *call)
{
    return binary_forward(call, call->kernels->divide);
}

/* db = -dy y / b */
static mt_status divisor_grad(mt_call *call)
{
    const mt_kernels *kernels = call->kernels;
    int64_t n = count(call);
    void *grad, *room = NULL;
    const void *divisor = NULL;
    if (call->grad_inputs[1] == NULL) {
        return MT_OK;
    }
    mt_status status = begin_grad(call, 1, &grad);
    if (status == MT_OK && is_repeated(call, 1)) {
        status = mt_call_scratch(call, mt_tensor_bytes(call->outputs[0]), &room);
    }
    if (status == MT_OK) {
        status = spread(call, 1, room, &divisor);
    }
    if (status == MT_OK) {
        status =
            kernels->multiply(call->device, n, call->grad_outputs[0], call->outputs[0]->data, grad);
    }
    if (status == MT_OK) {
        status = kernels->divide(call->device, n, grad, divisor, grad);
    }
    if (status == MT_OK) {
        status = kernels->scale(call->device, n, -1.0, grad, grad);
    }
    return status == MT_OK ? end_grad(call, 1, grad) : status;
}

static mt_status divide_backward(mt_call *call)
{
    mt_status status = factor_grad(call, 0, call->kernels->divide);
    return status == MT_OK ? divisor_grad(call) : status;
}

#define BINARY(name_, formula_)                                                                    \
    const mt_op mt_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .formula = formula_,                                                                       \
        .inputs = 2,                                                                               \
        .outputs = 1,                                                                              \
        .shape = binary_shape,                                                                     \
        .forward = name_##_forward,                                                                \
        .backward = name_##_backward,                                                              \
    };                                                                                             \
    mt_tensor *mt_##name_(mt_tape *tape, mt_tensor *a, mt_tensor *b)                               \
    {                                                                                              \
        return mt_apply(tape, &mt_op_##name_, 2, (mt_tensor *[]){a, b}, NULL, 0);                  \
    }

BINARY(add, "y = a + b")
BINARY(subtract, "y = a - b")
BINARY(multiply, "y = a b")
BINARY(divide, "y = a / b")

static mt_status scale_forward(mt_call *call)
{
    const double *alpha = call->options;
    return call->kernels->scale(call->device, count(call), *alpha, call->inputs[0]->data,
                                call->outputs[0]->data);
}

static mt_status scale_backward(mt_call *call)
{
    const double *alpha = call->options;
    return call->kernels->scale(call->device, count(call), *alpha, call->grad_outputs[0],
                                call->grad_inputs[0]);
}

const mt_op mt_op_scale = {
    .name = "scale",
    .formula = "y = alpha x",
    .inputs = 1,
    .outputs = 1,
    .shape = mt_shape_like_first,
    .forward = scale_forward,
    .backward = scale_backward,
};

mt_tensor *mt_scale(mt_tape *tape, mt_tensor *x, double alpha)
{
    return mt_apply(tape, &mt_op_scale, 1, &x, &alpha, sizeof alpha);
}
