#include "train/trainer_internal.h"

#include <math.h>

static int slot_of(int64_t at, int which)
{
    return (int)at * SLOTS + which;
}

mt_status trainer_read_later(mt_trainer *trainer, const batch_results *results, bool ends_update,
                             double lr)
{
    mt_device *device = trainer->device;
    int64_t at = (trainer->first + trainer->count++) % BATCHES;
    bool counted = results->counts.data != NULL;
    trainer->batches[at] = (pending_batch){.update = trainer_begun(trainer) + 1,
                                           .ends_update = ends_update,
                                           .counted = counted,
                                           .dtype = results->loss.dtype,
                                           .symbols = results->symbols,
                                           .lr = lr};
    mt_status status = device->read_later(device, slot_of(at, LOSS_SLOT), results->loss.data,
                                          mt_tensor_bytes(&results->loss));
    if (status == MT_OK && counted) {
        status = device->read_later(device, slot_of(at, COUNTS_SLOT), results->counts.data,
                                    mt_tensor_bytes(&results->counts));
    }
    if (status == MT_OK && ends_update) {
        status = device->read_later(device, slot_of(at, NORM_SLOT), trainer->adam->norm_squared,
                                    sizeof *trainer->adam->norm_squared);
    }
    return status;
}

/* The reals of a slot, as doubles. */
static mt_status slot_doubles(const mt_trainer *trainer, mt_dtype dtype, int slot, int count,
                              double *values)
{
    mt_device *device = trainer->device;
    float narrow[2];
    if (dtype == MT_F64) {
        return device->read_arrived(device, slot, values, (size_t)count * sizeof *values);
    }
    mt_status status = device->read_arrived(device, slot, narrow, (size_t)count * sizeof *narrow);
    for (int i = 0; i < count && status == MT_OK; i++) {
        values[i] = (double)narrow[i];
    }
    return status;
}

/* The norm is not a number where the update was not made. */
static mt_status read_norm(const mt_trainer *trainer, int slot, double *norm)
{
    double squares, scale = 1.0 / (double)trainer->config.accumulate;
    mt_status status =
        trainer->device->read_arrived(trainer->device, slot, &squares, sizeof squares);
    if (status == MT_OK) {
        *norm = scale * sqrt(squares);
    }
    return status;
}

mt_status trainer_collect_batch(mt_trainer *trainer, double *grad_norm)
{
    int64_t at = trainer->first;
    const pending_batch *batch = &trainer->batches[at];
    double loss = 0.0, counts[2] = {NAN, NAN};
    mt_status status = slot_doubles(trainer, batch->dtype, slot_of(at, LOSS_SLOT), 1, &loss);
    if (status == MT_OK && batch->counted) {
        status = slot_doubles(trainer, batch->dtype, slot_of(at, COUNTS_SLOT), 2, counts);
    }
    if (status == MT_OK && batch->ends_update) {
        status = read_norm(trainer, slot_of(at, NORM_SLOT), grad_norm);
    }
    trainer->sums.loss += loss;
    trainer->sums.counted += counts[0];
    trainer->sums.hits += counts[1];
    trainer->sums.symbols += batch->symbols;
    trainer->sums.batches++;
    trainer->first = (at + 1) % BATCHES;
    trainer->count--;
    return status;
}

mt_status trainer_collect(mt_trainer *trainer, mt_update *update)
{
    bool ended = false;
    mt_status status = MT_OK;
    *update = (mt_update){0};
    while (!ended && status == MT_OK) {
        const pending_batch *batch = &trainer->batches[trainer->first];
        ended = batch->ends_update;
        update->step = batch->update;
        update->lr = batch->lr;
        status = trainer_collect_batch(trainer, &update->grad_norm);
    }
    const batch_sums *sums = &trainer->sums;
    update->loss = sums->loss / (double)sums->batches;
    update->accuracy = sums->hits / sums->counted;
    update->symbols = sums->symbols;
    if (status == MT_OK && !isfinite(update->grad_norm)) {
        return trainer_bad_update(trainer, update);
    }
    trainer->sums = (batch_sums){0};
    trainer->updates--;
    return status;
}
