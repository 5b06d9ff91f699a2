/* Updates whose loss or gradients are not finite. The device makes neither them nor what was put on
 * it behind them (mt_adam.halts), so the parameters are those that the update found, and it is
 * repeated here, by itself, to see where it goes wrong: by each of several ranks for itself, with
 * whole batches, so that all find the same. */
#include "train/inspect.h"
#include "train/trainer_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 1152 }; /* bytes of a part of a message, with a path */

/* Forgets what is on the device, none of which changes anything. */
static mt_status take_back(mt_trainer *trainer)
{
    trainer->adam->step -= trainer->updates;
    trainer->updates = trainer->count = 0;
    trainer->sums = (batch_sums){0};
    return trainer->device->synchronize(trainer->device);
}

/* Rows of all ranks on their way through the batches of an update that is repeated, and the empty
 * one, on the host: NULL where nothing is carried. */
typedef struct repeated_rows {
    char *host;
    size_t bytes; /* of the rows without the empty one */
} repeated_rows;

static mt_status begin_rows(const mt_trainer *trainer, repeated_rows *rows)
{
    const mt_carried *carried = &trainer->objective.carried;
    const mt_tensor *kept = &trainer->carried.kept;
    *rows = (repeated_rows){.host = NULL};
    if (!trainer_carries(trainer)) {
        return MT_OK;
    }
    size_t bytes = (size_t)carried->width * mt_dtype_size(carried->dtype);
    rows->bytes = (size_t)carried->rows * bytes;
    rows->host = malloc(rows->bytes + bytes);
    if (rows->host == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for the %zu bytes that are carried",
                       rows->bytes + bytes);
    }
    memcpy(rows->host, trainer->carried.whole, rows->bytes);
    return trainer->device->read_back(
        trainer->device, rows->host + rows->bytes,
        (const char *)kept->data + (size_t)trainer->carried.rows * bytes, bytes);
}

/* The table that a batch begins with, on the tape. */
static mt_status put_rows(const mt_trainer *trainer, const repeated_rows *rows, mt_tensor **table)
{
    const mt_carried *carried = &trainer->objective.carried;
    const int64_t shape[] = {carried->rows + 1, carried->width};
    *table = NULL;
    if (rows->host == NULL) {
        return MT_OK;
    }
    *table = mt_tape_input(trainer->tape, carried->dtype, 2, shape, rows->host, false);
    return *table != NULL
               ? MT_OK
               : mt_fail(mt_tape_status(trainer->tape), "%s", mt_tape_error(trainer->tape));
}

/* A step that is repeated. */
typedef struct repetition {
    inspection inspected;
    int64_t number;   /* of the batch that stays on the tape, */
    mt_tensor *table; /* with what it began with, */
    bool lost;        /* and carries on what is not finite */
} repetition;

static mt_status repeat_batch(mt_trainer *trainer, repetition *repeated, repeated_rows *rows)
{
    mt_tensor *carried_on = NULL;
    double loss, squares = 0.0;
    mt_status status = trainer_put_batch(trainer, repeated->number, true);
    if (status == MT_OK) {
        status = put_rows(trainer, rows, &repeated->table);
    }
    if (status == MT_OK) {
        status = inspect_step(&repeated->inspected, trainer->tape, &trainer->at_hand,
                              repeated->table, &loss, &carried_on);
    }
    if (status == MT_OK && carried_on != NULL) {
        status = mt_tensor_read(carried_on, rows->host);
    }
    if (status == MT_OK && carried_on != NULL) {
        status = trainer_carried_sum(trainer, carried_on);
    }
    if (status == MT_OK && carried_on != NULL) {
        status = trainer->device->read_back(trainer->device, &squares, trainer->carried.squares,
                                            sizeof squares);
    }
    repeated->lost = repeated->lost || !isfinite(squares);
    return status;
}

/* Repeats the batches of an update up to the one that goes wrong, which stays on the tape. */
static mt_status repeat(mt_trainer *trainer, int64_t update, repetition *repeated)
{
    int64_t accumulate = trainer->config.accumulate;
    repeated_rows rows;
    mt_parameters_zero_grad(trainer->parameters);
    mt_status status = begin_rows(trainer, &rows);
    for (int64_t i = 0; i < accumulate && !repeated->inspected.found && status == MT_OK; i++) {
        repeated->number = (update - 1) * accumulate + i;
        status = repeat_batch(trainer, repeated, &rows);
    }
    free(rows.host);
    return status == MT_OK ? mt_parameters_settle_grad(trainer->parameters) : status;
}

/* The symptom: the loss, what is carried on, or the gradients. */
static mt_status name_symptom(mt_trainer *trainer, const mt_update *update, bool lost,
                              char text[TEXT])
{
    double norm;
    if (!isfinite(update->loss)) {
        snprintf(text, TEXT, "the loss is %g", isnan(update->loss) ? (double)NAN : update->loss);
        return MT_OK;
    }
    if (lost) {
        snprintf(text, TEXT, "what is carried on is not finite");
        return MT_OK;
    }
    mt_status status =
        mt_adam_read_norm(trainer->adam, 1.0 / (double)trainer->config.accumulate, &norm);
    snprintf(text, TEXT, "%s", mt_error_message());
    return status == MT_ERROR_NUMERIC ? MT_OK : status;
}

/* Keeps the batch, if the program wants that, and says where. */
static void keep(const mt_trainer *trainer, const repetition *repeated, char text[TEXT])
{
    bool keeps = mt_communicator_rank(trainer->config.communicator) == 0;
    if (trainer->config.replay_file == NULL || !keeps) {
        text[0] = '\0';
    } else if (trainer_keep_batch(trainer, repeated->table, repeated->number) == MT_OK) {
        snprintf(text, TEXT, "; kept for mixtape replay in %s", trainer->config.replay_file);
    } else {
        snprintf(text, TEXT, "; not kept: %s", mt_error_message());
    }
}

/* Puts into trainer->bad_step what is wrong and where, and keeps the batch. `skippable`: without
 * the update all is well. */
static mt_status explain(mt_trainer *trainer, const mt_update *update, bool *skippable)
{
    repetition repeated = {.inspected = {.parameters = trainer->parameters}};
    inspection *inspected = &repeated.inspected;
    char symptom[TEXT], kept[TEXT] = "";
    mt_status status = inspect_parameters(inspected);
    bool is_repeated = false;
    *skippable = !inspected->found;
    if (status == MT_OK && *skippable) {
        status = repeat(trainer, update->step, &repeated);
        is_repeated = status == MT_OK;
        if (status == MT_ERROR_MEMORY && trainer_shares(trainer)) {
            status = MT_OK; /* one process may have no room for what several share */
        }
    }
    if (status == MT_OK) {
        status = name_symptom(trainer, update, repeated.lost, symptom);
    }
    if (status != MT_OK) {
        return status;
    }
    if (*skippable && is_repeated) {
        keep(trainer, &repeated, kept);
    }
    snprintf(trainer->bad_step, sizeof trainer->bad_step, "step %" PRId64 ": %s; %s%s",
             update->step, symptom,
             inspected->found ? inspected->text
             : is_repeated    ? "repeated, every tensor is finite"
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
    mt_status status = trainer_carried_gather(trainer);
    return status == MT_OK ? trainer_agree(trainer, skip_or_fail(trainer, update)) : status;
}
