/* Operators that end in a scalar. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

static mt_status sum_times(mt_call *call, double alpha)
{
    return call->kernels->sum(call->device, mt_tensor_count(call->inputs[0]), alpha,
                              call->inputs[0]->data, call->outputs[0]->data);
}

/* dx[i] = alpha dy. The scalar dy stays on the device: it is a row of one column, repeated. */
static mt_status spread_grad(mt_call *call, double alpha)
{
    int64_t n = mt_tensor_count(call->inputs[0]);
    void *dx = call->grad_inputs[0];
    mt_status status = call->kernels->broadcast_rows(call->device, n, 1, call->grad_outputs[0], dx);
    return status == MT_OK && alpha != 1.0 ? call->kernels->scale(call->device, n, alpha, dx, dx)
                                           : status;
}

static mt_status sum_forward(mt_call *call)
{
    return sum_times(call, 1.0);
}

static mt_status sum_backward(mt_call *call)
{
    return spread_grad(call, 1.0);
}

const mt_op mt_op_sum = {
    .name = "sum",
    .formula = "y = sum of x",
    .inputs = 1,
    .outputs = 1,
    .shape = mt_shape_scalar,
    .forward = sum_forward,
    .backward = sum_backward,
};

mt_tensor *mt_sum(mt_tape *tape, mt_tensor *x)
{
    return mt_apply(tape, &mt_op_sum, 1, &x, NULL, 0);
}

static mt_status mean_forward(mt_call *call)
{
    return sum_times(call, 1.0 / (double)mt_tensor_count(call->inputs[0]));
}

static mt_status mean_backward(mt_call *call)
{
    return spread_grad(call, 1.0 / (double)mt_tensor_count(call->inputs[0]));
}

const mt_op mt_op_mean = {
    .name = "mean",
    .formula = "y = mean of x",
    .inputs = 1,
    .outputs = 1,
    .shape = mt_shape_scalar,
    .forward = mean_forward,
    .backward = mean_backward,
};

mt_tensor *mt_mean(mt_tape *tape, mt_tensor *x)
{
    return mt_apply(tape, &mt_op_mean, 1, &x, NULL, 0);
}

static mt_status mean_square_shape(mt_call *call)
{
    mt_status status = mt_expect_same_shape(call, 1);
    return status == MT_OK ? mt_shape_scalar(call) : status;
}

static mt_status mean_square_forward(mt_call *call)
{
    return call->kernels->mean_square_forward(call->device, mt_tensor_count(call->inputs[0]),
                                              call->inputs[0]->data, call->inputs[1]->data,
                                              call->outputs[0]->data);
}

/* The formula is symmetric in a and b, so each side's gradient is the same kernel. */
static mt_status mean_square_grad(mt_call *call, int side)
{
    if (call->grad_inputs[side] == NULL) {
        return MT_OK;
    }
    return call->kernels->mean_square_backward(
        call->device, mt_tensor_count(call->inputs[0]), call->inputs[side]->data,
        call->inputs[1 - side]->data, call->grad_outputs[0], call->grad_inputs[side]);
}

static mt_status mean_square_backward(mt_call *call)
{
    mt_status status = mean_square_grad(call, 0);
    return status == MT_OK ? mean_square_grad(call, 1) : status;
}

const mt_op mt_op_mean_square = {
    .name = "mean_square",
    .formula = "y = mean of (a - b)^2",
    .inputs = 2,
    .outputs = 1,
    .shape = mean_square_shape,
    .forward = mean_square_forward,
    .backward = mean_square_backward,
};

mt_tensor *mt_mean_square(mt_tape *tape, mt_tensor *a, mt_tensor *b)
{
    return mt_apply(tape, &mt_op_mean_square, 2, (mt_tensor *[]){a, b}, NULL, 0);
}
