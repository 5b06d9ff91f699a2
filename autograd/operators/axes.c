/* Operators that cut tensors, put them together, and exchange their axes. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

#include <inttypes.h>
#include <string.h>

/* A tensor as rows, one for each place before the axis; `step` elements are one step of the axis.
 */
typedef struct axis_rows {
    int64_t rows, step;
} axis_rows;

static axis_rows rows_of(const mt_tensor *x, int axis)
{
    axis_rows of = {1, 1};
    for (int i = 0; i < axis; i++) {
        of.rows *= x->shape[i];
    }
    for (int i = axis + 1; i < x->rank; i++) {
        of.step *= x->shape[i];
    }
    return of;
}

/* An axis as it is counted from the front; fails where x has none of this number. */
static mt_status find_axis(const mt_call *call, const mt_tensor *x, int given, int *axis)
{
    *axis = given < 0 ? given + x->rank : given;
    return *axis >= 0 && *axis < x->rank
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "%s: axis %d of a tensor of rank %d", call->op->name,
                         given, x->rank);
}

/* Copies a stretch of `length` steps of the axis, from one tensor's data to another's, of which one
 * has just that stretch and the other `whole` steps, where it begins at `start`. */
static mt_status copy_stretch(const mt_call *call, axis_rows of, int64_t length, int64_t whole,
                              int64_t start, bool into_whole, const void *from, void *to)
{
    size_t offset = (size_t)(start * of.step) * mt_dtype_size(call->dtype);
    int64_t part = length * of.step, stride = whole * of.step;
    return into_whole ? call->kernels->copy_rows(call->device, of.rows, part, from, part,
                                                 (char *)to + offset, stride)
                      : call->kernels->copy_rows(call->device, of.rows, part,
                                                 (const char *)from + offset, stride, to, part);
}

typedef struct slice_options {
    int axis;
    int64_t start, length;
} slice_options;

static mt_status slice_shape(mt_call *call)
{
    const slice_options *options = call->options;
    const mt_tensor *x = call->inputs[0];
    int axis;
    mt_status status = find_axis(call, x, options->axis, &axis);
    if (status != MT_OK) {
        return status;
    }
    int64_t whole = x->shape[axis], shape[MT_MAX_RANK];
    if (options->start < 0 || options->length < 1 || options->length > whole ||
        options->start > whole - options->length) {
        return mt_fail(MT_ERROR_INVALID, "slice: %" PRId64 " from %" PRId64 " of %" PRId64,
                       options->length, options->start, whole);
    }
    memcpy(shape, x->shape, sizeof shape);
    shape[axis] = options->length;
    mt_call_output(call, 0, x->rank, shape);
    return MT_OK;
}

static mt_status copy_slice(const mt_call *call, bool into_whole, const void *from, void *to)
{
    const slice_options *options = call->options;
    const mt_tensor *x = call->inputs[0];
    int axis;
    mt_status status = find_axis(call, x, options->axis, &axis);
    return status == MT_OK ? copy_stretch(call, rows_of(x, axis), options->length, x->shape[axis],
                                          options->start, into_whole, from, to)
                           : status;
}

static mt_status slice_forward(mt_call *call)
{
    return copy_slice(call, false, call->inputs[0]->data, call->outputs[0]->data);
}

static mt_status slice_backward(mt_call *call)
{
    void *dx = call->grad_inputs[0];
    mt_status status = call->device->zero(call->device, dx, mt_tensor_bytes(call->inputs[0]));
    return status == MT_OK ? copy_slice(call, true, call->grad_outputs[0], dx) : status;
}

const mt_op mt_op_slice = {
    .name = "slice",
    .formula = "y = x[..., start : start + length, ...]",
    .inputs = 1,
    .outputs = 1,
    .shape = slice_shape,
    .forward = slice_forward,
    .backward = slice_backward,
};

mt_tensor *mt_slice(mt_tape *tape, mt_tensor *x, int axis, int64_t start, int64_t length)
{
    slice_options options = {.axis = axis, .start = start, .length = length};
    return mt_apply(tape, &mt_op_slice, 1, &x, &options, sizeof options);
}

mt_tensor *mt_last_step(mt_tape *tape, mt_tensor *x)
{
    if (x == NULL) {
        return mt_slice(tape, x, 1, 0, 1); /* which refuses it */
    }
    if (x->rank != 3) {
        char shape[96];
        mt_tape_fail(tape,
                     mt_fail(MT_ERROR_INVALID, "last_step: x has shape %s, expected 3 dimensions",
                             mt_tensor_shape_text(x, shape, sizeof shape)));
        return NULL;
    }
    mt_tensor *last = mt_slice(tape, x, 1, x->shape[1] - 1, 1);
    return mt_view(tape, last, 2, (int64_t[]){x->shape[0], x->shape[2]});
}

/* Tells if two tensors have the same shape but along an axis. */
static bool same_beside(const mt_tensor *a, const mt_tensor *b, int axis)
{
    bool same = a->rank == b->rank && a->dtype == b->dtype;
    for (int i = 0; i < a->rank && same; i++) {
        same = i == axis || a->shape[i] == b->shape[i];
    }
    return same;
}

static mt_status concatenate_shape(mt_call *call)
{
    const mt_tensor *first = call->inputs[0];
    int axis;
    mt_status status = find_axis(call, first, *(const int *)call->options, &axis);
    if (status != MT_OK) {
        return status;
    }
    int64_t shape[MT_MAX_RANK];
    memcpy(shape, first->shape, sizeof shape);
    for (int i = 1; i < call->input_count; i++) {
        const mt_tensor *x = call->inputs[i];
        if (x == NULL) {
            return mt_fail(MT_ERROR_INVALID, "concatenate: input %d is NULL", i);
        }
        if (!same_beside(first, x, axis)) {
            char one[96], other[96];
            return mt_fail(MT_ERROR_INVALID, "concatenate: shapes %s and %s differ beside axis %d",
                           mt_tensor_shape_text(first, one, sizeof one),
                           mt_tensor_shape_text(x, other, sizeof other), axis);
        }
        shape[axis] += x->shape[axis];
    }
    mt_call_output(call, 0, first->rank, shape);
    return MT_OK;
}

/* Copies each input's stretch of the output, or of its gradient. */
static mt_status copy_inputs(const mt_call *call, bool into_whole, void *whole)
{
    const mt_tensor *y = call->outputs[0];
    int axis;
    int64_t start = 0;
    mt_status status = find_axis(call, y, *(const int *)call->options, &axis);
    for (int i = 0; i < call->input_count && status == MT_OK; i++) {
        const mt_tensor *x = call->inputs[i];
        void *part = into_whole ? x->data : call->grad_inputs[i];
        int64_t length = x->shape[axis];
        if (part != NULL) {
            status = copy_stretch(call, rows_of(y, axis), length, y->shape[axis], start, into_whole,
                                  into_whole ? part : whole, into_whole ? whole : part);
        }
        start += length;
    }
    return status;
}

static mt_status concatenate_forward(mt_call *call)
{
    return copy_inputs(call, true, call->outputs[0]->data);
}

static mt_status concatenate_backward(mt_call *call)
{
    return copy_inputs(call, false, (void *)(uintptr_t)call->grad_outputs[0]);
}

const mt_op mt_op_concatenate = {
    .name = "concatenate",
    .formula = "y = [x_0, x_1, ...]",
    .inputs = 1,
    .outputs = 1,
    .shape = concatenate_shape,
    .forward = concatenate_forward,
    .backward = concatenate_backward,
};

mt_tensor *mt_concatenate(mt_tape *tape, int axis, int count, mt_tensor *const *inputs)
{
    if (count < 1 || count > MT_OP_INPUTS) {
        mt_tape_fail(tape, mt_fail(MT_ERROR_INVALID, "concatenate: %d tensors, not 1 .. %d", count,
                                   MT_OP_INPUTS));
        return NULL;
    }
    return mt_apply(tape, &mt_op_concatenate, count, inputs, &axis, sizeof axis);
}

typedef struct transpose_options {
    int axes[2];
} transpose_options;

/* The axes as they are counted from the front, the smaller one first. */
static mt_status find_axes(const mt_call *call, int *first, int *second)
{
    const transpose_options *options = call->options;
    const mt_tensor *x = call->inputs[0];
    int a, b;
    mt_status status = find_axis(call, x, options->axes[0], &a);
    if (status == MT_OK) {
        status = find_axis(call, x, options->axes[1], &b);
    }
    if (status == MT_OK) {
        *first = a < b ? a : b;
        *second = a < b ? b : a;
    }
    return status;
}

static mt_status transpose_shape(mt_call *call)
{
    const mt_tensor *x = call->inputs[0];
    int64_t shape[MT_MAX_RANK];
    int a, b;
    mt_status status = find_axes(call, &a, &b);
    if (status == MT_OK) {
        memcpy(shape, x->shape, sizeof shape);
        shape[a] = x->shape[b];
        shape[b] = x->shape[a];
        mt_call_output(call, 0, x->rank, shape);
    }
    return status;
}

/* Exchanges the axes of an array like `x`. */
static mt_status exchange(const mt_call *call, const mt_tensor *x, const void *from, void *to)
{
    int a, b;
    mt_status status = find_axes(call, &a, &b);
    if (status != MT_OK) {
        return status;
    }
    if (a == b) {
        return call->device->copy(call->device, to, from, mt_tensor_bytes(x));
    }
    axis_rows first = rows_of(x, a), second = rows_of(x, b);
    int64_t P = x->shape[a], Q = x->shape[b], between = second.rows / (first.rows * P);
    return call->kernels->swap_axes(call->device, first.rows, P, between, Q, second.step, from, to);
}

static mt_status transpose_forward(mt_call *call)
{
    return exchange(call, call->inputs[0], call->inputs[0]->data, call->outputs[0]->data);
}

static mt_status transpose_backward(mt_call *call)
{
    return exchange(call, call->outputs[0], call->grad_outputs[0], call->grad_inputs[0]);
}

const mt_op mt_op_transpose = {
    .name = "transpose",
    .formula = "y[..., q, ..., p, ...] = x[..., p, ..., q, ...]",
    .inputs = 1,
    .outputs = 1,
    .shape = transpose_shape,
    .forward = transpose_forward,
    .backward = transpose_backward,
};

mt_tensor *mt_transpose(mt_tape *tape, mt_tensor *x, int axis_a, int axis_b)
{
    transpose_options options = {.axes = {axis_a, axis_b}};
    return mt_apply(tape, &mt_op_transpose, 1, &x, &options, sizeof options);
}
