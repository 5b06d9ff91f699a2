#include "kernels/null.h"
#include "train/objective.h"

#include <inttypes.h>
#include <math.h>

/* Sums over batches. */
typedef struct evaluation_sums {
    double loss, hits, counted;
} evaluation_sums;

static mt_status evaluate_batch(mt_tape *tape, const mt_objective *objective, int64_t index,
                                evaluation_sums *sums)
{
    mt_batch batch;
    mt_tensor *loss, *counts;
    mt_status status = objective_put(objective, tape, index, &batch);
    if (status == MT_OK) {
        status = objective_loss(objective, tape, &batch, &loss, &counts);
    }
    if (status != MT_OK) {
        return status;
    }
    double value, rows[2] = {(double)batch.input->shape[0], NAN};
    status = mt_tensor_read_doubles(loss, &value);
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

static mt_status check_sums(const evaluation_sums *sums, int64_t count)
{
    if (!(sums->counted > 0.0)) {
        return mt_fail(MT_ERROR_INVALID, "nothing is counted in %" PRId64 " batches", count);
    }
    return isfinite(sums->loss) ? MT_OK
                                : mt_fail(MT_ERROR_NUMERIC, "the loss on held-out data is %g",
                                          isnan(sums->loss) ? (double)NAN : sums->loss);
}

mt_status mt_evaluate(mt_tape *tape, const mt_objective *objective, int64_t count,
                      mt_evaluation *evaluation)
{
    if (tape == NULL) {
        return mt_fail_null(__func__);
    }
    evaluation_sums sums = {0.0};
    bool recording = mt_tape_set_recording(tape, false);
    mt_status status = MT_OK;
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        status = evaluate_batch(tape, objective, i, &sums);
    }
    mt_tape_set_recording(tape, recording);
    *evaluation = (mt_evaluation){.loss = sums.loss / sums.counted,
                                  .accuracy = sums.hits / sums.counted,
                                  .counted = (int64_t)sums.counted};
    return status == MT_OK ? check_sums(&sums, count) : status;
}
