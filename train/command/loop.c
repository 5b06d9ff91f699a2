#include <mixtape/schedule.h>

#include "train/command/clock.h"
#include "train/command/examples.h"
#include "train/command/loop.h"
#include "train/command/options.h"
#include "train/command/progress.h"
#include "train/command/step.h"
#include "train/run_folder.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
    interrupted = signal_number;
}

/* A run at work. */
typedef struct train_loop {
    train_session *session;
    mt_adam *adam;
    step_queue *queue;
    mt_schedule schedule;
    mt_train_state state;
    char *config_text;
    run_folder *folder; /* of the caller */
    train_progress progress;
    double started;     /* the clock when the run was opened, less the seconds it had run before */
    int64_t first_step; /* when it was opened, */
    int64_t symbols_before;
    double seconds_before;
} train_loop;

static mt_status save(train_loop *loop, const char *name, bool with_optimizer)
{
    char path[TEXT_MAX];
    train_session *session = loop->session;
    loop->state.seconds = clock_seconds() - loop->started;
    return mt_checkpoint_save(run_folder_file(loop->folder, name, path), session->model,
                              with_optimizer ? loop->adam : NULL, &loop->state, loop->config_text,
                              session->task->tokens(session->data));
}

/* Validates, keeps the best, and counts what was not better. */
static mt_status validate(train_loop *loop, metrics_row *row)
{
    evaluation found;
    mt_train_state *state = &loop->state;
    mt_status status = session_evaluate(loop->session, &found);
    if (status != MT_OK) {
        return mt_fail(status, "validation after step %" PRId64 ": %s", state->step,
                       mt_error_message());
    }
    row->val_loss = found.loss;
    row->val_accuracy = found.accuracy;
    bool better = state->best_step == 0 || found.loss < state->best_loss;
    if (better) {
        state->best_loss = found.loss;
        state->best_step = state->step;
        state->bad_evals = 0;
    } else {
        state->bad_evals++;
    }
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
    return better ? save(loop, "best.h5", false) : MT_OK;
}

static bool is_due(int64_t step, int64_t every, int64_t last)
{
    return step == last || (every > 0 && step % every == 0);
}

/* What follows an update: validation, metrics, progress, checkpoints. */
static mt_status after_step(train_loop *loop, const step_result *result)
{
    const run_config *config = &loop->session->config;
    int64_t step = loop->state.step;
    double seconds = clock_seconds() - loop->started, here = seconds - loop->seconds_before;
    double rate = here > 0.0 ? (double)(loop->state.symbols - loop->symbols_before) / here : 0.0;
    double per_step = here / (double)(step - loop->first_step);
    metrics_row row = {.step = step,
                       .loss = result->loss,
                       .accuracy = result->accuracy,
                       .val_loss = NAN,
                       .val_accuracy = NAN,
                       .lr = result->lr,
                       .grad_norm = result->grad_norm,
                       .tokens_per_s = rate,
                       .seconds = seconds};
    progress_step(&loop->progress, step, result->loss, result->accuracy, rate, seconds,
                  per_step * (double)(config->steps - step));
    bool validated = is_due(step, config->eval_every, config->steps);
    mt_status status = validated ? validate(loop, &row) : MT_OK;
    if (status == MT_OK && (validated || is_due(step, config->log_every, config->steps))) {
        status = run_folder_add_metrics(loop->folder, &row);
    }
    if (status == MT_OK && is_due(step, config->save_every, config->steps)) {
        status = save(loop, "checkpoint.h5", true);
    }
    return status;
}

static bool is_out_of_patience(const train_loop *loop)
{
    int64_t patience = loop->session->config.patience;
    return patience > 0 && loop->state.bad_evals >= patience;
}

/* Whether something is done after this step that needs the model as it is then: no later step may
 * have begun. */
static bool is_stop(const train_loop *loop, int64_t step)
{
    const run_config *config = &loop->session->config;
    return is_due(step, config->eval_every, config->steps) ||
           is_due(step, config->save_every, config->steps);
}

/* Waits for the oldest step at work, and does what follows it. */
static mt_status finish_step(train_loop *loop)
{
    step_result result;
    mt_status status = step_collect(loop->queue, &result);
    if (status == MT_OK) {
        loop->state.step++;
        loop->state.symbols += result.symbols;
        status = after_step(loop, &result);
    }
    return status;
}

static mt_status run_steps(train_loop *loop, loop_end *end)
{
    const run_config *config = &loop->session->config;
    mt_status status = MT_OK;
    *end = LOOP_DONE;
    while (loop->state.step < config->steps && status == MT_OK) {
        int64_t last = loop->state.step + step_queue_length(loop->queue); /* enqueued */
        bool may_go_on = last < config->steps && interrupted == 0 && !is_out_of_patience(loop) &&
                         (last == loop->state.step || !is_stop(loop, last));
        if (may_go_on && step_queue_has_room(loop->queue)) {
            status = step_enqueue(loop->queue, mt_schedule_lr(&loop->schedule, last + 1));
            continue;
        }
        if (step_queue_length(loop->queue) > 0) {
            status = finish_step(loop);
        }
        if (status != MT_OK || step_queue_length(loop->queue) > 0) {
            continue;
        }
        if (interrupted != 0) {
            *end = LOOP_INTERRUPTED;
            break;
        }
        if (is_out_of_patience(loop)) {
            *end = LOOP_OUT_OF_PATIENCE;
            break;
        }
    }
    return status == MT_OK && *end != LOOP_DONE ? save(loop, "checkpoint.h5", true) : status;
}

static void say_start(train_loop *loop)
{
    const train_session *session = loop->session;
    const run_config *config = &session->config;
    int64_t A = session->model->config.attention_size;
    progress_say(&loop->progress,
                 "%s %s: %" PRId64 " blocks of size %" PRId64 ", %" PRId64
                 " parameters, %s on %s (%s, %d threads), seed %" PRId64 ", in %s",
                 loop->state.step > 0 ? "going on with" : "training", config->task, config->blocks,
                 config->size, mt_parameters_size(session->model->parameters), config->dtype,
                 mt_device_name(session->device), mt_cpu_isa(), mt_cpu_threads(), config->seed,
                 loop->folder->path);
    if (session->task->describe != NULL) {
        char text[256];
        session->task->describe(session->data, text, sizeof text);
        progress_say(&loop->progress, "%s", text);
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
    const mt_train_state *state = &loop->state;
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

static mt_schedule make_schedule(const run_config *config)
{
    mt_schedule schedule = {.lr = config->lr,
                            .final = config->lr_final,
                            .warmup = config->warmup,
                            .steps = config->steps};
    mt_schedule_parse(config->schedule, &schedule.kind);
    return schedule;
}

static mt_status open_loop(train_loop *loop, const mt_checkpoint *checkpoint)
{
    train_session *session = loop->session;
    const run_config *config = &session->config;
    mt_adam_config adam = mt_adam_config_default();
    adam.clip = config->clip;
    adam.weight_decay = config->weight_decay;
    loop->schedule = make_schedule(config);
    mt_status status = mt_schedule_check(&loop->schedule);
    if (status == MT_OK && checkpoint != NULL && checkpoint->state.step > config->steps) {
        status = mt_fail(MT_ERROR_INVALID, "--steps %" PRId64 ": the run has made %" PRId64,
                         config->steps, checkpoint->state.step);
    }
    if (status == MT_OK) {
        status = mt_adam_create(session->model->parameters, adam, &loop->adam);
    }
    if (status == MT_OK) {
        status = step_queue_open(session, loop->adam, &loop->queue);
    }
    if (status == MT_OK && checkpoint != NULL) {
        loop->state = checkpoint->state;
        status = mt_checkpoint_restore(checkpoint, session->model, loop->adam);
    }
    if (status == MT_OK) {
        status = options_write_yaml(config, &loop->config_text);
    }
    if (status == MT_OK) {
        status =
            checkpoint != NULL
                ? run_folder_resume(loop->folder, checkpoint->state.step, loop->config_text)
                : run_folder_create(config->out, config->task, loop->config_text, loop->folder);
    }
    loop->started = clock_seconds() - loop->state.seconds;
    loop->first_step = loop->state.step;
    loop->symbols_before = loop->state.symbols;
    loop->seconds_before = loop->state.seconds;
    loop->progress = progress_make(loop->folder->log, session->task->language, config->steps);
    return status;
}

/* But for those that the program began with ignoring, as under nohup. */
static void catch_signals(void)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
            sigaction(signals[i], &action, NULL);
        }
    }
    signal(SIGPIPE, SIG_IGN); /* who reads the progress may go away; the run stays */
}

mt_status loop_run(train_session *session, const mt_checkpoint *checkpoint, run_folder *folder,
                   loop_end *end)
{
    train_loop loop = {.session = session, .folder = folder};
    *end = LOOP_DONE;
    mt_status status = open_loop(&loop, checkpoint);
    if (status == MT_OK) {
        catch_signals();
        say_start(&loop);
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
        status = examples_show(session);
    }
    step_queue_close(loop.queue);
    mt_adam_destroy(loop.adam);
    free(loop.config_text);
    return status;
}

int loop_signal(void)
{
    return interrupted;
}
