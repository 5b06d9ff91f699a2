#include "train/trainer_internal.h"

#include <inttypes.h>
#include <string.h>

static mt_status fail_on_tape(const mt_trainer *trainer)
{
    return mt_fail(mt_tape_status(trainer->tape), "step %" PRId64 ": %s", trainer->adam->step + 1,
                   mt_tape_error(trainer->tape));
}

static mt_status put_batch(mt_trainer *trainer, int64_t index, mt_batch *batch)
{
    mt_tape *tape = trainer->tape;
    mt_tape_reset(tape);
    /* The other numbers of a seed are those of initial values. */
    mt_status status = mt_tape_set_random(tape, ~trainer->config.seed, (uint64_t)index);
    *batch = (mt_batch){NULL};
    if (status == MT_OK) {
        trainer->objective.put(trainer->objective.context, tape, index, batch);
        status = mt_tape_status(tape) == MT_OK ? MT_OK : fail_on_tape(trainer);
    }
    if (status == MT_OK && (batch->input == NULL || batch->input->rank < 2)) {
        status = mt_fail(MT_ERROR_INVALID, "batch %" PRId64 " has no input (B, T, ...)", index);
    }
    return status;
}

static void keep(const mt_tensor *tensor, mt_tensor *kept)
{
    *kept = tensor != NULL ? *tensor : (mt_tensor){.data = NULL};
}

static void keep_batch(const mt_batch *batch, batch_tensors *tensors)
{
    *tensors = (batch_tensors){.input = *batch->input};
    keep(batch->target, &tensors->target);
    for (int i = 0; i < MT_BATCH_OTHERS; i++) {
        keep(batch->others[i], &tensors->others[i]);
    }
}

/* Forward and backward. */
static mt_status differentiate(mt_trainer *trainer, const mt_batch *batch, batch_tensors *tensors)
{
    mt_tensor *counts = NULL;
    const mt_objective *objective = &trainer->objective;
    mt_tensor *loss = objective->loss(objective->context, trainer->tape, batch, &counts);
    if (mt_backward(trainer->tape, loss) != MT_OK) {
        return fail_on_tape(trainer);
    }
    if (counts != NULL && mt_tensor_count(counts) != 2) {
        char shape[96];
        return mt_fail(MT_ERROR_INVALID, "the counts of a loss have shape %s, not (2)",
                       mt_tensor_shape_text(counts, shape, sizeof shape));
    }
    keep_batch(batch, tensors);
    keep(loss, &tensors->loss);
    keep(counts, &tensors->counts);
    return MT_OK;
}

static mt_status update(mt_trainer *trainer)
{
    return mt_adam_update(trainer->adam, 1.0 / (double)trainer->config.accumulate);
}

static mt_status differentiate_and_update(mt_trainer *trainer, const mt_batch *batch,
                                          batch_tensors *tensors)
{
    mt_status status = differentiate(trainer, batch, tensors);
    return status == MT_OK ? update(trainer) : status;
}

/* ---- recorded updates ---- */

static bool same_place(const mt_tensor *kept, const mt_tensor *tensor)
{
    return tensor == NULL ? kept->data == NULL
                          : kept->data == tensor->data && kept->dtype == tensor->dtype &&
                                kept->rank == tensor->rank &&
                                memcmp(kept->shape, tensor->shape, sizeof kept->shape) == 0;
}

static bool same_places(const batch_tensors *kept, const mt_batch *batch)
{
    bool same = same_place(&kept->input, batch->input) && same_place(&kept->target, batch->target);
    for (int i = 0; i < MT_BATCH_OTHERS; i++) {
        same = same && same_place(&kept->others[i], batch->others[i]);
    }
    return same;
}

static recorded_update *find_recorded(mt_trainer *trainer, const mt_batch *batch)
{
    for (int i = 0; i < trainer->recorded_count; i++) {
        if (same_places(&trainer->recorded[i].tensors, batch)) {
            return &trainer->recorded[i];
        }
    }
    return NULL;
}

/* A place for what was not seen before; the oldest makes room. */
static recorded_update *new_recorded(mt_trainer *trainer)
{
    recorded_update *place = &trainer->recorded[trainer->next_recorded];
    trainer->device->forget(trainer->device, place->recording);
    *place = (recorded_update){.recording = NULL};
    trainer->next_recorded = (trainer->next_recorded + 1) % RECORDINGS;
    trainer->recorded_count += trainer->recorded_count < RECORDINGS;
    return place;
}

/* Records the update of a batch, without doing it. */
static mt_status record_update(mt_trainer *trainer, const mt_batch *batch, recorded_update *place)
{
    mt_device *device = trainer->device;
    mt_status status = device->record(device);
    if (status != MT_OK) {
        return status;
    }
    status = differentiate_and_update(trainer, batch, &place->tensors);
    if (status == MT_OK) {
        return device->recorded(device, &place->recording);
    }
    device->recorded(device, NULL);
    return status;
}

/* The whole update of a batch whose shapes may repeat: done, the first time; recorded the second,
 * when nothing has to be allocated any more; and from then on replayed. */
static mt_status run_recorded(mt_trainer *trainer, const mt_batch *batch, batch_tensors *tensors)
{
    recorded_update *known = find_recorded(trainer, batch);
    mt_status status = MT_OK;
    if (known == NULL) {
        known = new_recorded(trainer);
        status = differentiate_and_update(trainer, batch, &known->tensors);
    } else {
        if (known->recording == NULL) {
            status = record_update(trainer, batch, known);
        }
        if (status == MT_OK) {
            status = trainer->device->replay(trainer->device, known->recording);
        }
    }
    *tensors = known->tensors;
    return status;
}

/* An update of several batches is not recorded: its first batch does other work than the rest. */
static bool records(const mt_trainer *trainer)
{
    return trainer->config.record && trainer->config.accumulate == 1 &&
           trainer->device->record != NULL;
}

/* ---- an update ---- */

static mt_status enqueue_batch(mt_trainer *trainer, int64_t index, bool last, double lr)
{
    mt_batch batch;
    batch_tensors tensors;
    mt_status status = put_batch(trainer, index, &batch);
    if (status == MT_OK) {
        status = records(trainer) ? run_recorded(trainer, &batch, &tensors)
                 : last           ? differentiate_and_update(trainer, &batch, &tensors)
                                  : differentiate(trainer, &batch, &tensors);
    }
    return status == MT_OK ? trainer_read_later(trainer, &tensors, last, lr) : status;
}

mt_status trainer_enqueue(mt_trainer *trainer)
{
    int64_t accumulate = trainer->config.accumulate;
    double lr = mt_schedule_lr(&trainer->config.schedule, trainer->adam->step + 1);
    mt_parameters_zero_grad(trainer->parameters);
    mt_status status = mt_adam_set_lr(trainer->adam, lr);
    for (int64_t i = 0; i < accumulate && status == MT_OK; i++) {
        if (trainer->count == BATCHES) { /* of this update, which has more than the ring holds */
            status = trainer_collect_batch(trainer, NULL);
        }
        if (status == MT_OK) {
            status = enqueue_batch(trainer, trainer->adam->step * accumulate + i,
                                   i == accumulate - 1, lr);
        }
    }
    if (status == MT_OK) {
        trainer->adam->step++;
        trainer->updates++;
    }
    return status;
}
