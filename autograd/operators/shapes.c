#include "autograd/operators/shapes.h"

#include <inttypes.h>
#include <string.h>

mt_status mt_expect_same_shape(mt_call *call, int index)
{
    const mt_tensor *a = call->inputs[0], *b = call->inputs[index];
    if (mt_tensor_same_shape(a, b) && a->dtype == b->dtype) {
        return MT_OK;
    }
    char first[96], other[96];
    return mt_fail(MT_ERROR_INVALID, "%s: shapes %s and %s differ", call->op->name,
                   mt_tensor_shape_text(a, first, sizeof first),
                   mt_tensor_shape_text(b, other, sizeof other));
}

mt_status mt_expect_rank(const mt_call *call, int index, const char *name, int rank)
{
    const mt_tensor *input = call->inputs[index];
    if (input->rank == rank) {
        return MT_OK;
    }
    char shape[96];
    return mt_fail(MT_ERROR_INVALID, "%s: %s has shape %s, expected %d dimensions", call->op->name,
                   name, mt_tensor_shape_text(input, shape, sizeof shape), rank);
}

mt_status mt_expect_count(const mt_call *call, int index, const char *name, int64_t count)
{
    const mt_tensor *input = call->inputs[index];
    if (mt_tensor_count(input) == count) {
        return MT_OK;
    }
    char shape[96];
    return mt_fail(MT_ERROR_INVALID, "%s: %s has shape %s, expected %" PRId64 " elements",
                   call->op->name, name, mt_tensor_shape_text(input, shape, sizeof shape), count);
}

mt_status mt_expect_indices(const mt_call *call, int index, const char *name)
{
    const mt_tensor *input = call->inputs[index];
    if (input->dtype == MT_I32) {
        return MT_OK;
    }
    return mt_fail(MT_ERROR_INVALID, "%s: %s is %s, expected i32", call->op->name, name,
                   mt_dtype_name(input->dtype));
}

mt_status mt_shape_like_first(mt_call *call)
{
    mt_call_output_like(call, 0, call->inputs[0]);
    return MT_OK;
}

mt_status mt_shape_like_both(mt_call *call)
{
    mt_status status = mt_expect_same_shape(call, 1);
    if (status == MT_OK) {
        mt_call_output_like(call, 0, call->inputs[0]);
    }
    return status;
}

mt_status mt_shape_scalar(mt_call *call)
{
    mt_call_output_wide(call, 0, 0, NULL);
    return MT_OK;
}

int64_t mt_last_dimension(const mt_tensor *x)
{
    return x->rank > 0 ? x->shape[x->rank - 1] : 1;
}

int64_t mt_leading_count(const mt_tensor *x)
{
    return mt_tensor_count(x) / mt_last_dimension(x);
}
