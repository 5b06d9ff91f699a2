/* What a batch of sequences begins with, where that is learnt: one row, repeated for each. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

#include <inttypes.h>
#include <string.h>

static mt_status check_count(const mt_call *call)
{
    const int64_t *count = call->options;
    return *count >= 1 ? MT_OK
                       : mt_fail(MT_ERROR_INVALID, "%s: %" PRId64 " times, not 1 or more",
                                 call->op->name, *count);
}

static mt_status repeat_shape(mt_call *call)
{
    const int64_t *count = call->options;
    const mt_tensor *x = call->inputs[0];
    mt_status status = check_count(call);
    if (status != MT_OK) {
        return status;
    }
    if (x->rank >= MT_MAX_RANK) {
        return mt_fail(MT_ERROR_INVALID, "repeat: a tensor of rank %d, at most %d", x->rank,
                       MT_MAX_RANK - 1);
    }
    int64_t shape[MT_MAX_RANK] = {*count};
    memcpy(shape + 1, x->shape, (size_t)x->rank * sizeof *shape);
    mt_call_output_wide(call, 0, x->rank + 1, shape);
    return MT_OK;
}

static mt_status repeat_forward(mt_call *call)
{
    const int64_t *count = call->options;
    const mt_tensor *x = call->inputs[0];
    return call->wide->broadcast_rows(call->device, *count, mt_tensor_count(x), x->data,
                                      call->outputs[0]->data);
}

static mt_status repeat_backward(mt_call *call)
{
    const int64_t *count = call->options;
    return call->wide->sum_rows(call->device, 1, *count, mt_tensor_count(call->inputs[0]),
                                call->grad_outputs[0], 0, call->grad_inputs[0], 0);
}

const mt_op mt_op_repeat = {
    .name = "repeat",
    .formula = "y[n] = x",
    .inputs = 1,
    .outputs = 1,
    .shape = repeat_shape,
    .forward = repeat_forward,
    .backward = repeat_backward,
    .wide = 1u << 0,
};

mt_tensor *mt_repeat(mt_tape *tape, mt_tensor *x, int64_t count)
{
    return mt_apply(tape, &mt_op_repeat, 1, &x, &count, sizeof count);
}

/* ---- the state of WKV ---- */

enum { NUM, ROOT };

/* The planes of a state, each (B, C). */
enum { PLANE_NUM, PLANE_DEN, PLANE_MAX };

static mt_status wkv_start_shape(mt_call *call)
{
    const int64_t *B = call->options;
    mt_status status = check_count(call);
    if (status == MT_OK) {
        status = mt_expect_rank(call, NUM, "num", 1);
    }
    if (status == MT_OK) {
        status = mt_expect_count(call, ROOT, "root of den", mt_tensor_count(call->inputs[NUM]));
    }
    if (status == MT_OK) {
        mt_call_output_wide(call, 0, 3, (int64_t[]){3, *B, call->inputs[NUM]->shape[0]});
    }
    return status;
}

static void *plane_of(const mt_call *call, const void *state, int plane)
{
    const int64_t *B = call->options;
    int64_t C = mt_tensor_count(call->inputs[NUM]);
    size_t size = mt_dtype_size(call->inputs[NUM]->dtype);
    return (char *)(uintptr_t)state + (size_t)(plane * *B * C) * size;
}

static mt_status wkv_start_forward(mt_call *call)
{
    const int64_t *B = call->options;
    const mt_kernels *kernels = call->wide;
    const void *num = call->inputs[NUM]->data, *root = call->inputs[ROOT]->data;
    void *state = call->outputs[0]->data, *den;
    int64_t C = mt_tensor_count(call->inputs[NUM]);
    mt_status status = mt_call_scratch(call, mt_tensor_bytes(call->inputs[ROOT]), &den);
    if (status == MT_OK) {
        status = kernels->multiply(call->device, C, root, root, den);
    }
    if (status == MT_OK) {
        status =
            kernels->broadcast_rows(call->device, *B, C, num, plane_of(call, state, PLANE_NUM));
    }
    if (status == MT_OK) {
        status =
            kernels->broadcast_rows(call->device, *B, C, den, plane_of(call, state, PLANE_DEN));
    }
    return status == MT_OK
               ? kernels->fill(call->device, *B * C, 0.0, plane_of(call, state, PLANE_MAX))
               : status;
}

static mt_status wkv_start_backward(mt_call *call)
{
    const int64_t *B = call->options;
    const mt_kernels *kernels = call->wide;
    const void *dstate = call->grad_outputs[0], *root = call->inputs[ROOT]->data;
    void *dnum = call->grad_inputs[NUM], *droot = call->grad_inputs[ROOT];
    int64_t C = mt_tensor_count(call->inputs[NUM]);
    mt_status status = MT_OK;
    if (dnum != NULL) {
        status = kernels->sum_rows(call->device, 1, *B, C, plane_of(call, dstate, PLANE_NUM), 0,
                                   dnum, 0);
    }
    if (droot == NULL || status != MT_OK) {
        return status;
    }
    status =
        kernels->sum_rows(call->device, 1, *B, C, plane_of(call, dstate, PLANE_DEN), 0, droot, 0);
    if (status == MT_OK) {
        status = kernels->multiply(call->device, C, droot, root, droot);
    }
    return status == MT_OK ? kernels->scale(call->device, C, 2.0, droot, droot) : status;
}

const mt_op mt_op_wkv_start = {
    .name = "wkv_start",
    .formula = "state[b] = (num, root^2, 0)",
    .inputs = 2,
    .outputs = 1,
    .shape = wkv_start_shape,
    .forward = wkv_start_forward,
    .backward = wkv_start_backward,
    .wide = 1u << NUM | 1u << ROOT,
};

mt_tensor *mt_wkv_start(mt_tape *tape, mt_tensor *num, mt_tensor *root, int64_t B)
{
    return mt_apply(tape, &mt_op_wkv_start, 2, (mt_tensor *[]){num, root}, &B, sizeof B);
}
