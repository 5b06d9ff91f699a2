#include <mixtape/trainer.h>

#include <inttypes.h>
#include <math.h>

/* Sums over batches. */
typedef struct evaluation_sums {
    double loss, hits, counted;
} evaluation_sums;

static mt_status evaluate_batch(mt_tape *tape, const mt_objective *objective, int64_t index,
                                evaluation_sums *sums)
{
    mt_batch batch = {NULL};
    mt_tensor *loss = NULL, *counts = NULL;
    mt_tape_reset(tape);
    objective->put(objective->context, tape, index, &batch);
    if (mt_tape_status(tape) == MT_OK) {
        loss = objective->loss(objective->context, tape, &batch, &counts);
    }
    if (loss == NULL) {
        return mt_tape_status(tape) != MT_OK
                   ? mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape))
                   : mt_fail(MT_ERROR_INVALID, "batch %" PRId64 " has no loss", index);
    }
    double value, rows[2] = {(double)batch.input->shape[0], NAN};
    mt_status status = mt_tensor_read_doubles(loss, &value);
    if (status == MT_OK && counts != NULL) {
        status = mt_tensor_read_doubles(counts, rows);
    }
    if (status == MT_OK) {
        sums->loss += value * rows[0];
        sums->counted += rows[0];
        sums->hits += rows[1];
    }
    return status;
}

mt_status mt_evaluate(mt_tape *tape, const mt_objective *objective, int64_t count,
                      mt_evaluation *evaluation)
{
    evaluation_sums sums = {0.0};
    bool recording = mt_tape_set_recording(tape, false);
    mt_status status = MT_OK;
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        status = evaluate_batch(tape, objective, i, &sums);
    }
    mt_tape_set_recording(tape, recording);
    if (status == MT_OK && !isfinite(sums.loss)) {
        status = mt_fail(MT_ERROR_NUMERIC, "the loss on held-out data is %g", sums.loss);
    }
    *evaluation = (mt_evaluation){.loss = sums.loss / sums.counted,
                                  .accuracy = sums.hits / sums.counted,
                                  .counted = (int64_t)sums.counted};
    return status;
}
