/* The loss of a classifier. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

enum { LOGITS, TARGETS };
enum { LOSS, STATS };

typedef struct cross_entropy_options {
    int32_t ignore_index;
    double label_smoothing;
} cross_entropy_options;

static mt_status cross_entropy_shape(mt_call *call)
{
    const cross_entropy_options *options = call->options;
    mt_status status = mt_expect_indices(call, TARGETS, "targets");
    if (status == MT_OK) {
        status = mt_expect_count(call, TARGETS, "targets", mt_leading_count(call->inputs[LOGITS]));
    }
    if (status == MT_OK && !(options->label_smoothing >= 0.0 && options->label_smoothing < 1.0)) {
        status = mt_fail(MT_ERROR_INVALID, "cross_entropy: label smoothing %g, not in [0, 1)",
                         options->label_smoothing);
    }
    mt_call_output(call, LOSS, 0, NULL);
    mt_call_output(call, STATS, 1, (int64_t[]){2});
    return status;
}

static mt_status cross_entropy_forward(mt_call *call)
{
    const cross_entropy_options *options = call->options;
    int64_t N = mt_leading_count(call->inputs[LOGITS]);
    mt_status status = mt_call_save(call, (size_t)N * mt_dtype_size(call->dtype));
    if (status != MT_OK) {
        return status;
    }
    mt_cross_entropy_forward_args args = {.N = N,
                                          .V = mt_last_dimension(call->inputs[LOGITS]),
                                          .ignore_index = options->ignore_index,
                                          .label_smoothing = options->label_smoothing,
                                          .logits = call->inputs[LOGITS]->data,
                                          .targets = call->inputs[TARGETS]->data,
                                          .loss = call->outputs[LOSS]->data,
                                          .lse = call->saved,
                                          .stats = call->outputs[STATS]->data};
    return call->kernels->cross_entropy_forward(call->device, &args);
}

static mt_status cross_entropy_backward(mt_call *call)
{
    const cross_entropy_options *options = call->options;
    if (call->grad_outputs[LOSS] == NULL) {
        return call->device->zero(call->device, call->grad_inputs[LOGITS],
                                  mt_tensor_bytes(call->inputs[LOGITS]));
    }
    mt_cross_entropy_backward_args args = {.N = mt_leading_count(call->inputs[LOGITS]),
                                           .V = mt_last_dimension(call->inputs[LOGITS]),
                                           .ignore_index = options->ignore_index,
                                           .label_smoothing = options->label_smoothing,
                                           .logits = call->inputs[LOGITS]->data,
                                           .targets = call->inputs[TARGETS]->data,
                                           .lse = call->saved,
                                           .stats = call->outputs[STATS]->data,
                                           .dloss = call->grad_outputs[LOSS],
                                           .dlogits = call->grad_inputs[LOGITS]};
    return call->kernels->cross_entropy_backward(call->device, &args);
}

const mt_op mt_op_cross_entropy = {
    .name = "cross_entropy",
    .formula = "y = mean of lse(logits) - logits[target]",
    .inputs = 2,
    .outputs = 2,
    .shape = cross_entropy_shape,
    .forward = cross_entropy_forward,
    .backward = cross_entropy_backward,
};

mt_tensor *mt_cross_entropy(mt_tape *tape, mt_tensor *logits, mt_tensor *targets,
                            int32_t ignore_index, double label_smoothing, mt_tensor **stats)
{
    cross_entropy_options options = {.ignore_index = ignore_index,
                                     .label_smoothing = label_smoothing};
    mt_tensor *outputs[2];
    mt_apply_many(tape, &mt_op_cross_entropy, 2, (mt_tensor *[]){logits, targets}, &options,
                  sizeof options, outputs);
    if (stats != NULL) {
        *stats = mt_detach(tape, outputs[STATS]);
    }
    return outputs[LOSS];
}
