/* The shift of time with its mixes, and slices of time. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

enum { X, CARRIED, FIRST_MIX };

static mt_status time_mix_shape(mt_call *call)
{
    const mt_tensor *x = call->inputs[X];
    mt_status status = mt_expect_rank(call, X, "x", 3);
    if (status == MT_OK && call->inputs[CARRIED] != NULL) {
        status = mt_expect_count(call, CARRIED, "carried", x->shape[0] * x->shape[2]);
    }
    call->output_count = call->input_count - FIRST_MIX;
    for (int i = 0; i < call->output_count && status == MT_OK; i++) {
        if (call->inputs[FIRST_MIX + i] == NULL) {
            status = mt_fail(MT_ERROR_INVALID, "time_mix: mix %d is NULL", i);
        } else {
            status = mt_expect_count(call, FIRST_MIX + i, "mix", x->shape[2]);
        }
        mt_call_output_like(call, i, x);
    }
    return status;
}

static mt_status time_mix_forward(mt_call *call)
{
    const mt_tensor *x = call->inputs[X], *carried = call->inputs[CARRIED];
    mt_time_mix_forward_args args = {.B = x->shape[0],
                                     .T = x->shape[1],
                                     .C = x->shape[2],
                                     .count = call->output_count,
                                     .x = x->data,
                                     .carried = carried != NULL ? carried->data : NULL};
    for (int i = 0; i < args.count; i++) {
        args.mix[i] = call->inputs[FIRST_MIX + i]->data;
        args.y[i] = call->outputs[i]->data;
    }
    return call->kernels->time_mix_forward(call->device, &args);
}

static mt_status time_mix_backward(mt_call *call)
{
    const mt_tensor *x = call->inputs[X], *carried = call->inputs[CARRIED];
    mt_time_mix_backward_args args = {.B = x->shape[0],
                                      .T = x->shape[1],
                                      .C = x->shape[2],
                                      .count = call->output_count,
                                      .x = x->data,
                                      .carried = carried != NULL ? carried->data : NULL,
                                      .dx = call->grad_inputs[X],
                                      .dcarried = call->grad_inputs[CARRIED]};
    for (int i = 0; i < args.count; i++) {
        args.mix[i] = call->inputs[FIRST_MIX + i]->data;
        args.dy[i] = call->grad_outputs[i];
        args.dmix[i] = call->grad_inputs[FIRST_MIX + i];
    }
    return call->kernels->time_mix_backward(call->device, &args);
}

const mt_op mt_op_time_mix = {
    .name = "time_mix",
    .formula = "y_i[t] = x[t] mix_i + x[t-1] (1 - mix_i)",
    .inputs = 1,
    .outputs = MT_TIME_MIX_MAX,
    .shape = time_mix_shape,
    .forward = time_mix_forward,
    .backward = time_mix_backward,
    .wide = ((1u << MT_TIME_MIX_MAX) - 1) << FIRST_MIX,
    .side_by_side = true,
};

void mt_time_mix(mt_tape *tape, mt_tensor *x, mt_tensor *carried, int count, mt_tensor *const *mix,
                 mt_tensor **y)
{
    mt_tensor *inputs[FIRST_MIX + MT_TIME_MIX_MAX] = {x, carried};
    mt_tensor *outputs[MT_TIME_MIX_MAX] = {NULL};
    if (count < 1 || count > MT_TIME_MIX_MAX) {
        mt_tape_fail(tape, mt_fail(MT_ERROR_INVALID, "time_mix: %d mixes, not 1 .. %d", count,
                                   MT_TIME_MIX_MAX));
        return;
    }
    for (int i = 0; i < count; i++) {
        inputs[FIRST_MIX + i] = mix[i];
    }
    mt_apply_many(tape, &mt_op_time_mix, FIRST_MIX + count, inputs, NULL, 0, outputs);
    for (int i = 0; i < count; i++) {
        y[i] = outputs[i];
    }
}
