/* From one type of reals to another: float32 and bfloat16. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

static mt_status cast_shape(mt_call *call)
{
    const mt_tensor *x = call->inputs[0];
    mt_dtype from = x->dtype, to = *(const mt_dtype *)call->options;
    if ((unsigned)to >= MT_REAL_DTYPES) {
        return mt_fail(MT_ERROR_INVALID, "cast: to type %d, which is none of reals", (int)to);
    }
    bool narrows = from == MT_F32 && to == MT_BF16, widens = from == MT_BF16 && to == MT_F32;
    if (!narrows && !widens) {
        return mt_fail(MT_ERROR_INVALID, "cast: from %s to %s, not between f32 and bf16",
                       mt_dtype_name(from), mt_dtype_name(to));
    }
    mt_call_set_dtype(call, MT_BF16);
    if (narrows) {
        mt_call_output_like(call, 0, x);
    } else {
        mt_call_output_wide(call, 0, x->rank, x->shape);
    }
    return MT_OK;
}

/* y = x, to the type that y has. */
static mt_status convert(const mt_call *call, const mt_tensor *like_y, const void *x, void *y)
{
    int64_t n = mt_tensor_count(like_y);
    return like_y->dtype == call->dtype ? call->kernels->narrow(call->device, n, x, y)
                                        : call->kernels->widen(call->device, n, x, y);
}

static mt_status cast_forward(mt_call *call)
{
    return convert(call, call->outputs[0], call->inputs[0]->data, call->outputs[0]->data);
}

static mt_status cast_backward(mt_call *call)
{
    return convert(call, call->inputs[0], call->grad_outputs[0], call->grad_inputs[0]);
}

const mt_op mt_op_cast = {
    .name = "cast",
    .formula = "y = x, rounded to y's type",
    .inputs = 1,
    .outputs = 1,
    .shape = cast_shape,
    .forward = cast_forward,
    .backward = cast_backward,
};

mt_tensor *mt_cast(mt_tape *tape, mt_tensor *x, mt_dtype dtype)
{
    return x != NULL && x->dtype == dtype
               ? x
               : mt_apply(tape, &mt_op_cast, 1, &x, &dtype, sizeof dtype);
}
