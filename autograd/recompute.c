/* Recomputation. A span's first run is dry: its values live in an arena of their own and are
 * dropped, all but the outputs. One record stands for the span; its backward runs the span again,
 * this time recording, goes backward through what was recorded, and drops everything once more. */
#include "autograd/tape_internal.h"

#include <string.h>

typedef struct span_options {
    mt_span span;
    void *context;
    uint64_t random_count; /* where the span's random numbers begin */
} span_options;

/* The part of the tape that a span changes while it runs. */
typedef struct span_frame {
    mt_arena_mark values, records;
    mt_record *last;
    uint64_t random_count;
} span_frame;

static span_frame enter_span(mt_tape *tape)
{
    span_frame frame = {mt_arena_position(&tape->span_values), mt_arena_position(&tape->records),
                        tape->last, tape->random_count};
    tape->values = &tape->span_values;
    tape->in_span = true;
    tape->last = NULL;
    return frame;
}

static void leave_span(mt_tape *tape, const span_frame *frame)
{
    tape->values = &tape->step_values;
    tape->in_span = false;
    tape->last = frame->last;
    mt_arena_release(&tape->span_values, frame->values);
}

/* The inputs as the start of a graph of their own. They are views, so what the span's operators
 * send back is added to the inputs' gradients in the order in which the plain graph would add
 * it. */
static mt_status make_leaves(mt_call *call, mt_tensor **leaves)
{
    for (int i = 0; i < call->input_count; i++) {
        mt_tensor *input = call->inputs[i];
        leaves[i] = NULL;
        if (input == NULL) {
            continue;
        }
        mt_status status = mt_tape_new_tensor(call->tape, input->name, input->dtype, input->rank,
                                              input->shape, &leaves[i]);
        if (status == MT_OK && input->requires_grad) {
            status = mt_tape_reserve_grad(call->tape, input);
        }
        if (status != MT_OK) {
            return status;
        }
        leaves[i]->data = input->data;
        leaves[i]->requires_grad = input->requires_grad;
        leaves[i]->base = mt_tensor_owner(input);
    }
    return MT_OK;
}

static mt_status seed_output_grads(mt_call *call, mt_tensor **outputs)
{
    for (int i = 0; i < call->output_count; i++) {
        if (call->grad_outputs[i] != NULL && outputs[i]->requires_grad) {
            mt_status status = mt_tape_add_grad(call->tape, outputs[i], call->grad_outputs[i]);
            if (status != MT_OK) {
                return status;
            }
        }
    }
    return MT_OK;
}

static mt_status span_backward(mt_call *call)
{
    const span_options *options = call->options;
    mt_tape *tape = call->tape;
    mt_tensor *leaves[MT_SPAN_MAX], *outputs[MT_SPAN_MAX] = {NULL};
    span_frame frame = enter_span(tape);
    mt_status status = make_leaves(call, leaves);
    if (status == MT_OK) {
        bool recording = mt_tape_set_recording(tape, true);
        tape->random_count = options->random_count;
        options->span(tape, options->context, leaves, outputs);
        tape->random_count = frame.random_count;
        mt_tape_set_recording(tape, recording);
        status = tape->status;
    }
    if (status == MT_OK) {
        status = seed_output_grads(call, outputs);
    }
    if (status == MT_OK) {
        status = mt_tape_propagate(tape);
    }
    leave_span(tape, &frame);
    mt_arena_release(&tape->records, frame.records);
    return status;
}

static const mt_op span_op = {
    .name = "recompute", .formula = "y = span(x)", .backward = span_backward};

/* Moves the outputs out of the span's arena. */
static mt_status keep_outputs(mt_tape *tape, mt_call *call, mt_tensor *const *outputs)
{
    for (int i = 0; i < call->output_count; i++) {
        mt_tensor *kept;
        const mt_tensor *output = outputs[i];
        if (output == NULL) {
            return mt_fail(MT_ERROR_INVALID, "recompute: the span left output %d NULL", i);
        }
        mt_status status = mt_tape_new_tensor(tape, output->name, output->dtype, output->rank,
                                              output->shape, &kept);
        if (status == MT_OK) {
            status = mt_arena_allocate(&tape->step_values, mt_tensor_bytes(output), &kept->data);
        }
        if (status == MT_OK) {
            status =
                tape->device->copy(tape->device, kept->data, output->data, mt_tensor_bytes(output));
        }
        if (status != MT_OK) {
            return status;
        }
        kept->requires_grad = output->requires_grad;
        call->outputs[i] = kept;
        call->recording = call->recording || output->requires_grad;
    }
    return MT_OK;
}

static mt_status run_dry(mt_tape *tape, mt_call *call, const span_options *options)
{
    mt_tensor *outputs[MT_SPAN_MAX] = {NULL};
    span_frame frame = enter_span(tape);
    tape->dry = true;
    options->span(tape, options->context, call->inputs, outputs);
    tape->dry = false;
    mt_status status = tape->status;
    if (status == MT_OK) {
        status = keep_outputs(tape, call, outputs);
    }
    leave_span(tape, &frame);
    return status;
}

static mt_status record_span(mt_tape *tape, mt_call *call, const span_options *options)
{
    void *copy;
    mt_status status = mt_arena_allocate(&tape->records, sizeof *options, &copy);
    if (status != MT_OK) {
        return status;
    }
    memcpy(copy, options, sizeof *options);
    call->options = copy;
    status = run_dry(tape, call, copy);
    if (status == MT_OK && call->recording) {
        status = mt_tape_record(tape, &span_op, call, true);
    }
    return status;
}

void mt_recompute(mt_tape *tape, mt_span span, void *context, int input_count,
                  mt_tensor *const *inputs, int output_count, mt_tensor **outputs)
{
    if (input_count > MT_SPAN_MAX || output_count > MT_SPAN_MAX) {
        mt_tape_fail(tape,
                     mt_fail(MT_ERROR_INVALID, "recompute: %d inputs and %d outputs, at most %d",
                             input_count, output_count, MT_SPAN_MAX));
        return;
    }
    mt_call call = {.op = &span_op,
                    .tape = tape,
                    .device = mt_tape_device(tape),
                    .input_count = input_count,
                    .output_count = output_count};
    memcpy(call.inputs, inputs, (size_t)input_count * sizeof *inputs);
    for (int i = 0; i < output_count; i++) {
        outputs[i] = NULL; /* which may be the array `inputs` */
    }
    if (mt_tape_status(tape) != MT_OK) {
        return;
    }
    if (tape->in_span) {
        span(tape, context, call.inputs, outputs);
        return;
    }
    span_options options = {span, context, tape->random_count};
    mt_status status = record_span(tape, &call, &options);
    if (status != MT_OK) {
        mt_tape_fail(tape, status);
        return;
    }
    memcpy(outputs, call.outputs, (size_t)output_count * sizeof *outputs);
}
