#include "train/objective.h"

#include <inttypes.h>

static mt_status status_of(const mt_tape *tape)
{
    return mt_tape_status(tape) == MT_OK ? MT_OK
                                         : mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
}

mt_status objective_put(const mt_objective *objective, mt_tape *tape, int64_t index,
                        mt_batch *batch)
{
    *batch = (mt_batch){NULL};
    objective->put(objective->context, tape, index, batch);
    mt_status status = status_of(tape);
    return status != MT_OK || (batch->input != NULL && batch->input->rank >= 2)
               ? status
               : mt_fail(MT_ERROR_INVALID, "batch %" PRId64 " has no input (B, T, ...)", index);
}

/* One number of the parameters' type, or two. */
static mt_status check_reals(const mt_tensor *tensor, mt_dtype dtype, int64_t count,
                             const char *what)
{
    char shape[96];
    if (tensor != NULL && tensor->dtype != dtype) {
        return mt_fail(MT_ERROR_INVALID, "%s is %s, where %s is expected", what,
                       mt_dtype_name(tensor->dtype), mt_dtype_name(dtype));
    }
    return tensor == NULL || mt_tensor_count(tensor) == count
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "%s has shape %s, where %" PRId64 " is expected", what,
                         mt_tensor_shape_text(tensor, shape, sizeof shape), count);
}

mt_status objective_loss(const mt_objective *objective, mt_tape *tape, const mt_batch *batch,
                         mt_tensor **loss, mt_tensor **counts)
{
    *counts = NULL;
    *loss = objective->loss(objective->context, tape, batch, counts);
    mt_status status = status_of(tape);
    if (status == MT_OK && *loss == NULL) {
        status = mt_fail(MT_ERROR_INVALID, "the batch has no loss");
    }
    mt_dtype dtype = status == MT_OK && (*loss)->dtype == MT_F64 ? MT_F64 : MT_F32;
    if (status == MT_OK) {
        status = check_reals(*loss, dtype, 1, "the loss");
    }
    return status == MT_OK ? check_reals(*counts, dtype, 2, "the counts of a loss, rows and hits,")
                           : status;
}
