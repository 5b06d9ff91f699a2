#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

static mt_status softmax_forward(mt_call *call)
{
    const mt_tensor *x = call->inputs[0];
    return call->kernels->softmax_forward(call->device, mt_leading_count(x), mt_last_dimension(x),
                                          x->data, call->outputs[0]->data);
}

static mt_status softmax_backward(mt_call *call)
{
    const mt_tensor *y = call->outputs[0];
    return call->kernels->softmax_backward(call->device, mt_leading_count(y), mt_last_dimension(y),
                                           y->data, call->grad_outputs[0], call->grad_inputs[0]);
}

const mt_op mt_op_softmax = {
    .name = "softmax",
    .formula = "y = e^x / sum of e^x",
    .inputs = 1,
    .outputs = 1,
    .shape = mt_shape_like_first,
    .forward = softmax_forward,
    .backward = softmax_backward,
};

mt_tensor *mt_softmax(mt_tape *tape, mt_tensor *x)
{
    return mt_apply(tape, &mt_op_softmax, 1, &x, NULL, 0);
}
