/* Backward: from the last record to the first. Operators write the gradients of their inputs whole,
 * but mt_embedding, which adds rows; where a tensor has several uses, the sum is made here. */
#include "autograd/operators/table.h"
#include "autograd/tape_internal.h"
#include "kernels/null.h"

static mt_status reserve_grad(mt_arena *arena, mt_tensor *owner)
{
    return owner->grad != NULL ? MT_OK
                               : mt_arena_allocate(arena, mt_tensor_bytes(owner), &owner->grad);
}

mt_status mt_tape_reserve_grad(mt_tape *tape, mt_tensor *x)
{
    return reserve_grad(&tape->step_values, mt_tensor_owner(x));
}

/* Of a table's gradient that is written by other ways than by rows, no row counts as zero. That is
 * told to the device, where a recorded update tells it again. */
static mt_status forget_zero_rows(mt_tensor *owner)
{
    return owner->zero_rows != NULL
               ? owner->device->zero(owner->device, owner->zero_rows, (size_t)owner->shape[0])
               : MT_OK;
}

/* A place for one more contribution to the gradient of x: the gradient itself for the first,
 * scratch that `settle` adds to it for those that follow. */
static mt_status place_for_grad(mt_tape *tape, mt_tensor *x, void **place)
{
    mt_tensor *owner = mt_tensor_owner(x);
    if (owner->has_grad) {
        return mt_arena_allocate(&tape->scratch, mt_tensor_bytes(owner), place);
    }
    mt_status status = reserve_grad(tape->values, owner);
    if (status == MT_OK) {
        status = forget_zero_rows(owner);
    }
    if (status != MT_OK) {
        return status;
    }
    owner->has_grad = true;
    *place = owner->grad;
    return mt_poison(owner->device, *place, mt_tensor_bytes(owner));
}

/* The same for mt_embedding, which adds rows: the gradient itself for all of its uses. */
static mt_status place_for_rows(mt_tape *tape, mt_call *call, int input)
{
    mt_tensor *x = call->inputs[input], *owner = mt_tensor_owner(x);
    bool keeps_zero_rows = x->zero_rows != NULL;
    call->grad_adds[input] = owner->has_grad;
    call->grad_inputs[input] = owner->grad;
    if (!owner->has_grad && !keeps_zero_rows) {
        return place_for_grad(tape, x, &call->grad_inputs[input]);
    }
    owner->has_grad = true;
    return keeps_zero_rows ? MT_OK : forget_zero_rows(owner);
}

/* Tells if the gradient of an input is added to what is there, or comes from an input before it. */
static bool adds_to_others(const mt_call *call, int input)
{
    const mt_tensor *owner = mt_tensor_owner(call->inputs[input]);
    for (int before = 0; before < input; before++) {
        mt_tensor *other = call->inputs[before];
        if (other != NULL && mt_tensor_owner(other) == owner) {
            return true;
        }
    }
    return owner->has_grad;
}

/* Room for the contributions that lie side by side. */
static mt_status gather_places(mt_tape *tape, const mt_call *call)
{
    size_t bytes[MT_OP_INPUTS];
    int count = 0;
    for (int i = 0; i < call->input_count && call->op->side_by_side; i++) {
        const mt_tensor *input = call->inputs[i];
        if (input != NULL && input->requires_grad && adds_to_others(call, i)) {
            bytes[count++] = mt_tensor_bytes(input);
        }
    }
    return mt_arena_gather(&tape->scratch, count, bytes);
}

static mt_status settle(mt_tensor *x, const void *place)
{
    mt_tensor *owner = mt_tensor_owner(x);
    if (place == owner->grad) {
        return MT_OK;
    }
    mt_status status = forget_zero_rows(owner);
    return status != MT_OK
               ? status
               : owner->device->kernels[owner->dtype]->add(owner->device, mt_tensor_count(owner),
                                                           owner->grad, place, owner->grad);
}

mt_status mt_tape_add_grad(mt_tape *tape, mt_tensor *x, const void *grad)
{
    mt_tensor *owner = mt_tensor_owner(x);
    if (owner->has_grad) {
        return settle(owner, grad);
    }
    void *place;
    mt_status status = place_for_grad(tape, owner, &place);
    return status != MT_OK
               ? status
               : owner->device->copy(owner->device, place, grad, mt_tensor_bytes(owner));
}

/* Tells if any gradient has reached the outputs: an operator whose results were not used has
 * none. */
static bool gather_output_grads(mt_call *call)
{
    bool any = false;
    for (int i = 0; i < call->output_count; i++) {
        call->grad_outputs[i] = mt_tensor_grad(call->outputs[i]);
        any = any || call->grad_outputs[i] != NULL;
    }
    return any;
}

static mt_status backward_of(mt_tape *tape, mt_record *record)
{
    mt_call *call = &record->call;
    if (!gather_output_grads(call)) {
        return MT_OK;
    }
    if (record->adds_itself) {
        return record->op->backward(call);
    }
    mt_arena_mark mark = mt_arena_position(&tape->scratch);
    mt_status status = gather_places(tape, call);
    for (int i = 0; i < call->input_count && status == MT_OK; i++) {
        if (call->inputs[i] != NULL && call->inputs[i]->requires_grad) {
            status = record->op == &mt_op_embedding
                         ? place_for_rows(tape, call, i)
                         : place_for_grad(tape, call->inputs[i], &call->grad_inputs[i]);
        }
    }
    if (status == MT_OK) {
        status = record->op->backward(call);
    }
    for (int i = 0; i < call->input_count && status == MT_OK; i++) {
        if (call->grad_inputs[i] != NULL) {
            status = settle(call->inputs[i], call->grad_inputs[i]);
        }
    }
    mt_arena_release(&tape->scratch, mark);
    if (status == MT_OK) {
        mt_tape_show(tape, call, true);
    }
    return status;
}

mt_status mt_tape_propagate(mt_tape *tape)
{
    mt_status status = MT_OK;
    for (mt_record *record = tape->last; record != NULL && status == MT_OK;
         record = record->previous) {
        status = backward_of(tape, record);
    }
    return status;
}

static mt_status check_loss(const mt_tape *tape, const mt_tensor *loss)
{
    if (tape->status != MT_OK) { /* which may not be the thread's latest failure */
        return mt_fail(tape->status, "%s", mt_tape_error(tape));
    }
    if (loss == NULL) {
        return mt_fail(MT_ERROR_INVALID, "backward: loss is NULL");
    }
    if (mt_tensor_count(loss) != 1) {
        char shape[96];
        return mt_fail(MT_ERROR_INVALID, "backward: loss has shape %s, not one element",
                       mt_tensor_shape_text(loss, shape, sizeof shape));
    }
    if (!loss->requires_grad) {
        return mt_fail(MT_ERROR_INVALID,
                       tape->recording ? "backward: loss depends on nothing that has a gradient"
                                       : "backward: the tape records nothing");
    }
    if (tape->backward_done) {
        return mt_fail(MT_ERROR_INVALID, "backward: already done in this step (reset the tape)");
    }
    return MT_OK;
}

mt_status mt_backward(mt_tape *tape, mt_tensor *loss)
{
    if (tape == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check_loss(tape, loss);
    if (status == MT_OK) {
        void *one;
        tape->backward_done = true;
        status = place_for_grad(tape, loss, &one);
        if (status == MT_OK) {
            status = tape->device->kernels[loss->dtype]->fill(tape->device, 1, 1.0, one);
        }
    }
    if (status == MT_OK) {
        status = mt_tape_propagate(tape);
    }
    mt_tape_fail(tape, status);
    return status;
}
