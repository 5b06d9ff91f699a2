/* The WKV operator on the tape. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

enum { W, U, KEY, VALUE, STATE };
enum { Y, STATE_OUT };

static mt_status wkv_shape(mt_call *call)
{
    const int64_t *context_size = call->options;
    const mt_tensor *key = call->inputs[KEY];
    mt_status status = mt_expect_rank(call, KEY, "key", 3);
    if (status != MT_OK) {
        return status;
    }
    int64_t B = key->shape[0], T = key->shape[1], C = key->shape[2];
    status = mt_wkv_check(B, T, C, *context_size);
    if (status == MT_OK) {
        status = mt_expect_count(call, VALUE, "value", B * T * C);
    }
    if (status == MT_OK) {
        status = mt_expect_count(call, W, "w", C);
    }
    if (status == MT_OK) {
        status = mt_expect_count(call, U, "time_first", C);
    }
    if (status == MT_OK && call->inputs[STATE] != NULL) {
        status = mt_expect_count(call, STATE, "state", 3 * B * C);
    }
    mt_call_output_like(call, Y, key);
    mt_call_output_wide(call, STATE_OUT, 3, (int64_t[]){3, B, C});
    return status;
}

static mt_status wkv_forward(mt_call *call)
{
    const int64_t *shape = call->inputs[KEY]->shape;
    const mt_tensor *state = call->inputs[STATE];
    mt_status status = mt_call_save(
        call, call->kernels->wkv_saved_size(call->device, shape[0], shape[1], shape[2]));
    if (status != MT_OK) {
        return status;
    }
    mt_wkv_forward_args args = {.B = shape[0],
                                .T = shape[1],
                                .C = shape[2],
                                .w = call->inputs[W]->data,
                                .u = call->inputs[U]->data,
                                .k = call->inputs[KEY]->data,
                                .v = call->inputs[VALUE]->data,
                                .state_in = state != NULL ? state->data : NULL,
                                .y = call->outputs[Y]->data,
                                .state_out = call->outputs[STATE_OUT]->data,
                                .saved = call->saved};
    return call->kernels->wkv_forward(call->device, &args);
}

static mt_status wkv_backward(mt_call *call)
{
    const int64_t *shape = call->inputs[KEY]->shape;
    mt_wkv_backward_args args = {.B = shape[0],
                                 .T = shape[1],
                                 .C = shape[2],
                                 .w = call->inputs[W]->data,
                                 .u = call->inputs[U]->data,
                                 .k = call->inputs[KEY]->data,
                                 .v = call->inputs[VALUE]->data,
                                 .saved = call->saved,
                                 .dy = call->grad_outputs[Y],
                                 .dstate_out = call->grad_outputs[STATE_OUT],
                                 .dw = call->grad_inputs[W],
                                 .du = call->grad_inputs[U],
                                 .dk = call->grad_inputs[KEY],
                                 .dv = call->grad_inputs[VALUE],
                                 .dstate_in = call->grad_inputs[STATE]};
    return call->kernels->wkv_backward(call->device, &args);
}

const mt_op mt_op_wkv = {
    .name = "wkv",
    .formula = "y[t] = (num + e^(u+k[t]) v[t]) / (den + e^(u+k[t]))",
    .inputs = 4,
    .outputs = 2,
    .shape = wkv_shape,
    .forward = wkv_forward,
    .backward = wkv_backward,
    .wide = 1u << W | 1u << U | 1u << STATE,
};

mt_tensor *mt_wkv(mt_tape *tape, mt_tensor *w, mt_tensor *time_first, mt_tensor *key,
                  mt_tensor *value, mt_tensor *state, int64_t context_size, mt_tensor **state_out)
{
    mt_tensor *outputs[2];
    mt_apply_many(tape, &mt_op_wkv, 5, (mt_tensor *[]){w, time_first, key, value, state},
                  &context_size, sizeof context_size, outputs);
    if (state_out != NULL) {
        *state_out = outputs[STATE_OUT];
    }
    return outputs[Y];
}
