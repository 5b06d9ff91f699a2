#include "autograd/observe.h"
#include "kernels/null.h"
#include "train/trainer_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* What a batch shows; and the sums over batches. */
typedef struct evaluation_sums {
    double loss, hits, counted;
} evaluation_sums;

/* What is carried from batch to batch; without anything there is no data. */
typedef struct evaluation_carried {
    mt_tensor table;
    int32_t *scratch;
} evaluation_carried;

static mt_status open_carried(mt_tape *tape, const mt_carried *carried, evaluation_carried *opened)
{
    *opened = (evaluation_carried){.scratch = NULL};
    mt_status status = carried_check(carried);
    if (status == MT_OK) {
        status = carried_table_make(mt_tape_device(tape), carried, carried->rows, &opened->table);
    }
    if (status == MT_OK && carried->width > 0) {
        opened->scratch = malloc((size_t)carried->rows * sizeof *opened->scratch);
        status = opened->scratch != NULL
                     ? MT_OK
                     : mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " rows", carried->rows);
    }
    return status;
}

static void close_carried(evaluation_carried *carried)
{
    carried_table_free(&carried->table);
    free(carried->scratch);
}

static mt_status carry_on(evaluation_carried *carried, const mt_tensor *on)
{
    mt_tensor *table = &carried->table;
    return on != NULL
               ? table->device->copy(table->device, table->data, on->data, mt_tensor_bytes(on))
               : MT_OK;
}

static mt_status put_batch(mt_tape *tape, const mt_objective *objective, int64_t index,
                           evaluation_carried *carried, window *put)
{
    mt_tape_reset(tape);
    mt_status status = window_put(objective, tape, index, put);
    return status == MT_OK
               ? window_put_rows(objective, tape, 0, objective->carried.rows, carried->scratch, put)
               : status;
}

static mt_status evaluate_batch(mt_tape *tape, const mt_objective *objective, int64_t index,
                                evaluation_carried *carried, evaluation_sums *shown)
{
    window put;
    windows of = {.objective = objective, .count = 1, .items = &put};
    mt_tensor *loss, *counts, *carried_on;
    mt_status status = put_batch(tape, objective, index, carried, &put);
    if (status == MT_OK) {
        status = windows_loss(&of, tape, &carried->table, &loss, &counts, &carried_on);
    }
    if (status != MT_OK) {
        return status;
    }
    double value, rows[2] = {(double)put.batch.input->shape[0], NAN};
    status = mt_tensor_read_doubles(loss, &value);
    if (status == MT_OK && counts != NULL) {
        status = mt_tensor_read_doubles(counts, rows);
    }
    *shown = (evaluation_sums){.loss = value * rows[0], .hits = rows[1], .counted = rows[0]};
    return status == MT_OK ? carry_on(carried, carried_on) : status;
}

static void add(const evaluation_sums *shown, evaluation_sums *sums)
{
    sums->loss += shown->loss;
    sums->hits += shown->hits;
    sums->counted += shown->counted;
}

static mt_status check_sums(const evaluation_sums *sums, int64_t count)
{
    if (!(sums->counted > 0.0)) {
        return mt_fail(MT_ERROR_INVALID, "nothing is counted in %" PRId64 " batches", count);
    }
    return isfinite(sums->loss) ? MT_OK
                                : mt_fail(MT_ERROR_NUMERIC, "the loss on held-out data is %g",
                                          isnan(sums->loss) ? (double)NAN : sums->loss);
}

static mt_status evaluate_alone(mt_tape *tape, const mt_objective *objective, int64_t count,
                                evaluation_sums *sums)
{
    evaluation_carried carried;
    mt_status status = open_carried(tape, &objective->carried, &carried);
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        evaluation_sums shown;
        status = evaluate_batch(tape, objective, i, &carried, &shown);
        if (status == MT_OK) {
            add(&shown, sums);
        }
    }
    close_carried(&carried);
    return status;
}

/* Batches that carry something have to be one rank's: each evaluates all of them, and all find the
 * same. */
static mt_status evaluate_each(mt_communicator *communicator, mt_tape *tape,
                               const mt_objective *objective, int64_t count, evaluation_sums *sums)
{
    return mt_communicator_agree(communicator, evaluate_alone(tape, objective, count, sums));
}

/* Batch i is rank i mod size's, and what all of them show is added in their order. `all` has room
 * for `each` batches of every rank, `own` for those of this one. */
static mt_status evaluate_together(mt_communicator *communicator, mt_tape *tape,
                                   const mt_objective *objective, int64_t count, int64_t each,
                                   evaluation_sums *own, evaluation_sums *all,
                                   evaluation_sums *sums)
{
    int64_t size = mt_communicator_size(communicator), rank = mt_communicator_rank(communicator);
    mt_status status = MT_OK;
    for (int64_t i = rank; i < count && status == MT_OK; i += size) {
        status = evaluate_batch(tape, objective, i, &(evaluation_carried){.scratch = NULL},
                                &own[i / size]);
    }
    status = mt_communicator_agree(communicator, status);
    if (status == MT_OK) {
        status = mt_communicator_gather(communicator, (size_t)each * sizeof *own, own, all);
    }
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        add(&all[i % size * each + i / size], sums);
    }
    return status;
}

static mt_status evaluate_shared(mt_communicator *communicator, mt_tape *tape,
                                 const mt_objective *objective, int64_t count,
                                 evaluation_sums *sums)
{
    int64_t size = mt_communicator_size(communicator), each = (count + size - 1) / size;
    evaluation_sums *memory = calloc((size_t)((size + 1) * each + 1), sizeof *memory);
    mt_status status = mt_communicator_agree(
        communicator, memory != NULL
                          ? MT_OK
                          : mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " results", count));
    if (status == MT_OK && memory != NULL) {
        status = evaluate_together(communicator, tape, objective, count, each, memory,
                                   memory + each, sums);
    }
    free(memory);
    return status;
}

static mt_status evaluate(mt_communicator *communicator, mt_tape *tape,
                          const mt_objective *objective, int64_t count, mt_evaluation *evaluation)
{
    evaluation_sums sums = {0.0};
    bool recording = mt_tape_set_recording(tape, false);
    bool shared = mt_communicator_size(communicator) > 1;
    mt_status status = !shared ? evaluate_alone(tape, objective, count, &sums)
                       : objective->carried.width > 0
                           ? evaluate_each(communicator, tape, objective, count, &sums)
                           : evaluate_shared(communicator, tape, objective, count, &sums);
    mt_tape_set_recording(tape, recording);
    *evaluation = (mt_evaluation){.loss = sums.loss / sums.counted,
                                  .accuracy = sums.hits / sums.counted,
                                  .counted = (int64_t)sums.counted};
    return status == MT_OK ? check_sums(&sums, count) : status;
}

mt_status mt_evaluate(mt_tape *tape, const mt_objective *objective, int64_t count,
                      mt_evaluation *evaluation)
{
    if (tape == NULL) {
        return mt_fail_null(__func__);
    }
    return evaluate(NULL, tape, objective, count, evaluation);
}

mt_status mt_trainer_evaluate(mt_trainer *trainer, const mt_objective *objective, int64_t count,
                              mt_evaluation *evaluation)
{
    if (trainer == NULL) {
        return mt_fail_null(__func__);
    }
    mt_tape_set_rank(trainer->tape, 0); /* batches are whole */
    return evaluate(trainer->config.communicator, trainer->tape, objective, count, evaluation);
}
