/* Operators that work element by element; arithmetic.c has those of two tensors that may be of
 * different shapes. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

static int64_t count(const mt_call *call)
{
    return mt_tensor_count(call->inputs[0]);
}

/* Defines the operator y = f(x) that runs `forward`, and in backward `backward` with the two arrays
 * that follow, of x, y and dy. */
#define UNARY(name_, formula_, forward_, backward_, first, second)                                 \
    static mt_status name_##_forward(mt_call *call)                                                \
    {                                                                                              \
        return call->kernels->forward_(call->device, count(call), call->inputs[0]->data,           \
                                       call->outputs[0]->data);                                    \
    }                                                                                              \
    static mt_status name_##_backward(mt_call *call)                                               \
    {                                                                                              \
        const void *x = call->inputs[0]->data, *y = call->outputs[0]->data,                        \
                   *dy = call->grad_outputs[0];                                                    \
        (void)x, (void)y;                                                                          \
        return call->kernels->backward_(call->device, count(call), first, second,                  \
                                        call->grad_inputs[0]);                                     \
    }                                                                                              \
    const mt_op mt_op_##name_ = {                                                                  \
        .name = #name_,                                                                            \
        .formula = formula_,                                                                       \
        .inputs = 1,                                                                               \
        .outputs = 1,                                                                              \
        .shape = mt_shape_like_first,                                                              \
        .forward = name_##_forward,                                                                \
        .backward = name_##_backward,                                                              \
    };                                                                                             \
    mt_tensor *mt_##name_(mt_tape *tape, mt_tensor *x)                                             \
    {                                                                                              \
        return mt_apply(tape, &mt_op_##name_, 1, &x, NULL, 0);                                     \
    }

UNARY(exp, "y = e^x", exp_forward, multiply, y, dy)
UNARY(negative_exp, "y = -e^x", negative_exp_forward, multiply, y, dy)
UNARY(log, "y = ln x", log_forward, divide, dy, x)
UNARY(sigmoid, "y = 1 / (1 + e^-x)", sigmoid_forward, sigmoid_backward, y, dy)
UNARY(tanh, "y = tanh x", tanh_forward, tanh_backward, y, dy)
UNARY(relu, "y = max(x, 0)", relu_forward, relu_backward, y, dy)
UNARY(gelu, "y = x P(X <= x), X normal", gelu_forward, gelu_backward, x, dy)

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
    int64_t first;
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
                            .y = y,
                            .first = options->first};
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
    options.first = x != NULL ? mt_tape_first_random(tape, mt_tensor_count(x)) : 0;
    mt_tape_next_random(tape, &options.seed, &options.place, &options.step);
    return mt_apply(tape, &mt_op_dropout, 1, &x, &options, sizeof options);
}
