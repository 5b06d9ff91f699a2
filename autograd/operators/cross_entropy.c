/* The loss of a classifier. */
#include "autograd/operators/cross_entropy.h"
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

enum { LOGITS, TARGETS };

mt_status mt_cross_entropy_shape(mt_call *call, int targets, int64_t N)
{
    const mt_cross_entropy_options *options = call->options;
    mt_status status = mt_expect_indices(call, targets, "targets");
    if (status == MT_OK) {
        status = mt_expect_count(call, targets, "targets", N);
    }
    if (status == MT_OK && !(options->label_smoothing >= 0.0 && options->label_smoothing < 1.0)) {
        status = mt_fail(MT_ERROR_INVALID, "%s: label smoothing %g, not in [0, 1)", call->op->name,
                         options->label_smoothing);
    }
    mt_call_output_wide(call, MT_LOSS, 0, NULL);
    mt_call_output_wide(call, MT_STATS, 1, (int64_t[]){2});
    return status;
}

static const int32_t *targets_from(const mt_call *call, int targets, int64_t first_row)
{
    return (const int32_t *)call->inputs[targets]->data + first_row;
}

mt_cross_entropy_forward_args mt_cross_entropy_forward_of(const mt_call *call, int targets,
                                                          int64_t N, int64_t V, int64_t first_row)
{
    const mt_cross_entropy_options *options = call->options;
    return (mt_cross_entropy_forward_args){.N = N,
                                           .V = V,
                                           .ignore_index = options->ignore_index,
                                           .label_smoothing = options->label_smoothing,
                                           .targets = targets_from(call, targets, first_row),
                                           .first_row = first_row};
}

mt_cross_entropy_backward_args mt_cross_entropy_backward_of(const mt_call *call, int targets,
                                                            int64_t N, int64_t V, int64_t first_row)
{
    const mt_cross_entropy_options *options = call->options;
    return (mt_cross_entropy_backward_args){.N = N,
                                            .V = V,
                                            .ignore_index = options->ignore_index,
                                            .label_smoothing = options->label_smoothing,
                                            .targets = targets_from(call, targets, first_row)};
}

mt_tensor *mt_apply_cross_entropy(mt_tape *tape, const mt_op *op, int input_count,
                                  mt_tensor *const *inputs, const mt_cross_entropy_options *options,
                                  mt_tensor **stats)
{
    mt_tensor *outputs[MT_LOSS_OUTPUTS];
    mt_apply_many(tape, op, input_count, inputs, options, sizeof *options, outputs);
    if (stats != NULL) {
        *stats = mt_detach(tape, outputs[MT_STATS]);
    }
    return outputs[MT_LOSS];
}

static mt_status cross_entropy_shape(mt_call *call)
{
    return mt_cross_entropy_shape(call, TARGETS, mt_leading_count(call->inputs[LOGITS]));
}

static mt_status cross_entropy_forward(mt_call *call)
{
    const mt_tensor *logits = call->inputs[LOGITS];
    int64_t N = mt_leading_count(logits), V = mt_last_dimension(logits);
    mt_status status = mt_call_save(call, (size_t)N * mt_dtype_size(mt_dtype_wide(call->dtype)));
    if (status != MT_OK) {
        return status;
    }
    mt_cross_entropy_forward_args args = mt_cross_entropy_forward_of(call, TARGETS, N, V, 0);
    args.logits = logits->data;
    args.loss = call->outputs[MT_LOSS]->data;
    args.lse = call->saved;
    args.stats = call->outputs[MT_STATS]->data;
    return call->kernels->cross_entropy_forward(call->device, &args);
}

static mt_status cross_entropy_backward(mt_call *call)
{
    const mt_tensor *logits = call->inputs[LOGITS];
    if (call->grad_outputs[MT_LOSS] == NULL) {
        return call->device->zero(call->device, call->grad_inputs[LOGITS], mt_tensor_bytes(logits));
    }
    mt_cross_entropy_backward_args args = mt_cross_entropy_backward_of(
        call, TARGETS, mt_leading_count(logits), mt_last_dimension(logits), 0);
    args.logits = logits->data;
    args.lse = call->saved;
    args.stats = call->outputs[MT_STATS]->data;
    args.dloss = call->grad_outputs[MT_LOSS];
    args.dlogits = call->grad_inputs[LOGITS];
    return call->kernels->cross_entropy_backward(call->device, &args);
}

const mt_op mt_op_cross_entropy = {
    .name = "cross_entropy",
    .formula = "y = mean of lse(logits) - logits[target]",
    .inputs = 2,
    .outputs = MT_LOSS_OUTPUTS,
    .shape = cross_entropy_shape,
    .forward = cross_entropy_forward,
    .backward = cross_entropy_backward,
};

mt_tensor *mt_cross_entropy(mt_tape *tape, mt_tensor *logits, mt_tensor *targets,
                            int32_t ignore_index, double label_smoothing, mt_tensor **stats)
{
    mt_cross_entropy_options options = {.ignore_index = ignore_index,
                                        .label_smoothing = label_smoothing};
    return mt_apply_cross_entropy(tape, &mt_op_cross_entropy, 2, (mt_tensor *[]){logits, targets},
                                  &options, stats);
}
