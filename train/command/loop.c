#include "train/command/ending.h"
#include "train/command/held_out.h"
#include "train/command/loop_internal.h"
#include "train/command/ranks.h"
#include "train/command/run_view.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t interrupted, asked_to_save;
static bool time_is_up;                         /* --max-time */
static mt_trainer *volatile interruptible;      /* the trainer at work, or NULL */
static int ended_by, is_to_save, ended_in_time; /* the same, once all ranks know of it */

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

/* Takes note of signals, and of the time, at the same place on all ranks, whichever of them got
 * one. */
static mt_status note_signals(void)
{
    int seen[] = {interrupted, asked_to_save, time_is_up};
    if (seen[1] != 0) {
        asked_to_save = 0; /* one that comes now is answered by the same save */
    }
    mt_status status = ranks_largest(3, seen);
    ended_by = seen[0];
    is_to_save = is_to_save || seen[1];
    ended_in_time = seen[2];
    return status;
}

/* The same after something that ended with a status, if all ranks are at one place. */
static mt_status hear_signals(mt_status status)
{
    if (!ranks_are_together(status)) {
        return status;
    }
    mt_status noted = note_signals();
    return status != MT_OK ? status : noted;
}

/* Keeps a failure that ends the run, but not what it has learnt since the last save. */
static void end_saved(train_loop *loop, mt_status status)
{
    loop->failure = status;
    snprintf(loop->reason, sizeof loop->reason, "%s", mt_error_message());
}

/* Held-out data that cannot be read, or are damaged, end a run that is saved. So does a loss that
 * is not finite, unless bad steps are skipped: then it is told, and is not better. */
static mt_status go_on_or_end(train_loop *loop, mt_status status, metrics_row *row)
{
    if (status == MT_ERROR_NUMERIC && loop->session->config.on_bad_step == MT_BAD_STEP_SKIP) {
        progress_say(&loop->progress, "%s (the run goes on)", mt_error_message());
        row->val_loss = INFINITY;
        loop->state->bad_evals++;
        return MT_OK;
    }
    if (status == MT_ERROR_NUMERIC) {
        mt_fail(status, "%s (--on-bad-step skip goes on)", mt_error_message());
    } else if (status != MT_ERROR_FORMAT && status != MT_ERROR_IO) {
        return status;
    }
    end_saved(loop, status);
    mt_trainer_stop(loop->trainer);
    return MT_OK;
}

/* Validates, keeps the best, and counts what was not better. A validation that fails, or
 * that a signal interrupts, leaves the row without its loss: it is done when the run goes on. */
static mt_status validate(train_loop *loop, metrics_row *row)
{
    mt_evaluation found;
    mt_train_state *state = loop->state;
    mt_status status = session_evaluate(loop->session, loop->trainer, &found);
    status = hear_signals(status);
    if (status != MT_OK && ended_by != 0) {
        return MT_OK;
    }
    if (status != MT_OK) {
        status = mt_fail(status, "validation after step %" PRId64 ": %s", state->step,
                         mt_error_message());
        return go_on_or_end(loop, status, row);
    }
    row->val_loss = found.loss;
    row->val_accuracy = found.accuracy;
    bool better = state->best_step == 0 || found.loss < state->best_loss;
    char quality[64] = "", loss[32];
    format_loss(found.loss, 5, loss);
    if (loop->session->task->language) {
        double perplexity = exp(found.loss);
        snprintf(quality, sizeof quality,
                 perplexity < 1e9 ? "  perplexity %.3f" : "  perplexity %.3e", perplexity);
    }
    if (!isnan(found.accuracy)) {
        size_t used = strlen(quality);
        snprintf(quality + used, sizeof quality - used, "  accuracy %.2f %%",
                 100.0 * found.accuracy);
    }
    progress_say(&loop->progress, "step %" PRId64 "  validation loss %s%s%s", state->step, loss,
                 quality, better ? "  (best)" : "");
    if (better) {
        status = loop_save_best(loop, found.loss);
    } else {
        state->bad_evals++;
    }
    return status == MT_OK ? loop_keep_best(loop, found.loss, better)
                           : loop_go_on_without(loop, status);
}

static bool is_due(int64_t step, int64_t every, int64_t last)
{
    return step == last || (every > 0 && step % every == 0);
}

/* A row that has to wait is told once, not at every step. */
static mt_status add_metrics(train_loop *loop, const metrics_row *row)
{
    bool waited = loop->folder->metrics.size > 0;
    if (!ranks_is_first()) {
        return MT_OK;
    }
    loop_events_add(loop, row);
    mt_status status = metrics_add(&loop->folder->metrics, row);
    return status == MT_ERROR_IO && waited ? MT_OK : loop_go_on_without(loop, status);
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
    if (config->max_minutes > 0.0 && here > 60.0 * config->max_minutes) {
        time_is_up = true;
        mt_trainer_stop(loop->trainer);
    }
    bool validated = is_due(step, config->eval_every, config->steps);
    bool saves = is_due(step, config->save_every, config->steps);
    mt_status status = loop_hear_of_save(loop); /* of which rank 0 knows */
    if (validated) {
        status = ranks_agree(status);
        status = status == MT_OK ? validate(loop, &row) : status;
    }
    if (status == MT_OK && validated) { /* which rank 0 could save, or not */
        status = ranks_share(loop->state, sizeof *loop->state);
    }
    if (status == MT_OK && validated) {
        loop_events_add_histograms(loop);
    }
    if (status == MT_OK && (validated || is_due(step, config->log_every, config->steps))) {
        status = add_metrics(loop, &row);
    }
    if (status == MT_OK && validated) {
        loop_plot(loop);
    }
    if (saves) {
        status = ranks_agree(status);
    }
    if (status != MT_OK || !saves) {
        return status;
    }
    return step == config->steps ? loop_save_last(loop) : loop_go_on_without(loop, loop_save(loop));
}

/* Makes up for the validation that the run was interrupted in. */
static mt_status finish_validation(train_loop *loop)
{
    const run_config *config = &loop->session->config;
    metrics_row row = loop->folder->metrics.last;
    bool is_left = row.step > 0 && row.step == loop->state->step && isnan(row.val_loss) &&
                   is_due(row.step, config->eval_every, config->steps);
    mt_status status = ranks_share(&is_left, sizeof is_left); /* of whose rows rank 0 knows */
    if (status != MT_OK || !is_left) {
        return status;
    }
    status = validate(loop, &row);
    if (status == MT_OK) {
        status = ranks_share(loop->state, sizeof *loop->state);
    }
    if (status == MT_OK && ranks_is_first()) {
        status = metrics_replace_last(&loop->folder->metrics, &row);
        loop_events_add_validation(loop, &row);
    }
    status = ranks_agree(status);
    return status == MT_OK ? loop_save_now(loop) : status;
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
    return ended_by != 0              ? LOOP_INTERRUPTED
           : is_out_of_patience(loop) ? LOOP_OUT_OF_PATIENCE
           : ended_in_time != 0       ? LOOP_OUT_OF_TIME
                                      : LOOP_DONE;
}

/* SIGUSR1 asks for a checkpoint between two that are due. */
static mt_status save_if_asked(train_loop *loop)
{
    if (!is_to_save) {
        return MT_OK;
    }
    is_to_save = 0;
    mt_status status = loop_save_now(loop);
    if (status == MT_OK) {
        progress_say(&loop->progress, "saved after step %" PRId64, loop->state->step);
    }
    return loop_go_on_without(loop, status);
}

/* Saves what was learnt before the failure, and tells of that. A trainer that failed itself saves
 * nothing any more, but after a bad step what was before it. */
static mt_status fail_saved(train_loop *loop)
{
    bool saved = loop->state->step > 0 && loop_save_last(loop) == MT_OK;
    return saved ? mt_fail(loop->failure, "%s (saved after step %" PRId64 ")", loop->reason,
                           loop->state->step)
                 : mt_fail(loop->failure, "%s", loop->reason);
}

static mt_status run_steps(train_loop *loop, loop_end *end)
{
    mt_status status = ranks_agree(finish_validation(loop));
    status = hear_signals(status);
    if (!ranks_are_together(status)) {
        return status;
    }
    *end = early_end(loop);
    while (loop->state->step < loop->session->config.steps && status == MT_OK &&
           *end == LOOP_DONE && loop->failure == MT_OK) {
        status = hear_signals(run_stretch(loop));
        if (!ranks_are_together(status)) {
            return status;
        }
        *end = early_end(loop);
        if (status == MT_OK && *end == LOOP_DONE && loop->failure == MT_OK) {
            status = save_if_asked(loop);
        }
    }
    if (status == MT_ERROR_NUMERIC) {
        status = mt_fail(status, "%s (lower --lr, or a wider --dtype)", mt_error_message());
    }
    if (status != MT_OK) { /* of a batch, which could not be made, or of a bad step */
        end_saved(loop, status);
    }
    if (loop->failure != MT_OK) {
        return ranks_agree(fail_saved(loop));
    }
    return ranks_agree(*end != LOOP_DONE ? loop_save_last(loop) : MT_OK);
}

void loop_catch_saving(void)
{
    catch_signal(SIGUSR1, on_signal, 0);
}

static void catch_signals(mt_trainer *trainer)
{
    static const int ending[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR2}; /* the last by schedulers */
    interruptible = trainer;
    if (asked_to_save) { /* before there was a run to save */
        mt_trainer_stop(trainer);
    }
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        catch_signal(ending[i], on_signal, (int)SA_RESETHAND);
    }
    catch_signal(SIGXCPU, on_signal, 0); /* which comes again with each second */
    signal(SIGPIPE, SIG_IGN);            /* who reads the progress may go away; the run stays */
}

mt_status loop_run(train_session *session, mt_checkpoint *checkpoint, const char *notice,
                   run_folder *folder, loop_end *end)
{
    train_loop loop = {.session = session, .folder = folder};
    *end = LOOP_DONE;
    mt_status status = loop_open(&loop, checkpoint);
    mt_checkpoint_destroy(checkpoint);
    if (status == MT_OK) {
        session->ending = &interrupted;
        session->progress = &loop.progress;
        catch_signals(loop.trainer);
        loop_say_start(&loop, notice);
        loop_events_open(&loop);
        loop_plot_open(&loop);
        status = loop_kept_open(&loop);
    }
    if (status == MT_OK) {
        status = run_steps(&loop, end);
    }
    ranks_have_done();
    loop_events_close(&loop);
    if (status == MT_OK) {
        loop_say_end(&loop, *end);
    }
    if (status == MT_OK && *end != LOOP_INTERRUPTED) {
        loop_plot_last(&loop);
    } else {
        plot_drop(&loop.picture); /* who ends a run does not wait */
    }
    if (status != MT_OK) {
        progress_end(&loop.progress);
        if (folder->log != NULL) {
            fprintf(folder->log, "failed: %s\n", mt_error_message());
        }
    }
    if (status == MT_OK && *end != LOOP_INTERRUPTED && *end != LOOP_OUT_OF_TIME) {
        status = examples_show(session, mt_trainer_tape(loop.trainer));
    }
    session->progress = NULL;
    interruptible = NULL;
    mt_trainer_destroy(loop.trainer);
    free(loop.config_text);
    return status;
}

int loop_signal(void)
{
    return ended_by;
}
