/* The four norms: one kernel contract, four operators. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

#include <inttypes.h>

enum { X, WEIGHT, BIAS };

typedef struct norm_options {
    mt_norm_kind kind;
    double eps, partial;
} norm_options;

static bool weight_per_channel(mt_norm_kind kind)
{
    return kind == MT_LAYER_NORM || kind == MT_RMS_NORM;
}

/* Channels in rms_norm's statistic, as ESPnet counts them. */
static int64_t statistic_channels(const norm_options *options, int64_t C)
{
    bool is_partial = options->partial > 0.0 && options->partial < 1.0;
    return is_partial ? (int64_t)((double)C * options->partial) : C;
}

static mt_status norm_shape(mt_call *call)
{
    const norm_options *options = call->options;
    int64_t C = mt_last_dimension(call->inputs[X]);
    mt_status status =
        mt_expect_count(call, WEIGHT, "weight", weight_per_channel(options->kind) ? C : 1);
    if (status == MT_OK && options->kind == MT_LAYER_NORM) {
        status = mt_expect_count(call, BIAS, "bias", C);
    }
    if (status == MT_OK && statistic_channels(options, C) < 1) {
        status =
            mt_fail(MT_ERROR_INVALID, "rms_norm: a share of %g leaves none of %" PRId64 " channels",
                    options->partial, C);
    }
    return status == MT_OK ? mt_shape_like_first(call) : status;
}

/* The row statistics, mean and scale, stand one behind the other in call->saved. */
static void *saved_mean(const mt_call *call)
{
    return call->saved;
}

static void *saved_scale(const mt_call *call)
{
    size_t bytes =
        (size_t)mt_leading_count(call->inputs[X]) * mt_dtype_size(mt_dtype_wide(call->dtype));
    return call->saved != NULL ? (char *)call->saved + bytes : NULL;
}

static mt_status norm_forward(mt_call *call)
{
    const norm_options *options = call->options;
    int64_t N = mt_leading_count(call->inputs[X]), C = mt_last_dimension(call->inputs[X]);
    mt_status status =
        mt_call_save(call, 2 * (size_t)N * mt_dtype_size(mt_dtype_wide(call->dtype)));
    if (status != MT_OK) {
        return status;
    }
    mt_norm_forward_args args = {.kind = options->kind,
                                 .N = N,
                                 .C = C,
                                 .P = statistic_channels(options, C),
                                 .eps = options->eps,
                                 .x = call->inputs[X]->data,
                                 .weight = call->inputs[WEIGHT]->data,
                                 .bias =
                                     call->inputs[BIAS] != NULL ? call->inputs[BIAS]->data : NULL,
                                 .y = call->outputs[0]->data,
                                 .mean = saved_mean(call),
                                 .scale = saved_scale(call)};
    return call->kernels->norm_forward(call->device, &args);
}

static mt_status norm_backward(mt_call *call)
{
    const norm_options *options = call->options;
    int64_t C = mt_last_dimension(call->inputs[X]);
    mt_norm_backward_args args = {.kind = options->kind,
                                  .N = mt_leading_count(call->inputs[X]),
                                  .C = C,
                                  .P = statistic_channels(options, C),
                                  .eps = options->eps,
                                  .x = call->inputs[X]->data,
                                  .weight = call->inputs[WEIGHT]->data,
                                  .mean = saved_mean(call),
                                  .scale = saved_scale(call),
                                  .dy = call->grad_outputs[0],
                                  .dx = call->grad_inputs[X],
                                  .dweight = call->grad_inputs[WEIGHT],
                                  .dbias = call->grad_inputs[BIAS]};
    return call->kernels->norm_backward(call->device, &args);
}

const mt_op mt_op_layer_norm = {
    .name = "layer_norm",
    .formula = "y = weight (x - mean(x)) / sqrt(var(x) + eps) + bias",
    .inputs = 3,
    .outputs = 1,
    .shape = norm_shape,
    .forward = norm_forward,
    .backward = norm_backward,
    .wide = 1u << WEIGHT | 1u << BIAS,
};

mt_tensor *mt_layer_norm(mt_tape *tape, mt_tensor *x, mt_tensor *weight, mt_tensor *bias,
                         double eps)
{
    norm_options options = {.kind = MT_LAYER_NORM, .eps = eps};
    return mt_apply(tape, &mt_op_layer_norm, 3, (mt_tensor *[]){x, weight, bias}, &options,
                    sizeof options);
}

const mt_op mt_op_rms_norm = {
    .name = "rms_norm",
    .formula = "y = weight x / (sqrt(mean(x[:P]^2)) + eps)",
    .inputs = 2,
    .outputs = 1,
    .shape = norm_shape,
    .forward = norm_forward,
    .backward = norm_backward,
    .wide = 1u << WEIGHT | 1u << BIAS,
};

mt_tensor *mt_rms_norm(mt_tape *tape, mt_tensor *x, mt_tensor *weight, double eps, double partial)
{
    norm_options options = {.kind = MT_RMS_NORM, .eps = eps, .partial = partial};
    return mt_apply(tape, &mt_op_rms_norm, 2, (mt_tensor *[]){x, weight}, &options, sizeof options);
}

const mt_op mt_op_scale_norm = {
    .name = "scale_norm",
    .formula = "y = scale x / max(|x|, eps)",
    .inputs = 2,
    .outputs = 1,
    .shape = norm_shape,
    .forward = norm_forward,
    .backward = norm_backward,
    .wide = 1u << WEIGHT,
};

mt_tensor *mt_scale_norm(mt_tape *tape, mt_tensor *x, mt_tensor *scale, double eps)
{
    norm_options options = {.kind = MT_SCALE_NORM, .eps = eps};
    return mt_apply(tape, &mt_op_scale_norm, 2, (mt_tensor *[]){x, scale}, &options,
                    sizeof options);
}

const mt_op mt_op_basic_norm = {
    .name = "basic_norm",
    .formula = "y = x / sqrt(mean(x^2) + e^log_eps)",
    .inputs = 2,
    .outputs = 1,
    .shape = norm_shape,
    .forward = norm_forward,
    .backward = norm_backward,
    .wide = 1u << WEIGHT,
};

mt_tensor *mt_basic_norm(mt_tape *tape, mt_tensor *x, mt_tensor *log_eps)
{
    norm_options options = {.kind = MT_BASIC_NORM};
    return mt_apply(tape, &mt_op_basic_norm, 2, (mt_tensor *[]){x, log_eps}, &options,
                    sizeof options);
}
