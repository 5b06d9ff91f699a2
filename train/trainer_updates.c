#include "autograd/observe.h"
#include "layers/layer.h"
#include "train/objective.h"
#include "train/trainer_internal.h"

#include <mixtape/operators.h>

#include <inttypes.h>
#include <string.h>

/* Says which update an error is of. */
static mt_status of_update(const mt_trainer *trainer, mt_status status)
{
    return status == MT_OK ? MT_OK
                           : mt_fail(status, "step %" PRId64 ": %s", trainer_begun(trainer) + 1,
                                     mt_error_message());
}

/* Dropout counts with the numbers of a seed that initial values leave. */
mt_status trainer_put_batch(mt_trainer *trainer, int64_t index, bool whole, mt_batch *batch)
{
    bool shares = trainer_shares(trainer) && !whole;
    mt_tape_set_rank(trainer->tape,
                     shares ? mt_communicator_rank(trainer->config.communicator) : 0);
    mt_status status = mt_tape_set_random(trainer->tape, ~trainer->config.seed, (uint64_t)index);
    if (status == MT_OK) {
        status = objective_put(&trainer->objective, trainer->tape, index, batch);
    }
    return status == MT_OK && shares ? trainer_take_share(trainer, batch) : status;
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
    mt_tensor *loss, *counts;
    mt_status status = objective_loss(&trainer->objective, trainer->tape, batch, &loss, &counts);
    if (status == MT_OK) {
        status = mt_backward(trainer->tape, loss);
    }
    if (status == MT_OK) {
        status = mt_adam_watch(trainer->adam, loss);
    }
    if (status == MT_OK) {
        keep_batch(batch, tensors);
        keep(loss, &tensors->loss);
        keep(counts, &tensors->counts);
    }
    return status;
}

static mt_status apply(mt_trainer *trainer)
{
    mt_status status = mt_adam_update(trainer->adam, 1.0 / (double)trainer->config.accumulate);
    return status == MT_OK && trainer_splits(trainer) ? trainer_spread_parts(trainer) : status;
}

static mt_status differentiate_and_update(mt_trainer *trainer, const mt_batch *batch,
                                          batch_tensors *tensors)
{
    mt_status status = differentiate(trainer, batch, tensors);
    return status == MT_OK ? apply(trainer) : status;
}

/* ---- updates of several ranks ---- */

/* Backward of what this rank's share of a batch is to its mean loss, which all show. */
static mt_status differentiate_share(mt_trainer *trainer, const mt_batch *batch,
                                     const batch_vote *whole, mt_tensor *loss, mt_tensor *counts,
                                     batch_tensors *tensors)
{
    mt_tape *tape = trainer->tape;
    mt_dtype dtype = loss->dtype;
    const double doubles[] = {whole->loss, whole->counted, whole->hits};
    const float floats[] = {(float)whole->loss, (float)whole->counted, (float)whole->hits};
    const bool wide = dtype == MT_F64;
    const int64_t two[] = {2};
    mt_tensor *shown =
        mt_tape_input(tape, dtype, 0, two, wide ? (const void *)doubles : floats, false);
    mt_tensor *shown_counts =
        counts == NULL ? NULL
                       : mt_tape_input(tape, dtype, 1, two,
                                       wide ? (const void *)(doubles + 1) : floats + 1, false);
    mt_status status = mt_backward(tape, mt_scale(tape, loss, whole->share));
    if (status == MT_OK) {
        status = mt_adam_watch(trainer->adam, shown);
    }
    if (status == MT_OK) {
        keep_batch(batch, tensors);
        keep(shown, &tensors->loss);
        keep(shown_counts, &tensors->counts);
        tensors->input.shape[0] *= mt_communicator_size(trainer->config.communicator);
    }
    return status;
}

/* The same for a share of a batch, which may have failed with `status`; where it is the last of an
 * update, with the sum of all gradients. */
static mt_status run_shared(mt_trainer *trainer, mt_status status, const mt_batch *batch, bool last,
                            batch_tensors *tensors)
{
    mt_tape *tape = trainer->tape;
    mt_tensor *loss = NULL, *counts = NULL;
    batch_vote whole;
    if (status == MT_OK) {
        grad_pieces_count(trainer->pieces, tape);
        status = objective_loss(&trainer->objective, tape, batch, &loss, &counts);
        mt_tape_observe(tape, NULL, NULL);
    }
    status = trainer_vote(trainer, status, batch, loss, counts, &whole);
    if (status != MT_OK || loss == NULL) {
        return status;
    }
    if (last) {
        grad_pieces_begin(trainer->pieces, tape);
    }
    status = differentiate_share(trainer, batch, &whole, loss, counts, tensors);
    if (last) {
        status = grad_pieces_end(trainer->pieces, tape, status);
    }
    status = trainer_agree(trainer, status);
    return status == MT_OK && last ? apply(trainer) : status;
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
    mt_status status = trainer_put_batch(trainer, index, false, &batch);
    trainer->lacks_batch = status != MT_OK && status != MT_ERROR_DEVICE;
    if (trainer_shares(trainer)) {
        status = run_shared(trainer, status, &batch, last, &tensors);
    } else if (status == MT_OK) {
        status = records(trainer) ? run_recorded(trainer, &batch, &tensors)
                 : last           ? differentiate_and_update(trainer, &batch, &tensors)
                                  : differentiate(trainer, &batch, &tensors);
    }
    return status == MT_OK ? trainer_read_later(trainer, &tensors, last, lr)
                           : of_update(trainer, status);
}

/* Forgets the batches of an update that lacks another: but for their gradients, which the next
 * update does not take, they changed nothing. `count` is that of the ring before them. */
static void take_back(mt_trainer *trainer, int64_t count)
{
    trainer->count = count;
    if (trainer->updates == 0) { /* else there was room, and none of them was collected */
        trainer->sums = (batch_sums){0};
    }
}

mt_status trainer_enqueue(mt_trainer *trainer)
{
    int64_t accumulate = trainer->config.accumulate, begun = trainer_begun(trainer);
    int64_t count = trainer->count;
    trainer->lacks_batch = false;
    double lr = mt_schedule_lr(&trainer->config.schedule, begun + 1);
    mt_parameters_renew_grad(trainer->parameters);
    mt_status status = mt_adam_set_lr(trainer->adam, lr);
    for (int64_t i = 0; i < accumulate && status == MT_OK; i++) {
        if (trainer->count == BATCHES) { /* of this update, which has more than the ring holds */
            status = trainer_collect_batch(trainer, NULL);
        }
        if (status == MT_OK) {
            status = enqueue_batch(trainer, begun * accumulate + i, i == accumulate - 1, lr);
        }
    }
    if (status == MT_OK) {
        trainer->adam->step++;
        trainer->updates++;
    } else if (trainer->lacks_batch) {
        take_back(trainer, count);
    }
    return status;
}
