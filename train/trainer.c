#include "train/trainer_internal.h"

#include "kernels/null.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

mt_trainer_config mt_trainer_config_default(void)
{
    return (mt_trainer_config){.adam = mt_adam_config_default(),
                               .schedule = {.kind = MT_CONSTANT, .lr = 1e-3},
                               .accumulate = 1,
                               .windows = 1,
                               .seed = 1,
                               .record = true,
                               .bad_steps = 10};
}

/* Keeps the first failure. */
mt_status trainer_stick(mt_trainer *trainer, mt_status status)
{
    if (status != MT_OK && trainer->status == MT_OK) {
        trainer->status = status;
        snprintf(trainer->error, sizeof trainer->error, "%s", mt_error_message());
    }
    return status;
}

/* MT_OK, or the failure that came before. */
mt_status trainer_status(const mt_trainer *trainer)
{
    return trainer->status == MT_OK ? MT_OK : mt_fail(trainer->status, "%s", trainer->error);
}

static mt_status open_windows(mt_trainer *trainer)
{
    size_t count = (size_t)trainer->config.windows;
    trainer->at_hand = (windows){.objective = &trainer->objective,
                                 .count = trainer->config.windows,
                                 .items = calloc(count, sizeof *trainer->at_hand.items)};
    trainer->places = calloc(RECORDINGS * count, sizeof *trainer->places);
    return trainer->at_hand.items != NULL && trainer->places != NULL
               ? trainer_carried_open(trainer)
               : mt_fail(MT_ERROR_MEMORY, "trainer: no memory for %zu windows", count);
}

static mt_status open_parts(mt_trainer *trainer)
{
    const mt_trainer_config *config = &trainer->config;
    if (trainer->parameters->data == NULL) {
        return mt_fail(MT_ERROR_INVALID, "trainer: the parameters have not been allocated");
    }
    if (trainer->objective.put == NULL || trainer->objective.loss == NULL) {
        return mt_fail(MT_ERROR_INVALID, "trainer: the objective has no %s",
                       trainer->objective.put == NULL ? "put" : "loss");
    }
    mt_status status = mt_schedule_check(&config->schedule);
    if (status == MT_OK && config->accumulate < 1) {
        status = mt_fail(MT_ERROR_INVALID, "trainer: accumulate is %" PRId64 ", not 1 or more",
                         config->accumulate);
    }
    if (status == MT_OK && (config->windows < 1 || config->windows > MT_MOST_WINDOWS)) {
        status = mt_fail(MT_ERROR_INVALID, "trainer: windows is %" PRId64 ", not in 1 .. %d",
                         config->windows, MT_MOST_WINDOWS);
    }
    if (status == MT_OK && config->windows > 1 && !trainer_carries(trainer)) {
        status = mt_fail(MT_ERROR_INVALID,
                         "trainer: %" PRId64 " windows, between which nothing is carried",
                         config->windows);
    }
    if (status == MT_OK && config->bad_steps < 0) {
        status = mt_fail(MT_ERROR_INVALID, "trainer: bad_steps is %" PRId64 ", not 0 or more",
                         config->bad_steps);
    }
    if (status == MT_OK) {
        status = trainer_splits(trainer)
                     ? trainer_create_part(trainer)
                     : mt_adam_create(trainer->parameters, config->adam, &trainer->adam);
    }
    if (status != MT_OK) {
        return status;
    }
    trainer->adam->halts = true;
    status = mt_tape_create(trainer->device, &trainer->tape);
    return status == MT_OK ? open_windows(trainer) : status;
}

mt_status mt_trainer_create(mt_parameters *parameters, const mt_trainer_config *config,
                            const mt_objective *objective, mt_trainer **trainer)
{
    *trainer = NULL;
    if (parameters == NULL) {
        return mt_fail_null(__func__);
    }
    mt_trainer *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "trainer: no memory for %zu bytes", sizeof *made);
    }
    made->config = *config;
    made->objective = *objective;
    made->parameters = parameters;
    made->device = parameters->device;
    mt_status status = trainer_agree(made, open_parts(made));
    if (status == MT_OK && trainer_shares(made)) {
        status = trainer_share_start(made);
    }
    if (status != MT_OK) {
        mt_trainer_destroy(made);
        return status;
    }
    *trainer = made;
    return MT_OK;
}

void mt_trainer_destroy(mt_trainer *trainer)
{
    if (trainer == NULL) {
        return;
    }
    for (int i = 0; i < trainer->recorded_count; i++) {
        trainer->device->forget(trainer->device, trainer->recorded[i].recording);
    }
    mt_saver_destroy(trainer->saver);
    mt_adam_destroy(trainer->adam);
    mt_tape_destroy(trainer->tape);
    trainer_carried_close(trainer);
    free(trainer->at_hand.items);
    free(trainer->places);
    free((char *)(uintptr_t)trainer->adapter.model);
    mt_communicator_leave_device(trainer->config.communicator, trainer->device);
    free(trainer->votes);
    grad_pieces_destroy(trainer->pieces);
    free(trainer);
}

/* ---- updates ---- */

bool mt_trainer_has_room(const mt_trainer *trainer)
{
    if (trainer == NULL) {
        return false;
    }
    /* A device that does its work at once gains nothing from a queue, nor do several ranks, which
     * wait for each batch to tell one another of it. */
    bool runs_behind = trainer->device->record != NULL && !trainer_shares(trainer);
    return trainer->count == 0 ||
           (runs_behind && trainer->count + trainer->config.accumulate <= BATCHES);
}

int64_t mt_trainer_pending(const mt_trainer *trainer)
{
    if (trainer == NULL) {
        return 0;
    }
    return trainer->updates;
}

mt_status mt_trainer_begin(mt_trainer *trainer)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = trainer_status(trainer);
    if (status == MT_OK && !mt_trainer_has_room(trainer)) {
        status =
            mt_fail(MT_ERROR_INVALID, "trainer: no room beside the %" PRId64 " updates at work",
                    trainer->updates);
    }
    if (status != MT_OK) {
        return status;
    }
    status = trainer_enqueue(trainer);
    return trainer->lacks_batch ? status : trainer_stick(trainer, status);
}

/* Marks a loss that is a spike, and follows the losses by an average in which a spike counts as the
 * least one does. */
static void note_loss(mt_train_state *state, mt_update *update)
{
    double average = state->loss_average, spike = MT_SPIKE * average, loss = update->loss;
    update->spike = average > 0.0 && loss > spike;
    state->spikes += update->spike;
    state->loss_average =
        average > 0.0 ? average + (fmin(loss, spike) - average) / MT_SPIKE_WINDOW : fmax(loss, 0.0);
}

/* Of what several ranks carry, each knows its own rows alone until they are gathered. */
static mt_status gather_of_ranks(mt_trainer *trainer)
{
    return trainer_shares(trainer) ? trainer_stick(trainer, trainer_carried_gather(trainer))
                                   : MT_OK;
}

static mt_status finish(mt_trainer *trainer, mt_update *update)
{
    mt_status status = trainer_status(trainer);
    if (status == MT_OK && trainer->updates == 0) {
        status = mt_fail(MT_ERROR_INVALID, "trainer: no update is at work");
    }
    if (status == MT_OK) {
        status = trainer_stick(trainer, trainer_collect(trainer, update));
    }
    if (status == MT_OK) {
        trainer->state.step = update->step;
    }
    if (status == MT_OK && update->skipped == NULL) {
        trainer->state.symbols += update->symbols;
        note_loss(&trainer->state, update);
    }
    return status;
}

mt_status mt_trainer_finish(mt_trainer *trainer, mt_update *update)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = finish(trainer, update);
    return status == MT_OK ? gather_of_ranks(trainer) : status;
}

void mt_trainer_stop(mt_trainer *trainer)
{
    if (trainer == NULL) {
        return;
    }
    trainer->stopped = 1;
}

/* Begins an update. If it has no batch that is told when those before it are done. */
static mt_status begin_or_lack(mt_trainer *trainer, mt_status *lacking)
{
    mt_status status = mt_trainer_begin(trainer);
    if (status == MT_OK || trainer->status != MT_OK) {
        return status;
    }
    snprintf(trainer->error, sizeof trainer->error, "%s", mt_error_message());
    *lacking = status;
    return MT_OK;
}

/* Several ranks stop where all know of it. */
static bool is_stopped(const mt_trainer *trainer)
{
    return trainer_shares(trainer) ? trainer->all_stop : trainer->stopped != 0;
}

static mt_status meet(mt_trainer *trainer, mt_status status)
{
    return trainer_shares(trainer) ? trainer_meet(trainer, status) : status;
}

mt_status mt_trainer_run(mt_trainer *trainer, int64_t last, mt_after_update after, void *context)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = meet(trainer, trainer_status(trainer)), lacking = MT_OK;
    while (status == MT_OK) {
        mt_update update;
        if (trainer_begun(trainer) < last && !is_stopped(trainer) && lacking == MT_OK &&
            mt_trainer_has_room(trainer)) {
            status = begin_or_lack(trainer, &lacking);
            continue;
        }
        if (trainer->updates == 0) {
            break;
        }
        status = finish(trainer, &update);
        if (status == MT_OK && update.skipped != NULL) {
            lacking = MT_OK; /* that update has not come to its batch again */
        }
        if (status == MT_OK && update.step == last) {
            status = gather_of_ranks(trainer);
        }
        if (status == MT_OK) {
            status = trainer_stick(trainer,
                                   meet(trainer, after != NULL ? after(context, &update) : MT_OK));
        }
    }
    if (status == MT_OK) {
        status = gather_of_ranks(trainer);
    }
    trainer->stopped = 0;
    trainer->all_stop = false;
    return status == MT_OK && lacking != MT_OK ? mt_fail(lacking, "%s", trainer->error) : status;
}

/* ---- where training stands ---- */

mt_train_state *mt_trainer_state(mt_trainer *trainer)
{
    if (trainer == NULL) {
        return NULL;
    }
    return &trainer->state;
}

mt_tape *mt_trainer_tape(mt_trainer *trainer)
{
    if (trainer == NULL) {
        return NULL;
    }
    return trainer->tape;
}

mt_status mt_trainer_describe(mt_trainer *trainer, mt_model *model, const mt_token_list *tokens,
                              const char *run_config)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    if (model != NULL && model->parameters != trainer->parameters) {
        return mt_fail(MT_ERROR_INVALID, "trainer: the model's parameters are not the trainer's");
    }
    trainer->model = model;
    trainer->tokens = tokens;
    trainer->run_config = run_config;
    return MT_OK;
}

mt_status mt_trainer_keep_tokenizer(mt_trainer *trainer, const mt_tokenizer_file *tokenizer)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    trainer->tokenizer = tokenizer;
    return MT_OK;
}
