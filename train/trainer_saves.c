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

static mt_status save(mt_trainer *trainer, const char *path, const mt_adam *adam)
{
    mt_status status = trainer->undone ? MT_OK : check_idle(trainer);
    const mt_model_config *config = trainer->model != NULL ? &trainer->model->config : NULL;
    return status == MT_OK
               ? mt_checkpoint_write(path, trainer->parameters, config, adam, &trainer->state,
                                     trainer->run_config, trainer->tokens, trainer->tokenizer)
               : status;
}

mt_status mt_trainer_save(mt_trainer *trainer, const char *path)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    return save(trainer, path, trainer->adam);
}

mt_status mt_trainer_save_parameters(mt_trainer *trainer, const char *path)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    return save(trainer, path, NULL);
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
    return status == MT_ERROR_INVALID ? status : trainer_stick(trainer, status);
}

mt_status mt_trainer_load(mt_trainer *trainer, const char *path)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    mt_checkpoint *checkpoint;
    mt_status status = trainer->model != NULL
                           ? mt_checkpoint_load(path, &checkpoint)
                           : mt_checkpoint_load_own(path, trainer->parameters, &checkpoint);
    if (status == MT_OK) {
        status = mt_trainer_restore(trainer, checkpoint);
        mt_checkpoint_destroy(checkpoint);
    }
    return status;
}
