/* A trainer's checkpoints. */
#include "io/checkpoint_file.h"
#include "kernels/null.h"
#include "train/trainer_internal.h"

#include <inttypes.h>

/* Parameters are neither read nor written while updates are. */
static mt_status check_idle(const mt_trainer *trainer)
{
    mt_status status = trainer_status(trainer);
    return status == MT_OK && trainer->updates > 0
               ? mt_fail(MT_ERROR_INVALID, "trainer: %" PRId64 " updates are at work",
                         trainer->updates)
               : status;
}

mt_checkpoint_parts trainer_parts(const mt_trainer *trainer)
{
    return (mt_checkpoint_parts){.parameters = trainer->parameters,
                                 .config = trainer->model != NULL ? &trainer->model->config : NULL,
                                 .state = &trainer->state,
                                 .run_config = trainer->run_config,
                                 .tokens = trainer->tokens,
                                 .adapter =
                                     trainer->adapter.model != NULL ? &trainer->adapter : NULL};
}

/* Waits for a save at work, which may be of the file that is to be written or read; how it ended is
 * still to be asked. */
static void settle(mt_trainer *trainer)
{
    if (trainer->saver != NULL) {
        mt_saver_settle(trainer->saver);
    }
}

/* A file to write: with the optimiser, or without; by a saver, or at once. */
typedef struct written_file {
    const char *path;
    const mt_adam *adam;
    mt_saver *saver;
} written_file;

static mt_status write_file(mt_trainer *trainer, void *context)
{
    const written_file *file = context;
    mt_status status = mt_communicator_check_sums(trainer->config.communicator, trainer->device);
    if (status != MT_OK) {
        return status;
    }
    settle(trainer);
    mt_checkpoint_parts parts = trainer_parts(trainer);
    parts.adam = file->adam;
    parts.tokenizer = trainer->tokenizer;
    if (file->adam != NULL) { /* what is carried is to be gone on from */
        status = trainer_carried_to_save(trainer, &parts.carried);
    }
    return status == MT_OK ? mt_checkpoint_write(file->path, &parts, file->saver) : status;
}

static mt_status save(mt_trainer *trainer, const char *path, mt_saver *saver)
{
    written_file file = {path, trainer->adam, saver};
    return trainer_with_moments(trainer, trainer->undone ? MT_OK : check_idle(trainer), write_file,
                                &file);
}

mt_status mt_trainer_save(mt_trainer *trainer, const char *path)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    return save(trainer, path, NULL);
}

mt_status mt_trainer_save_parameters(mt_trainer *trainer, const char *path)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    written_file file = {.path = path};
    mt_status status = trainer->undone ? MT_OK : check_idle(trainer);
    return status == MT_OK ? write_file(trainer, &file) : status;
}

static mt_status write_beside(mt_trainer *trainer, void *context)
{
    written_file *file = context;
    mt_status status = write_file(trainer, file);
    if (status == MT_ERROR_MEMORY) { /* for the copy, it may be */
        mt_saver_release(file->saver);
        file->saver = NULL;
        status = write_file(trainer, file);
    }
    return status;
}

mt_status mt_trainer_save_beside(mt_trainer *trainer, const char *path)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_trainer_saved(trainer);
    if (status == MT_OK && trainer->saver == NULL) {
        status = mt_saver_create(&trainer->saver);
    }
    written_file file = {path, trainer->adam, trainer->saver};
    if (status == MT_OK && !trainer->undone) {
        status = check_idle(trainer);
    }
    return trainer_with_moments(trainer, status, write_beside, &file);
}

bool mt_trainer_is_saving(const mt_trainer *trainer)
{
    return trainer != NULL && trainer->saver != NULL && mt_saver_is_busy(trainer->saver);
}

mt_status mt_trainer_saved(mt_trainer *trainer)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    return trainer->saver != NULL ? mt_saver_wait(trainer->saver) : MT_OK;
}

static mt_status restore(mt_trainer *trainer, const mt_checkpoint *checkpoint, mt_adam *adam)
{
    return trainer->model != NULL
               ? mt_checkpoint_restore(checkpoint, trainer->model, adam)
               : mt_checkpoint_restore_own(checkpoint, trainer->parameters, adam);
}

static mt_status restore_all(mt_trainer *trainer, void *context)
{
    return restore(trainer, context, trainer->adam);
}

/* Where moments are split, rank 0 has read those of all before the others look at their files. */
static mt_status restore_shared(mt_trainer *trainer, const mt_checkpoint *checkpoint)
{
    mt_status status = trainer_with_moments(trainer, trainer_check_adapter(trainer, checkpoint),
                                            restore_all, (void *)(uintptr_t)checkpoint);
    bool has_read =
        !trainer_splits(trainer) || mt_communicator_rank(trainer->config.communicator) == 0;
    if (status != MT_OK || has_read) {
        return status;
    }
    status = mt_adam_written_all(trainer->adam);
    return status == MT_OK ? restore(trainer, checkpoint, NULL) : status;
}

/* What does not fit has changed nothing; a file that fails while it is read has. */
mt_status mt_trainer_restore(mt_trainer *trainer, const mt_checkpoint *checkpoint)
{
    if (trainer == NULL || checkpoint == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check_idle(trainer);
    if (status != MT_OK) {
        return status;
    }
    status = trainer_agree(trainer, trainer_carried_read(trainer, checkpoint));
    if (status == MT_OK) {
        status = restore_shared(trainer, checkpoint);
    }
    if (status == MT_OK) {
        trainer->state = checkpoint->state;
    }
    status = trainer_agree(trainer, status);
    if (status == MT_OK && trainer_shares(trainer)) {
        status = trainer_share_values(trainer);
    }
    if (status == MT_OK) {
        status = trainer_carried_take(trainer);
    }
    return status == MT_ERROR_INVALID ? status : trainer_stick(trainer, status);
}

mt_status mt_trainer_load(mt_trainer *trainer, const char *path)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    mt_checkpoint *checkpoint;
    settle(trainer);
    mt_status status = trainer->model != NULL
                           ? mt_checkpoint_load(path, &checkpoint)
                           : mt_checkpoint_load_own(path, trainer->parameters, &checkpoint);
    bool loaded = status == MT_OK;
    status = trainer_agree(trainer, status);
    if (status == MT_OK) {
        status = mt_trainer_restore(trainer, checkpoint);
    }
    if (loaded) {
        mt_checkpoint_destroy(checkpoint);
    }
    return status;
}
