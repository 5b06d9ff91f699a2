/* A bad step in a file: kept by the trainer, and repeated. */
#include "io/checkpoint_file.h"
#include "kernels/null.h"
#include "train/inspect.h"
#include "train/trainer_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(MT_KEPT_TENSORS == 3 + MT_BATCH_OTHERS && (int)MT_MOST_KEPT == (int)MT_MOST_WINDOWS,
               "a file holds a batch whole");

/* A window's tensors in the order of the file, and back. */
static void to_kept(const window *at, mt_kept_window *kept)
{
    kept->tensors[0] = at->batch.input;
    kept->tensors[1] = at->batch.target;
    memcpy(kept->tensors + 2, at->batch.others, sizeof at->batch.others);
    kept->tensors[2 + MT_BATCH_OTHERS] = at->rows;
}

static void from_kept(const mt_kept_window *kept, window *at)
{
    *at = (window){.batch = {.input = kept->tensors[0], .target = kept->tensors[1]},
                   .rows = kept->tensors[2 + MT_BATCH_OTHERS]};
    memcpy(at->batch.others, kept->tensors + 2, sizeof at->batch.others);
}

mt_status trainer_keep_batch(const mt_trainer *trainer, mt_tensor *table, int64_t number)
{
    mt_checkpoint_parts parts = trainer_parts(trainer);
    const windows *at_hand = &trainer->at_hand;
    mt_kept_batch kept = {.index = number * at_hand->count,
                          .seed = trainer->config.seed,
                          .count = at_hand->count,
                          .windows = calloc((size_t)at_hand->count, sizeof *kept.windows),
                          .carried = table};
    if (kept.windows == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " windows", at_hand->count);
    }
    for (int64_t k = 0; k < at_hand->count; k++) {
        to_kept(&at_hand->items[k], &kept.windows[k]);
    }
    parts.batch = &kept;
    mt_status status = mt_checkpoint_write(trainer->config.replay_file, &parts, NULL);
    free(kept.windows);
    return status;
}

/* What a batch of a file lacks, or has too much of, to be repeated. */
static mt_status check_batch(const mt_kept_batch *kept)
{
    const mt_tensor *table = kept->carried;
    bool carries = table != NULL && table->rank == 2 && table->shape[0] > 0;
    for (int64_t k = 0; k < kept->count; k++) {
        const mt_kept_window *at = &kept->windows[k];
        const mt_tensor *rows = at->tensors[2 + MT_BATCH_OTHERS];
        if (at->tensors[0] == NULL || at->tensors[0]->rank < 2) {
            return mt_fail(MT_ERROR_FORMAT, "/batch: no input (B, T, ...)");
        }
        if ((rows != NULL) != carries || (kept->count > 1 && !carries)) {
            return mt_fail(MT_ERROR_FORMAT,
                           "/batch: rows without what is carried, or without rows");
        }
    }
    return MT_OK;
}

/* The batch of a file on the tape, as it was when the step went wrong. */
static mt_status put_kept(const mt_checkpoint *checkpoint, mt_tape *tape, windows *of,
                          mt_tensor **table, int64_t *index)
{
    mt_kept_batch kept;
    mt_tape_reset(tape);
    mt_status status = mt_checkpoint_read_batch(checkpoint, tape, &kept);
    if (status == MT_OK) {
        status = check_batch(&kept);
    }
    if (status == MT_OK) {
        of->items = calloc((size_t)kept.count, sizeof *of->items);
        status = of->items != NULL ? mt_tape_set_random(tape, ~kept.seed, (uint64_t)kept.index)
                                   : mt_fail(MT_ERROR_MEMORY, "no memory for a batch");
    }
    for (int64_t k = 0; k < kept.count && status == MT_OK; k++) {
        from_kept(&kept.windows[k], &of->items[k]);
    }
    of->count = kept.count;
    *table = kept.carried;
    *index = kept.index;
    free(kept.windows);
    return status;
}

static mt_status replay(const mt_checkpoint *checkpoint, mt_tape *tape,
                        const mt_objective *objective, mt_parameters *parameters,
                        mt_replayed *replayed)
{
    inspection inspected = {.parameters = parameters};
    windows of = {.objective = objective};
    mt_tensor *table = NULL, *carried_on;
    mt_status status = mt_checkpoint_restore_own(checkpoint, parameters, NULL);
    if (status == MT_OK) {
        status = put_kept(checkpoint, tape, &of, &table, &replayed->batch);
    }
    if (status == MT_OK) {
        mt_parameters_zero_grad(parameters);
        status = inspect_step(&inspected, tape, &of, table, &replayed->loss, &carried_on);
    }
    free(of.items);
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
