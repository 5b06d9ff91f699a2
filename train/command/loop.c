#include <mixtape/trainer.h>

#include "train/command/ending.h"
#include "train/command/loop.h"
#include "train/command/options.h"
#include "train/command/progress.h"
#include "train/command/style.h"
#include "train/run_folder.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static volatile sig_atomic_t interrupted, asked_to_save;
static mt_trainer *volatile interruptible; /* the trainer at work, or NULL */

static void on_signal(int signal_number)
{
    if (signal_number == SIGUSR1) {
        asked_to_save = 1;
    } else {
        interrupted = signal_number;
    }
    if (interruptible != NULL) {
        mt_trainer_stop(interruptible);
    }
}

/* A run at work. */
typedef struct train_loop {
    train_session *session;
    mt_trainer *trainer;
    mt_train_state *state; /* the trainer's */
    char *config_text;
    char replay_file[TEXT_MAX]; /* once the run has a folder */
    run_folder *folder;         /* of the caller */
    train_progress progress;
    int64_t unsaved_step; /* whose model is the best, but could not be saved; 0: none */
    double unsaved_loss;  /* its validation loss */
    mt_status failure;    /* of a validation, which ends the run when it is saved, */
    char reason[1024];    /* and its message */
    double started;     /* the clock when the run was opened, less the seconds it had run before */
    int64_t first_step; /* when it was opened, */
    int64_t symbols_before;
    double seconds_before;
} train_loop;

static mt_status save(train_loop *loop, const char *name,
                      mt_status (*write)(mt_trainer *trainer, const char *path))
{
    char path[TEXT_MAX];
    loop->state->seconds = clock_seconds() - loop->started;
    return write(loop->trainer, run_folder_file(loop->folder, name, path));
}

/* The rows up to the checkpoint's step reach the disk before it does. */
static mt_status save_checkpoint(train_loop *loop)
{
    mt_status status = metrics_flush(&loop->folder->metrics);
    return status == MT_OK ? save(loop, "checkpoint.h5", mt_trainer_save) : status;
}

/* A disk that is full today may have room at the next save: the run says so and goes on. */
static mt_status go_on_without(train_loop *loop, mt_status status)
{
    if (status == MT_ERROR_IO) {
        progress_say(&loop->progress, "step %" PRId64 ": not saved: %s (the run goes on)",
                     loop->state->step, mt_error_message());
        status = MT_OK;
    }
    return status;
}

/* The number of the file that a path leads to; 0: none. */
static ino_t file_at(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_ino : 0;
}

/* Saves the model as the best. If that fails the best is who it was, unless it has the name already
 * and was only not flushed. */
static mt_status save_best(train_loop *loop, double loss)
{
    const mt_train_state before = *loop->state;
    char path[TEXT_MAX];
    ino_t former = file_at(run_folder_file(loop->folder, "best.h5", path));
    loop->state->best_loss = loss;
    loop->state->best_step = loop->state->step;
    loop->state->bad_evals = 0;
    mt_status status = save(loop, "best.h5", mt_trainer_save_parameters);
    if (status == MT_ERROR_IO && file_at(path) == former) {
        loop->state->best_loss = before.best_loss;
        loop->state->best_step = before.best_step;
    }
    loop->unsaved_step = status == MT_ERROR_IO ? loop->state->step : 0;
    loop->unsaved_loss = loss;
    return status;
}

/* A best model that could not be saved is tried again, as long as it is at hand. */
static mt_status save_unsaved_best(train_loop *loop)
{
    bool at_hand = loop->unsaved_step > 0 && loop->unsaved_step == loop->state->step;
    return at_hand ? save_best(loop, loop->unsaved_loss) : MT_OK;
}

/* The save that a run ends with: the checkpoint is read back. */
static mt_status save_last(train_loop *loop)
{
    char path[TEXT_MAX], reason[2 * TEXT_MAX];
    mt_checkpoint *read;
    mt_status best = save_unsaved_best(loop);
    snprintf(reason, sizeof reason, "%s", mt_error_message());
    mt_status status = save_checkpoint(loop);
    if (status == MT_OK) {
        status = mt_checkpoint_load(run_folder_file(loop->folder, "checkpoint.h5", path), &read);
    }
    if (status == MT_OK) {
        mt_checkpoint_destroy(read);
    }
    return status == MT_OK && best != MT_OK ? mt_fail(best, "%s", reason) : status;
}

/* Held-out data that cannot be read, or are damaged, end the run, but not what it has learnt since
 * the last save. */
static mt_status end_after_validation(train_loop *loop, mt_status status)
{
    if (status != MT_ERROR_FORMAT && status != MT_ERROR_IO) {
        return status;
    }
    loop->failure = status;
    snprintf(loop->reason, sizeof loop->reason, "%s", mt_error_message());
    mt_trainer_stop(loop->trainer);
    return MT_OK;
}

/* Validates, keeps the best, and counts what was not better. A validation that fails, or
 * that a signal interrupts, leaves the row without its loss: it is done when the run goes on. */
static mt_status validate(train_loop *loop, metrics_row *row)
{
    mt_evaluation found;
    mt_train_state *state = loop->state;
    mt_status status = session_evaluate(loop->session, mt_trainer_tape(loop->trainer), &found);
    if (status != MT_OK && interrupted != 0) {
        return MT_OK;
    }
    if (status != MT_OK) {
        return end_after_validation(loop, mt_fail(status, "validation after step %" PRId64 ": %s",
                                                  state->step, mt_error_message()));
    }
    row->val_loss = found.loss;
    row->val_accuracy = found.accuracy;
    bool better = state->best_step == 0 || found.loss < state->best_loss;
    char quality[64] = "";
    if (loop->session->task->language) {
        snprintf(quality, sizeof quality, "  perplexity %.3f", exp(found.loss));
    }
    if (!isnan(found.accuracy)) {
        size_t used = strlen(quality);
        snprintf(quality + used, sizeof quality - used, "  accuracy %.2f %%",
                 100.0 * found.accuracy);
    }
    progress_say(&loop->progress, "step %" PRId64 "  validation loss %.5f%s%s", state->step,
                 found.loss, quality, better ? "  (best)" : "");
    if (better) {
        return go_on_without(loop, save_best(loop, found.loss));
    }
    state->bad_evals++;
    return MT_OK;
}

static bool is_due(int64_t step, int64_t every, int64_t last)
{
    return step == last || (every > 0 && step % every == 0);
}

/* A row that has to wait is told once, not at every step. */
static mt_status add_metrics(train_loop *loop, const metrics_row *row)
{
    bool waited = loop->folder->metrics.size > 0;
    mt_status status = metrics_add(&loop->folder->metrics, row);
    return status == MT_ERROR_IO && waited ? MT_OK : go_on_without(loop, status);
}

/* Does what follows an update: progress, and what is due of validation, metrics and checkpoints. */
static mt_status after_update(void *context, const mt_update *update)
{
    train_loop *loop = context;
    const run_config *config = &loop->session->config;
    int64_t step = update->step;
    double seconds = clock_seconds() - loop->started, here = seconds - loop->seconds_before;
    double rate = here > 0.0 ? (double)(loop->state->symbols - loop->symbols_before) / here : 0.0;
    double per_step = here / (double)(step - loop->first_step);
    metrics_row row = {.step = step,
                       .loss = update->loss,
                       .accuracy = update->accuracy,
                       .val_loss = NAN,
                       .val_accuracy = NAN,
                       .lr = update->lr,
                       .grad_norm = update->grad_norm,
                       .tokens_per_s = rate,
                       .seconds = seconds,
                       .spikes = loop->state->spikes,
                       .skipped = loop->state->skipped};
    if (update->skipped != NULL) {
        progress_say(&loop->progress, "%s; skipped, %" PRId64 " of at most %" PRId64,
                     update->skipped, loop->state->skipped, config->bad_steps);
    } else {
        progress_step(&loop->progress, step, update->loss, update->accuracy, rate, seconds,
                      per_step * (double)(config->steps - step));
    }
    bool validated = is_due(step, config->eval_every, config->steps);
    mt_status status = validated ? validate(loop, &row) : MT_OK;
    if (status == MT_OK && (validated || is_due(step, config->log_every, config->steps))) {
        status = add_metrics(loop, &row);
    }
    if (status != MT_OK || !is_due(step, config->save_every, config->steps)) {
        return status;
    }
    return step == config->steps ? save_last(loop) : go_on_without(loop, save_checkpoint(loop));
}

/* Makes up for the validation that the run was interrupted in. */
static mt_status finish_validation(train_loop *loop)
{
    const run_config *config = &loop->session->config;
    metrics_row row = loop->folder->metrics.last;
    if (row.step == 0 || row.step != loop->state->step || !isnan(row.val_loss) ||
        !is_due(row.step, config->eval_every, config->steps)) {
        return MT_OK;
    }
    mt_status status = validate(loop, &row);
    if (status == MT_OK) {
        status = metrics_replace_last(&loop->folder->metrics, &row);
    }
    return status == MT_OK ? save_checkpoint(loop) : status;
}

static bool is_out_of_patience(const train_loop *loop)
{
    int64_t patience = loop->session->config.patience;
    return patience > 0 && loop->state->bad_evals >= patience;
}

/* The next multiple of `every`, or the last step. */
static int64_t next_due(int64_t step, int64_t every, int64_t last)
{
    return every > 0 && last - step > every - step % every ? step + every - step % every : last;
}

/* Until validation or saving needs the model as it is then: no later step may have begun. */
static mt_status run_stretch(train_loop *loop)
{
    const run_config *config = &loop->session->config;
    int64_t step = loop->state->step;
    int64_t validation = next_due(step, config->eval_every, config->steps);
    int64_t saving = next_due(step, config->save_every, config->steps);
    return mt_trainer_run(loop->trainer, validation < saving ? validation : saving, after_update,
                          loop);
}

/* Why the run is to end before its last step; LOOP_DONE: it is not. */
static loop_end early_end(const train_loop *loop)
{
    return interrupted != 0           ? LOOP_INTERRUPTED
           : is_out_of_patience(loop) ? LOOP_OUT_OF_PATIENCE
                                      : LOOP_DONE;
}

/* SIGUSR1 asks for a checkpoint between two that are due. */
static mt_status save_if_asked(train_loop *loop)
{
    if (!asked_to_save) {
        return MT_OK;
    }
    asked_to_save = 0;
    mt_status status = save_checkpoint(loop);
    if (status == MT_OK) {
        progress_say(&loop->progress, "saved after step %" PRId64, loop->state->step);
    }
    return go_on_without(loop, status);
}

/* Saves what a failed validation stands behind, and tells of that. */
static mt_status fail_saved(train_loop *loop)
{
    bool saved = save_last(loop) == MT_OK;
    return saved ? mt_fail(loop->failure, "%s (saved after step %" PRId64 ")", loop->reason,
                           loop->state->step)
                 : mt_fail(loop->failure, "%s", loop->reason);
}

static mt_status run_steps(train_loop *loop, loop_end *end)
{
    mt_status status = finish_validation(loop);
    *end = early_end(loop);
    while (loop->state->step < loop->session->config.steps && status == MT_OK &&
           *end == LOOP_DONE && loop->failure == MT_OK) {
        status = run_stretch(loop);
        *end = early_end(loop);
        if (status == MT_OK && *end == LOOP_DONE && loop->failure == MT_OK) {
            status = save_if_asked(loop);
        }
    }
    if (status == MT_ERROR_NUMERIC) {
        status = mt_fail(status, "%s (lower --lr, or --dtype f64)", mt_error_message());
    }
    if (status == MT_OK && loop->failure != MT_OK) {
        return fail_saved(loop);
    }
    return status == MT_OK && *end != LOOP_DONE ? save_last(loop) : status;
}

/* "3 tokens are new ...: 'a', 'b', 'c'" */
static void say_new_tokens(train_loop *loop)
{
    enum { SHOWN = 16 };
    const train_session *session = loop->session;
    const mt_token_list *tokens = session->task->tokens(session->data);
    int32_t first = session->first_new_token, count = tokens->count - first;
    char shown[1024] = "";
    for (int32_t i = 0; i < count && i < SHOWN; i++) {
        size_t used = strlen(shown);
        snprintf(shown + used, sizeof shown - used, "%s'%.32s'", i > 0 ? ", " : "",
                 tokens->tokens[first + i]);
    }
    progress_say(&loop->progress,
                 "%" PRId32 " token%s new to %s, and begin%s as the mean of its %" PRId32 ": %s%s",
                 count, count == 1 ? " is" : "s are", session->config.init, count == 1 ? "s" : "",
                 first, shown, count > SHOWN ? ", ..." : "");
}

static void say_start(train_loop *loop, const char *notice)
{
    const train_session *session = loop->session;
    const run_config *config = &session->config;
    int64_t A = session->model->config.attention_size, blocks = config->model.num_blocks;
    int threads = mt_cpu_threads();
    progress_say(&loop->progress,
                 "%s %s: %" PRId64 " block%s of size %" PRId64 ", %" PRId64
                 " parameters, %s on %s (%s, %d thread%s), seed %" PRId64 ", in %s",
                 loop->state->step > 0 ? "going on with" : "training", config->task, blocks,
                 blocks == 1 ? "" : "s", config->model.block_size,
                 mt_parameters_size(session->model->parameters), mt_dtype_name(config->dtype),
                 mt_device_name(session->device), mt_cpu_isa(), threads, threads == 1 ? "" : "s",
                 config->seed, loop->folder->path);
    if (loop->state->step == 0) {
        char text[STYLE_TEXT];
        style_tell(&session->model->config, text);
        progress_say(&loop->progress, "%s", text);
    }
    if (session->task->describe != NULL) {
        char text[512];
        session->task->describe(session->data, text, sizeof text);
        progress_say(&loop->progress, "%s", text);
    }
    if (notice[0] != '\0') {
        progress_say(&loop->progress, "%s", notice);
    }
    if (session->first_new_token >= 0) {
        say_new_tokens(loop);
    }
    if (session->tokenizer_size > 0 &&
        session->tokenizer_size < session->model->config.vocab_size) {
        progress_say(&loop->progress,
                     "the tokenizer has %" PRId64 " ids, the vocabulary %" PRId64
                     ": the last ones stay unused",
                     session->tokenizer_size, session->model->config.vocab_size);
    }
    if (session->new_head) {
        progress_say(&loop->progress, "%s has no head: it begins with initial values",
                     config->init);
    }
    if (A > 32 && A % 32 != 0) {
        progress_say(&loop->progress,
                     "an attention size of %" PRId64
                     " is no multiple of 32: one sequence alone, as in generate, will be refused",
                     A);
    }
}

static void say_end(train_loop *loop, loop_end end)
{
    const mt_train_state *state = loop->state;
    train_progress *progress = &loop->progress;
    double seconds = clock_seconds() - loop->started;
    if (end == LOOP_INTERRUPTED) {
        progress_say(progress,
                     "interrupted after step %" PRId64
                     ", saved; go on with: mixtape train --resume %s",
                     state->step, loop->folder->path);
    } else {
        progress_say(progress,
                     "%s after step %" PRId64
                     " and %.1f s; best validation loss %.5f at step %" PRId64,
                     end == LOOP_OUT_OF_PATIENCE ? "no better validation any more:" : "done",
                     state->step, seconds, state->best_loss, state->best_step);
    }
}

static mt_trainer_config trainer_config(const run_config *config)
{
    mt_trainer_config made = mt_trainer_config_default();
    made.adam.clip = config->clip;
    made.adam.weight_decay = config->weight_decay;
    made.schedule = (mt_schedule){.kind = config->schedule,
                                  .lr = config->lr,
                                  .final = config->lr_final,
                                  .warmup = config->warmup,
                                  .steps = config->steps};
    made.accumulate = config->accumulate;
    made.seed = (uint64_t)config->seed;
    made.record = config->cuda_graph == SWITCH_ON;
    made.on_bad_step = config->on_bad_step;
    made.bad_steps = config->bad_steps;
    return made;
}

static mt_status open_trainer(train_loop *loop, const mt_checkpoint *checkpoint)
{
    train_session *session = loop->session;
    const run_config *config = &session->config;
    mt_trainer_config made = trainer_config(config);
    made.replay_file = loop->replay_file;
    mt_objective objective = session_objective(session, TRAIN);
    if (checkpoint != NULL && checkpoint->state.step > config->steps) {
        return mt_fail(MT_ERROR_INVALID, "--steps %" PRId64 ": the run has made %" PRId64,
                       config->steps, checkpoint->state.step);
    }
    mt_status status =
        mt_trainer_create(session->model->parameters, &made, &objective, &loop->trainer);
    if (status == MT_OK) {
        status = options_write_yaml(config, &loop->config_text);
    }
    if (status == MT_OK) {
        loop->state = mt_trainer_state(loop->trainer);
        status = mt_trainer_describe(loop->trainer, session->model,
                                     session->task->tokens(session->data), loop->config_text);
    }
    if (status == MT_OK) {
        status = mt_trainer_keep_tokenizer(loop->trainer, &session->tokenizer);
    }
    return status == MT_OK && checkpoint != NULL ? mt_trainer_restore(loop->trainer, checkpoint)
                                                 : status;
}

static mt_status open_loop(train_loop *loop, const mt_checkpoint *checkpoint)
{
    const run_config *config = &loop->session->config;
    mt_status status = open_trainer(loop, checkpoint);
    if (status == MT_OK) {
        status =
            checkpoint != NULL
                ? run_folder_resume(loop->folder, checkpoint->state.step, loop->config_text)
                : run_folder_create(config->out, config->task, loop->config_text, loop->folder);
    }
    if (status == MT_OK) {
        run_folder_file(loop->folder, "bad_step.h5", loop->replay_file);
        loop->started = clock_seconds() - loop->state->seconds;
        loop->first_step = loop->state->step;
        loop->symbols_before = loop->state->symbols;
        loop->seconds_before = loop->state->seconds;
    }
    loop->progress = progress_make(loop->folder->log, loop->session->task->language, config->steps);
    return status;
}

void loop_catch_saving(void)
{
    catch_signal(SIGUSR1, on_signal, 0);
}

static void catch_signals(mt_trainer *trainer)
{
    static const int ending[] = {SIGHUP, SIGINT, SIGTERM};
    interruptible = trainer;
    if (asked_to_save) { /* before there was a run to save */
        mt_trainer_stop(trainer);
    }
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        catch_signal(ending[i], on_signal, (int)SA_RESETHAND);
    }
    signal(SIGPIPE, SIG_IGN); /* who reads the progress may go away; the run stays */
}

mt_status loop_run(train_session *session, mt_checkpoint *checkpoint, const char *notice,
                   run_folder *folder, loop_end *end)
{
    train_loop loop = {.session = session, .folder = folder};
    *end = LOOP_DONE;
    mt_status status = open_loop(&loop, checkpoint);
    mt_checkpoint_destroy(checkpoint);
    if (status == MT_OK) {
        session->ending = &interrupted;
        catch_signals(loop.trainer);
        say_start(&loop, notice);
        status = run_steps(&loop, end);
    }
    if (status == MT_OK) {
        say_end(&loop, *end);
    } else {
        progress_end(&loop.progress);
        if (folder->log != NULL) {
            fprintf(folder->log, "failed: %s\n", mt_error_message());
        }
    }
    if (status == MT_OK && *end != LOOP_INTERRUPTED) {
        status = examples_show(session, mt_trainer_tape(loop.trainer));
    }
    interruptible = NULL;
    mt_trainer_destroy(loop.trainer);
    free(loop.config_text);
    return status;
}

int loop_signal(void)
{
    return interrupted;
}
