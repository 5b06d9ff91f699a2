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
                                 .tokens = trainer->tokens};
}

/* Waits for a save at work, which may be of the file that is to be written or read; how it ended is
 * still to be asked. */
static void settle(mt_trainer *trainer)
{
    if (trainer->saver != NULL) {
        mt_saver_settle(trainer->saver);
    }
}

/* With the optimiser, or without; by a saver, or at once. */
static mt_status save(mt_trainer *trainer, const char *path, const mt_adam *adam, mt_saver *saver)
{
    mt_status status = trainer->undone ? MT_OK : check_idle(trainer);
    if (status != MT_OK) {
        return status;
    }
    settle(trainer);
    mt_checkpoint_parts parts = trainer_parts(trainer);
    parts.adam = adam;
    parts.tokenizer = trainer->tokenizer;
    return mt_checkpoint_write(path, &parts, saver);
}

mt_status mt_trainer_save(mt_trainer *trainer, const char *path)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    return save(trainer, path, trainer->adam, NULL);
}

mt_status mt_trainer_save_parameters(mt_trainer *trainer, const char *path)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    return save(trainer, path, NULL, NULL);
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
    if (status == MT_OK) {
        status = save(trainer, path, trainer->adam, trainer->saver);
    }
    if (status == MT_ERROR_MEMORY && trainer->saver != NULL) { /* for the copy, it may be */
        mt_saver_release(trainer->saver);
        status = save(trainer, path, trainer->adam, NULL);
    }
    return status;
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
    status = trainer->model != NULL
                 ? mt_checkpoint_restore(checkpoint, trainer->model, trainer->adam)
                 : mt_checkpoint_restore_own(checkpoint, trainer->parameters, trainer->adam);
    if (status == MT_OK) {
        trainer->state = checkpoint->state;
    }
    status = trainer_agree(trainer, status);
    if (status == MT_OK && trainer_shares(trainer)) {
        status = trainer_share_values(trainer);
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
