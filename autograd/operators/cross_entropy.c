/* The loss of a classifier. */
#include "autograd/operators/cross_entropy.h"
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

#include <math.h>

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
    if (status == MT_OK && !(options->l2wrap >= 0.0 && options->l2wrap < HUGE_VAL)) {
        status = mt_fail(MT_ERROR_INVALID, "%s: l2wrap %g, not a number from 0 on", call->op->name,
                         options->l2wrap);
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
                                            .l2wrap = options->l2wrap,
                                            .targets = targets_from(call, targets, first_row)};
}

size_t mt_cross_entropy_top_bytes(const mt_call *call, int64_t N)
{
    const mt_cross_entropy_options *options = call->options;
    return options->l2wrap > 0.0 ? (size_t)N * sizeof(int32_t) : 0;
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

/* What forward keeps for backward: lse (N), and where the largest logits are behind it. */
static size_t lse_bytes(const mt_call *call, int64_t N)
{
    return (size_t)N * mt_dtype_size(mt_dtype_wide(call->dtype));
}

static int32_t *kept_top(const mt_call *call, int64_t N)
{
    bool is_kept = call->saved != NULL && mt_cross_entropy_top_bytes(call, N) > 0;
    return is_kept ? (int32_t *)(void *)((char *)call->saved + lse_bytes(call, N)) : NULL;
}

static mt_status cross_entropy_forward(mt_call *call)
{
    const mt_tensor *logits = call->inputs[LOGITS];
    int64_t N = mt_leading_count(logits), V = mt_last_dimension(logits);
    mt_status status = mt_call_save(call, lse_bytes(call, N) + mt_cross_entropy_top_bytes(call, N));
    if (status != MT_OK) {
        return status;
    }
    mt_cross_entropy_forward_args args = mt_cross_entropy_forward_of(call, TARGETS, N, V, 0);
    args.logits = logits->data;
    args.loss = call->outputs[MT_LOSS]->data;
    args.lse = call->saved;
    args.top = kept_top(call, N);
    args.stats = call->outputs[MT_STATS]->data;
    return call->kernels->cross_entropy_forward(call->device, &args);
}

static mt_status cross_entropy_backward(mt_call *call)
{
    const mt_tensor *logits = call->inputs[LOGITS];
    if (call->grad_outputs[MT_LOSS] == NULL) {
        return call->device->zero(call->device, call->grad_inputs[LOGITS], mt_tensor_bytes(logits));
    }
    int64_t N = mt_leading_count(logits);
    mt_cross_entropy_backward_args args =
        mt_cross_entropy_backward_of(call, TARGETS, N, mt_last_dimension(logits), 0);
    args.logits = logits->data;
    args.lse = call->saved;
    args.top = kept_top(call, N);
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
    return mt_cross_entropy_l2wrap(tape, logits, targets, ignore_index, label_smoothing, 0.0,
                                   stats);
}

mt_tensor *mt_cross_entropy_l2wrap(mt_tape *tape, mt_tensor *logits, mt_tensor *targets,
                                   int32_t ignore_index, double label_smoothing, double l2wrap,
                                   mt_tensor **stats)
{
    mt_cross_entropy_options options = {
        .ignore_index = ignore_index, .label_smoothing = label_smoothing, .l2wrap = l2wrap};
    return mt_apply_cross_entropy(tape, &mt_op_cross_entropy, 2, (mt_tensor *[]){logits, targets},
                                  &options, stats);
}
