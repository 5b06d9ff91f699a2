/* Updates whose loss or gradients are not finite. The device makes neither them nor what was put on
 * it behind them (mt_adam.halts), so the parameters are those that the update found, and it is
 * repeated here, by itself, to see where it goes wrong: by each of several ranks for itself, with
 * whole batches, so that all find the same. */
#include "train/inspect.h"
#include "train/trainer_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { TEXT = 1152 }; /* bytes of a part of a message, with a path */

/* Forgets what is on the device, none of which changes anything. */
static mt_status take_back(mt_trainer *trainer)
{
    trainer->adam->step -= trainer->updates;
    trainer->updates = trainer->count = 0;
    trainer->sums = (batch_sums){0};
    return trainer->device->synchronize(trainer->device);
}

/* Repeats the batches of an update up to the one that goes wrong, which stays on the tape. */
static mt_status repeat(mt_trainer *trainer, int64_t update, inspection *inspected, mt_batch *batch,
                        int64_t *index)
{
    int64_t accumulate = trainer->config.accumulate;
    mt_status status = MT_OK;
    mt_parameters_zero_grad(trainer->parameters);
    for (int64_t i = 0; i < accumulate && !inspected->found && status == MT_OK; i++) {
        double loss;
        *index = (update - 1) * accumulate + i;
        status = trainer_put_batch(trainer, *index, true, batch);
        if (status == MT_OK) {
            status = inspect_step(inspected, trainer->tape, &trainer->objective, batch, &loss);
        }
    }
    return status == MT_OK ? mt_parameters_settle_grad(trainer->parameters) : status;
}

/* The symptom: the loss, or the gradients. */
static mt_status name_symptom(mt_trainer *trainer, const mt_update *update, char text[TEXT])
{
    double norm;
    if (!isfinite(update->loss)) {
        snprintf(text, TEXT, "the loss is %g", isnan(update->loss) ? (double)NAN : update->loss);
        return MT_OK;
    }
    mt_status status =
        mt_adam_read_norm(trainer->adam, 1.0 / (double)trainer->config.accumulate, &norm);
    snprintf(text, TEXT, "%s", mt_error_message());
    return status == MT_ERROR_NUMERIC ? MT_OK : status;
}

/* Keeps the batch, if the program wants that, and says where. */
static void keep(const mt_trainer *trainer, const mt_batch *batch, int64_t index, char text[TEXT])
{
    bool keeps = mt_communicator_rank(trainer->config.communicator) == 0;
    if (trainer->config.replay_file == NULL || !keeps) {
        text[0] = '\0';
    } else if (trainer_keep_batch(trainer, batch, index) == MT_OK) {
        snprintf(text, TEXT, "; kept for mixtape replay in %s", trainer->config.replay_file);
    } else {
        snprintf(text, TEXT, "; not kept: %s", mt_error_message());
    }
}

/* Puts into trainer->bad_step what is wrong and where, and keeps the batch. `skippable`: without
 * the update all is well. */
static mt_status explain(mt_trainer *trainer, const mt_update *update, bool *skippable)
{
    inspection inspected = {.parameters = trainer->parameters};
    mt_batch batch;
    int64_t index = 0;
    char symptom[TEXT], kept[TEXT] = "";
    mt_status status = inspect_parameters(&inspected);
    bool repeated = false;
    *skippable = !inspected.found;
    if (status == MT_OK && *skippable) {
        status = repeat(trainer, update->step, &inspected, &batch, &index);
        repeated = status == MT_OK;
        if (status == MT_ERROR_MEMORY && trainer_shares(trainer)) {
            status = MT_OK; /* one process may have no room for what several share */
        }
    }
    if (status == MT_OK) {
        status = name_symptom(trainer, update, symptom);
    }
    if (status != MT_OK) {
        return status;
    }
    if (*skippable && repeated) {
        keep(trainer, &batch, index, kept);
    }
    snprintf(trainer->bad_step, sizeof trainer->bad_step, "step %" PRId64 ": %s; %s%s",
             update->step, symptom,
             inspected.found ? inspected.text
             : repeated      ? "repeated, every tensor is finite"
                             : "there is no memory to repeat it",
             kept);
    return MT_OK;
}

static mt_status skip_or_fail(mt_trainer *trainer, mt_update *update)
{
    const mt_trainer_config *config = &trainer->config;
    bool skippable = false;
    mt_status status = take_back(trainer);
    if (status == MT_OK) {
        status = explain(trainer, update, &skippable);
    }
    if (status == MT_OK) {
        status = mt_adam_go_on(trainer->adam);
    }
    if (status != MT_OK) {
        return status;
    }
    trainer->undone = skippable;
    if (config->on_bad_step != MT_BAD_STEP_SKIP || !skippable) {
        return mt_fail(MT_ERROR_NUMERIC, "%s", trainer->bad_step);
    }
    if (trainer->state.skipped >= config->bad_steps) {
        return mt_fail(MT_ERROR_NUMERIC, "%s; %" PRId64 " step%s skipped before, as many as may",
                       trainer->bad_step, trainer->state.skipped,
                       trainer->state.skipped == 1 ? " was" : "s were");
    }
    trainer->undone = false;
    trainer->state.skipped++;
    update->skipped = trainer->bad_step;
    return MT_OK;
}

mt_status trainer_bad_update(mt_trainer *trainer, mt_update *update)
{
    return trainer_agree(trainer, skip_or_fail(trainer, update));
}
