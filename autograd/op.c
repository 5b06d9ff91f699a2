/* Applying an operator: checks, shapes, memory, forward, record. */
#include "autograd/tape_internal.h"
#include "kernels/null.h"

#include <string.h>

static bool is_among(unsigned inputs, int index)
{
    return (inputs >> index & 1u) != 0;
}

/* The first real input that is not among some; NULL: none. */
static const mt_tensor *first_real(const mt_call *call, unsigned among)
{
    for (int i = 0; i < call->input_count; i++) {
        const mt_tensor *input = call->inputs[i];
        if (input != NULL && mt_dtype_is_real(input->dtype) && !is_among(among, i)) {
            return input;
        }
    }
    return NULL;
}

static mt_status check_device(const mt_op *op, const mt_call *call, int index)
{
    const mt_tensor *input = call->inputs[index];
    if (input->device == call->device) {
        return MT_OK;
    }
    bool namesakes = strcmp(input->device->name, call->device->name) == 0;
    return mt_fail(MT_ERROR_INVALID, "%s: input %d is on %s, the tape on %s%s", op->name, index,
                   input->device->name, call->device->name,
                   namesakes ? ", opened another time" : "");
}

static mt_status check_type(const mt_op *op, const mt_call *call, int index)
{
    mt_dtype type = call->inputs[index]->dtype, wide = mt_dtype_wide(call->dtype);
    bool must_be_wide = is_among(op->wide, index), may_be_wide = is_among(op->factors, index);
    bool may_be_compact = is_among(op->compact, index);
    mt_dtype expected = must_be_wide ? wide : call->dtype;
    return type == MT_I32 || type == expected || (may_be_wide && type == wide) ||
                   (may_be_compact && (type == MT_BF16 || type == MT_I8))
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "%s: input %d is %s, expected %s", op->name, index,
                         mt_dtype_name(type), mt_dtype_name(expected));
}

/* Finds the call's real type, and refuses inputs that cannot be used together. */
static mt_status check_inputs(const mt_op *op, mt_call *call)
{
    for (int i = 0; i < op->inputs; i++) {
        if (call->inputs[i] == NULL) {
            return mt_fail(MT_ERROR_INVALID, "%s: input %d is NULL", op->name, i);
        }
    }
    /* One that cannot be of another type than the call's, where there is one. */
    const mt_tensor *typical = first_real(call, op->wide | op->factors);
    typical = typical != NULL ? typical : first_real(call, 0);
    if (typical == NULL) {
        return mt_fail(MT_ERROR_INVALID, "%s: no input of a real type", op->name);
    }
    mt_call_set_dtype(call, typical->dtype);
    mt_status status = MT_OK;
    for (int i = 0; i < call->input_count && status == MT_OK; i++) {
        if (call->inputs[i] != NULL) {
            status = check_device(op, call, i);
            status = status == MT_OK ? check_type(op, call, i) : status;
        }
    }
    return status;
}

static bool any_requires_grad(const mt_call *call)
{
    for (int i = 0; i < call->input_count; i++) {
        if (call->inputs[i] != NULL && call->inputs[i]->requires_grad) {
            return true;
        }
    }
    return false;
}

/* Room for one array of each output, where the operator wants these side by side. */
static mt_status gather_outputs(const mt_call *call)
{
    size_t bytes[MT_OP_OUTPUTS];
    for (int i = 0; i < call->output_count; i++) {
        bytes[i] = mt_tensor_bytes(call->outputs[i]);
    }
    return call->op->side_by_side ? mt_arena_gather(call->tape->values, call->output_count, bytes)
                                  : MT_OK;
}

static mt_status allocate_outputs(mt_call *call, bool requires_grad)
{
    mt_status status = gather_outputs(call);
    for (int i = 0; i < call->output_count && status == MT_OK; i++) {
        mt_tensor *output = call->outputs[i];
        output->requires_grad = requires_grad;
        status = mt_arena_allocate(call->tape->values, mt_tensor_bytes(output), &output->data);
    }
    return status;
}

/* Gradients that lie side by side have their memory before others ask for one of them. Of those
 * that backward reaches it is no more memory: a tape gives none back before its step is over. */
static mt_status reserve_grads(const mt_call *call)
{
    mt_status status = gather_outputs(call);
    for (int i = 0; i < call->output_count && status == MT_OK; i++) {
        mt_tensor *output = call->outputs[i];
        status = mt_arena_allocate(call->tape->values, mt_tensor_bytes(output), &output->grad);
    }
    return status;
}

static mt_status copy_options(mt_tape *tape, const void *options, size_t size, const void **copy)
{
    void *memory = NULL;
    if (size > 0) {
        mt_status status = mt_arena_allocate(&tape->records, size, &memory);
        if (status != MT_OK) {
            return status;
        }
        memcpy(memory, options, size);
    }
    *copy = memory;
    return MT_OK;
}

mt_status mt_tape_record(mt_tape *tape, const mt_op *op, const mt_call *call, bool adds_itself)
{
    mt_record *record;
    mt_status status = mt_arena_allocate(&tape->records, sizeof *record, (void **)&record);
    if (status == MT_OK) {
        *record = (mt_record){
            .previous = tape->last, .op = op, .adds_itself = adds_itself, .call = *call};
        tape->last = record;
    }
    return status;
}

/* Every output must have got a shape from the operator. */
static mt_status infer_shapes(const mt_op *op, mt_call *call)
{
    call->output_count = op->outputs;
    mt_status status = op->shape(call);
    if (status == MT_OK) {
        status = call->tape->status; /* mt_call_output may have failed */
    }
    for (int i = 0; i < call->output_count && status == MT_OK; i++) {
        if (call->outputs[i] == NULL) {
            status = mt_fail(MT_ERROR_INVALID, "%s: output %d has no shape", op->name, i);
        }
    }
    return status;
}

static mt_status apply(mt_tape *tape, const mt_op *op, mt_call *call, const void *options,
                       size_t options_size)
{
    mt_status status = check_inputs(op, call);
    if (status == MT_OK) {
        status = copy_options(tape, options, options_size, &call->options);
    }
    if (status == MT_OK) {
        status = infer_shapes(op, call);
    }
    if (status != MT_OK) {
        return status;
    }
    bool differentiable = tape->recording && op->backward != NULL && any_requires_grad(call);
    call->recording = differentiable && !tape->dry;
    status = allocate_outputs(call, differentiable);
    if (status == MT_OK && call->recording && op->side_by_side) {
        status = reserve_grads(call);
    }
    if (status != MT_OK) {
        return status;
    }
    mt_arena_mark mark = mt_arena_position(&tape->scratch);
    status = op->forward(call);
    mt_arena_release(&tape->scratch, mark);
    if (status == MT_OK) {
        mt_tape_show(tape, call, false);
    }
    if (status == MT_OK && call->recording) {
        status = mt_tape_record(tape, op, call, false);
    }
    return status;
}

mt_status mt_apply_many(mt_tape *tape, const mt_op *op, int input_count, mt_tensor *const *inputs,
                        const void *options, size_t options_size, mt_tensor **outputs)
{
    for (int i = 0; i < op->outputs; i++) {
        outputs[i] = NULL;
    }
    if (tape == NULL) {
        return mt_fail_null(op->name);
    }
    if (tape->status != MT_OK) {
        return tape->status;
    }
    if (input_count > MT_OP_INPUTS) {
        mt_tape_fail(tape, mt_fail(MT_ERROR_INVALID, "%s: %d inputs, at most %d", op->name,
                                   input_count, MT_OP_INPUTS));
        return tape->status;
    }
    mt_call call = {.op = op, .tape = tape, .device = tape->device, .input_count = input_count};
    memcpy(call.inputs, inputs, (size_t)input_count * sizeof *inputs);
    mt_status status = apply(tape, op, &call, options, options_size);
    if (status != MT_OK) {
        mt_tape_fail(tape, status);
        return status;
    }
    memcpy(outputs, call.outputs, (size_t)call.output_count * sizeof *outputs);
    return MT_OK;
}

mt_tensor *mt_apply(mt_tape *tape, const mt_op *op, int input_count, mt_tensor *const *inputs,
                    const void *options, size_t options_size)
{
    mt_tensor *outputs[MT_OP_OUTPUTS] = {NULL};
    mt_apply_many(tape, op, input_count, inputs, options, options_size, outputs);
    return outputs[0];
}

void mt_call_output(mt_call *call, int index, int rank, const int64_t *shape)
{
    mt_tape_fail(call->tape, mt_tape_new_tensor(call->tape, call->op->name, call->dtype, rank,
                                                shape, &call->outputs[index]));
}

void mt_call_output_wide(mt_call *call, int index, int rank, const int64_t *shape)
{
    mt_call_output(call, index, rank, shape);
    if (call->outputs[index] != NULL) {
        call->outputs[index]->dtype = mt_dtype_wide(call->dtype);
    }
}

void mt_call_set_dtype(mt_call *call, mt_dtype dtype)
{
    call->dtype = dtype;
    call->kernels = call->device->kernels[dtype];
    call->wide = call->device->kernels[mt_dtype_wide(dtype)];
}

mt_status mt_call_factor(mt_call *call, int index, const void **values)
{
    const mt_tensor *input = call->inputs[index];
    *values = input->dtype == call->dtype ? input->data : input->narrow;
    if (*values != NULL) {
        return MT_OK;
    }
    int64_t n = mt_tensor_count(input);
    void *made;
    mt_status status = mt_call_scratch(call, (size_t)n * mt_dtype_size(call->dtype), &made);
    *values = made;
    return status == MT_OK ? call->kernels->narrow(call->device, n, input->data, made) : status;
}

void mt_call_output_like(mt_call *call, int index, const mt_tensor *tensor)
{
    mt_call_output(call, index, tensor->rank, tensor->shape);
}

mt_status mt_call_save(mt_call *call, size_t bytes)
{
    return call->recording ? mt_arena_allocate(call->tape->values, bytes, &call->saved) : MT_OK;
}

mt_status mt_call_scratch(mt_call *call, size_t bytes, void **memory)
{
    return mt_arena_allocate(&call->tape->scratch, bytes, memory);
}

mt_status mt_call_stream(mt_call *call, void **stream)
{
    return call->device->stream(call->device, stream);
}
