#include "io/checkpoint_file.h"
#include "train/command/loop_internal.h"
#include "train/command/ranks.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

/* By rank 0, with what `all` ranks have, or with its own; unless a rank has failed before. All know
 * how it went. */
static mt_status save(train_loop *loop, mt_status status, const char *name, bool all,
                      mt_status (*write)(mt_trainer *trainer, const char *path))
{
    char path[TEXT_MAX];
    if (status == MT_OK && ranks_is_first()) {
        loop->state->seconds = clock_seconds() - loop->started;
        status = run_folder_check(loop->folder);
    }
    status = ranks_agree(status);
    if (status == MT_OK && (all || ranks_is_first())) {
        status = write(loop->trainer, run_folder_file(loop->folder, name, path));
    }
    return ranks_agree(status);
}

static mt_status go_on_without(train_loop *loop, int64_t step, mt_status status)
{
    if (status == MT_ERROR_IO) {
        progress_say(&loop->progress, "step %" PRId64 ": not saved: %s (the run goes on)", step,
                     mt_error_message());
        status = MT_OK;
    }
    return status;
}

mt_status loop_go_on_without(train_loop *loop, mt_status status)
{
    return go_on_without(loop, loop->state->step, status);
}

/* A checkpoint that has reached the disk is kept, where it is to be. */
static mt_status end_save(train_loop *loop)
{
    mt_status status = mt_trainer_saved(loop->trainer);
    if (status == MT_OK && loop->is_unkept) {
        loop_keep_checkpoint(loop, loop->saving_step);
    }
    loop->is_unkept = false;
    return go_on_without(loop, loop->saving_step, status);
}

mt_status loop_hear_of_save(train_loop *loop)
{
    return mt_trainer_is_saving(loop->trainer) ? MT_OK : end_save(loop);
}

/* Tells how the save before this one ended; the rows up to the checkpoint's step reach the disk
 * before it does. */
static mt_status save_checkpoint(train_loop *loop,
                                 mt_status (*write)(mt_trainer *trainer, const char *path))
{
    mt_status status = end_save(loop);
    loop->saving_step = loop->state->step;
    if (status == MT_OK && ranks_is_first()) {
        status = metrics_flush(&loop->folder->metrics);
    }
    status = save(loop, status, "checkpoint.h5", loop->session->config.split_optimizer, write);
    loop->is_unkept = status == MT_OK;
    return status;
}

mt_status loop_save(train_loop *loop)
{
    return save_checkpoint(loop, mt_trainer_save_beside);
}

mt_status loop_save_now(train_loop *loop)
{
    mt_status status = save_checkpoint(loop, mt_trainer_save);
    return status == MT_OK ? end_save(loop) : status;
}

mt_status loop_save_model(train_loop *loop, const char *name)
{
    return save(loop, MT_OK, name, false, mt_trainer_save_parameters);
}

/* The number of the file that a path leads to; 0: none. */
static ino_t file_at(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_ino : 0;
}

/* Saves the model as the best. If that fails the best is who it was, unless it has the name already
 * and was only not flushed. */
mt_status loop_save_best(train_loop *loop, double loss)
{
    const mt_train_state before = *loop->state;
    char path[TEXT_MAX];
    ino_t former = file_at(run_folder_file(loop->folder, "best.h5", path));
    loop->state->best_loss = loss;
    loop->state->best_step = loop->state->step;
    loop->state->bad_evals = 0;
    mt_status status = loop_save_model(loop, "best.h5");
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
    return at_hand ? loop_save_best(loop, loop->unsaved_loss) : MT_OK;
}

/* `own`: the parameters of which the file alone is read; NULL: with the model of an adapter. */
static mt_status read_file(const char *path, const mt_parameters *own)
{
    mt_checkpoint *read;
    mt_status status =
        own != NULL ? mt_checkpoint_load_own(path, own, &read) : mt_checkpoint_load(path, &read);
    if (status == MT_OK) {
        status = mt_checkpoint_check(read);
        mt_checkpoint_destroy(read);
    }
    return status;
}

/* A model that is not where it was makes no adapter's file worse. */
static mt_status read_back(const train_loop *loop)
{
    char path[TEXT_MAX], reason[2 * TEXT_MAX];
    run_folder_file(loop->folder, "checkpoint.h5", path);
    mt_status status = read_file(path, NULL);
    if (status == MT_OK) {
        return MT_OK;
    }
    snprintf(reason, sizeof reason, "%s", mt_error_message());
    bool adapts = loop->session->model->adapter != NULL;
    return adapts && read_file(path, session_trained(loop->session)) == MT_OK
               ? mt_fail(status, "%s (step %" PRId64 " is saved; --init or --adapter goes on)",
                         reason, loop->state->step)
               : mt_fail(status, "%s (it was written after step %" PRId64 ", but not read back)",
                         reason, loop->state->step);
}

/* The save that a run ends with: the checkpoint is read back. */
mt_status loop_save_last(train_loop *loop)
{
    char reason[2 * TEXT_MAX];
    mt_status best = save_unsaved_best(loop);
    snprintf(reason, sizeof reason, "%s", mt_error_message());
    mt_status status = loop_save_now(loop);
    if (status == MT_OK && ranks_is_first()) {
        status = read_back(loop);
    }
    return status == MT_OK && best != MT_OK ? mt_fail(best, "%s", reason) : status;
}
