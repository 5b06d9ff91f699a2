/* Operators that work element by element. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

static int64_t count(const mt_call *call)
{
    return mt_tensor_count(call->inputs[0]);
}

static mt_status copy_grad(mt_call *call, int input)
{
    return call->grad_inputs[input] == NULL
               ? MT_OK
               : call->device->copy(call->device, call->grad_inputs[input], call->grad_outputs[0],
                                    mt_tensor_bytes(call->outputs[0]));
}

static mt_status scale_grad(mt_call *call, int input, double alpha)
{
    return call->grad_inputs[input] == NULL
               ? MT_OK
               : call->kernels->scale(call->device, count(call), alpha, call->grad_outputs[0],
                                      call->grad_inputs[input]);
}

static mt_status multiply_grad(mt_call *call, int input, const mt_tensor *factor)
{
    return call->grad_inputs[input] == NULL
               ? MT_OK
               : call->kernels->multiply(call->device, count(call), call->grad_outputs[0],
                                         factor->data, call->grad_inputs[input]);
}

static mt_status add_forward(mt_call *call)
{
    return call->kernels->add(call->device, count(call), call->inputs[0]->data,
                              call->inputs[1]->data, call->outputs[0]->data);
}

static mt_status add_backward(mt_call *call)
{
    mt_status status = copy_grad(call, 0);
    return status == MT_OK ? copy_grad(call, 1) : status;
}

const mt_op mt_op_add = {
    .name = "add",
    .formula = "y = a + b",
    .inputs = 2,
    .outputs = 1,
    .shape = mt_shape_like_both,
    .forward = add_forward,
    .backward = add_backward,
};

mt_tensor *mt_add(mt_tape *tape, mt_tensor *a, mt_tensor *b)
{
    return mt_apply(tape, &mt_op_add, 2, (mt_tensor *[]){a, b}, NULL, 0);
}

static mt_status subtract_forward(mt_call *call)
{
    return call->kernels->subtract(call->device, count(call), call->inputs[0]->data,
                                   call->inputs[1]->data, call->outputs[0]->data);
}

static mt_status subtract_backward(mt_call *call)
{
    mt_status status = copy_grad(call, 0);
    return status == MT_OK ? scale_grad(call, 1, -1.0) : status;
}

const mt_op mt_op_subtract = {
    .name = "subtract",
    .formula = "y = a - b",
    .inputs = 2,
    .outputs = 1,
    .shape = mt_shape_like_both,
    .forward = subtract_forward,
    .backward = subtract_backward,
};

mt_tensor *mt_subtract(mt_tape *tape, mt_tensor *a, mt_tensor *b)
{
    return mt_apply(tape, &mt_op_subtract, 2, (mt_tensor *[]){a, b}, NULL, 0);
}

static mt_status multiply_forward(mt_call *call)
{
    return call->kernels->multiply(call->device, count(call), call->inputs[0]->data,
                                   call->inputs[1]->data, call->outputs[0]->data);
}

static mt_status multiply_backward(mt_call *call)
{
    mt_status status = multiply_grad(call, 0, call->inputs[1]);
    return status == MT_OK ? multiply_grad(call, 1, call->inputs[0]) : status;
}

const mt_op mt_op_multiply = {
    .name = "multiply",
    .formula = "y = a b",
    .inputs = 2,
    .outputs = 1,
    .shape = mt_shape_like_both,
    .forward = multiply_forward,
    .backward = multiply_backward,
};

mt_tensor *mt_multiply(mt_tape *tape, mt_tensor *a, mt_tensor *b)
{
    return mt_apply(tape, &mt_op_multiply, 2, (mt_tensor *[]){a, b}, NULL, 0);
}

static mt_status scale_forward(mt_call *call)
{
    const double *alpha = call->options;
    return call->kernels->scale(call->device, count(call), *alpha, call->inputs[0]->data,
                                call->outputs[0]->data);
}

static mt_status scale_backward(mt_call *call)
{
    const double *alpha = call->options;
    return scale_grad(call, 0, *alpha);
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

static mt_status sigmoid_forward(mt_call *call)
{
    return call->kernels->sigmoid_forward(call->device, count(call), call->inputs[0]->data,
                                          call->outputs[0]->data);
}

static mt_status sigmoid_backward(mt_call *call)
{
    return call->kernels->sigmoid_backward(call->device, count(call), call->outputs[0]->data,
                                           call->grad_outputs[0], call->grad_inputs[0]);
}

const mt_op mt_op_sigmoid = {
    .name = "sigmoid",
    .formula = "y = 1 / (1 + e^-x)",
    .inputs = 1,
    .outputs = 1,
    .shape = mt_shape_like_first,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};

mt_tensor *mt_sigmoid(mt_tape *tape, mt_tensor *x)
{
    return mt_apply(tape, &mt_op_sigmoid, 1, &x, NULL, 0);
}

static mt_status negative_exp_forward(mt_call *call)
{
    return call->kernels->negative_exp_forward(call->device, count(call), call->inputs[0]->data,
                                               call->outputs[0]->data);
}

static mt_status negative_exp_backward(mt_call *call)
{
    return multiply_grad(call, 0, call->outputs[0]);
}

const mt_op mt_op_negative_exp = {
    .name = "negative_exp",
    .formula = "y = -e^x",
    .inputs = 1,
    .outputs = 1,
    .shape = mt_shape_like_first,
    .forward = negative_exp_forward,
    .backward = negative_exp_backward,
};

mt_tensor *mt_negative_exp(mt_tape *tape, mt_tensor *x)
{
    return mt_apply(tape, &mt_op_negative_exp, 1, &x, NULL, 0);
}

static mt_status squared_relu_forward(mt_call *call)
{
    return call->kernels->squared_relu_forward(call->device, count(call), 1, call->inputs[0]->data,
                                               NULL, call->outputs[0]->data);
}

static mt_status squared_relu_backward(mt_call *call)
{
    return call->kernels->squared_relu_backward(call->device, count(call), call->outputs[0]->data,
                                                call->grad_outputs[0], call->grad_inputs[0]);
}

const mt_op mt_op_squared_relu = {
    .name = "squared_relu",
    .formula = "y = max(x, 0)^2",
    .inputs = 1,
    .outputs = 1,
    .shape = mt_shape_like_first,
    .forward = squared_relu_forward,
    .backward = squared_relu_backward,
};

mt_tensor *mt_squared_relu(mt_tape *tape, mt_tensor *x)
{
    return mt_apply(tape, &mt_op_squared_relu, 1, &x, NULL, 0);
}

static mt_status sigmoid_gate_forward(mt_call *call)
{
    return call->kernels->sigmoid_gate_forward(call->device, count(call), call->inputs[0]->data,
                                               call->inputs[1]->data, call->outputs[0]->data);
}

static mt_status sigmoid_gate_backward(mt_call *call)
{
    return call->kernels->sigmoid_gate_backward(call->device, count(call), call->inputs[0]->data,
                                                call->inputs[1]->data, call->grad_outputs[0],
                                                call->grad_inputs[0], call->grad_inputs[1]);
}

const mt_op mt_op_sigmoid_gate = {
    .name = "sigmoid_gate",
    .formula = "y = sigmoid(gate) x",
    .inputs = 2,
    .outputs = 1,
    .shape = mt_shape_like_both,
    .forward = sigmoid_gate_forward,
    .backward = sigmoid_gate_backward,
};

mt_tensor *mt_sigmoid_gate(mt_tape *tape, mt_tensor *gate, mt_tensor *x)
{
    return mt_apply(tape, &mt_op_sigmoid_gate, 2, (mt_tensor *[]){gate, x}, NULL, 0);
}

/* Plain data: the mask is computed again in backward. */
typedef struct dropout_options {
    double p;
    uint64_t seed, place;
    const uint64_t *step;
} dropout_options;

static mt_status dropout_masked(mt_call *call, const void *x, void *y)
{
    const dropout_options *options = call->options;
    mt_dropout_args args = {.n = count(call),
                            .p = options->p,
                            .seed = options->seed,
                            .place = options->place,
                            .step = options->step,
                            .x = x,
                            .y = y};
    return call->kernels->dropout(call->device, &args);
}

static mt_status dropout_shape(mt_call *call)
{
    const dropout_options *options = call->options;
    if (!(options->p >= 0.0 && options->p < 1.0)) {
        return mt_fail(MT_ERROR_INVALID, "dropout: probability %g, not in [0, 1)", options->p);
    }
    return mt_shape_like_first(call);
}

static mt_status dropout_forward(mt_call *call)
{
    return dropout_masked(call, call->inputs[0]->data, call->outputs[0]->data);
}

static mt_status dropout_backward(mt_call *call)
{
    return dropout_masked(call, call->grad_outputs[0], call->grad_inputs[0]);
}

const mt_op mt_op_dropout = {
    .name = "dropout",
    .formula = "y = x mask / (1 - p)",
    .inputs = 1,
    .outputs = 1,
    .shape = dropout_shape,
    .forward = dropout_forward,
    .backward = dropout_backward,
};

mt_tensor *mt_dropout(mt_tape *tape, mt_tensor *x, double p)
{
    if (p == 0.0) {
        return x;
    }
    dropout_options options = {.p = p};
    mt_tape_next_random(tape, &options.seed, &options.place, &options.step);
    return mt_apply(tape, &mt_op_dropout, 1, &x, &options, sizeof options);
}
