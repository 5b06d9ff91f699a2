/* A bad step in a file: kept by the trainer, and repeated. */
#include "io/checkpoint_file.h"
#include "kernels/null.h"
#include "train/inspect.h"
#include "train/trainer_internal.h"

#include <stdio.h>
#include <string.h>

_Static_assert(MT_KEPT_TENSORS == 2 + MT_BATCH_OTHERS, "a file holds a batch whole");

mt_status trainer_keep_batch(const mt_trainer *trainer, const mt_batch *batch, int64_t index)
{
    mt_checkpoint_parts parts = trainer_parts(trainer);
    mt_kept_batch kept = {
        .index = index, .seed = trainer->config.seed, .tensors = {batch->input, batch->target}};
    memcpy(kept.tensors + 2, batch->others, sizeof batch->others);
    parts.batch = &kept;
    return mt_checkpoint_write(trainer->config.replay_file, &parts, NULL);
}

/* The batch of a file on the tape, as it was when the step went wrong. */
static mt_status put_kept(const mt_checkpoint *checkpoint, mt_tape *tape, mt_batch *batch,
                          int64_t *index)
{
    mt_kept_batch kept;
    mt_tape_reset(tape);
    mt_status status = mt_checkpoint_read_batch(checkpoint, tape, &kept);
    if (status != MT_OK) {
        return status;
    }
    *index = kept.index;
    *batch = (mt_batch){.input = kept.tensors[0], .target = kept.tensors[1]};
    memcpy(batch->others, kept.tensors + 2, sizeof batch->others);
    return batch->input != NULL && batch->input->rank >= 2
               ? mt_tape_set_random(tape, ~kept.seed, (uint64_t)kept.index)
               : mt_fail(MT_ERROR_FORMAT, "/batch: no input (B, T, ...)");
}

static mt_status replay(const mt_checkpoint *checkpoint, mt_tape *tape,
                        const mt_objective *objective, mt_parameters *parameters,
                        mt_replayed *replayed)
{
    inspection inspected = {.parameters = parameters};
    mt_batch batch;
    mt_status status = mt_checkpoint_restore_own(checkpoint, parameters, NULL);
    if (status == MT_OK) {
        status = put_kept(checkpoint, tape, &batch, &replayed->batch);
    }
    if (status == MT_OK) {
        mt_parameters_zero_grad(parameters);
        status = inspect_step(&inspected, tape, objective, &batch, &replayed->loss);
    }
    replayed->step = checkpoint->state.step + 1;
    snprintf(replayed->found, sizeof replayed->found, "%s", inspected.text);
    return status;
}

mt_status mt_replay(const char *path, mt_tape *tape, const mt_objective *objective,
                    mt_parameters *parameters, mt_replayed *replayed)
{
    mt_checkpoint *checkpoint;
    *replayed = (mt_replayed){.step = 0};
    if (tape == NULL || parameters == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_checkpoint_load_own(path, parameters, &checkpoint);
    if (status == MT_OK) {
        status = replay(checkpoint, tape, objective, parameters, replayed);
        mt_checkpoint_destroy(checkpoint);
    }
    return status;
}
