/* What a trainer carries from batch to batch: rows on the device, which an update replaces where it
 * was made; and the same rows of all ranks on the host, for checkpoints and bad steps. */
#include "kernels/communicator.h"
#include "train/trainer_internal.h"

#include <float.h>
#include <inttypes.h>
#include <stdlib.h>

static size_t row_bytes(const mt_carried *carried)
{
    return (size_t)carried->width * mt_dtype_size(carried->dtype);
}

static mt_status allocate(mt_trainer *trainer)
{
    mt_device *device = trainer->device;
    const mt_carried *shape = &trainer->objective.carried;
    trainer_carried *carried = &trainer->carried;
    size_t bytes = (size_t)(shape->rows + carried->rows) * row_bytes(shape);
    carried->scratch = calloc((size_t)shape->rows, sizeof *carried->scratch);
    carried->whole = malloc(bytes);
    if (carried->scratch == NULL || carried->whole == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "trainer: no memory for the %zu bytes that are carried",
                       bytes);
    }
    mt_status status =
        device->allocate(device, sizeof *carried->squares, (void **)&carried->squares);
    if (status == MT_OK) {
        status = carried_table_make(device, shape, carried->rows, &carried->kept);
    }
    if (status == MT_OK && trainer->config.accumulate > 1) {
        status = carried_table_make(device, shape, carried->rows, &carried->next);
    }
    return status;
}

mt_status trainer_carried_open(mt_trainer *trainer)
{
    mt_carried *carried = &trainer->objective.carried;
    int64_t ranks =
        trainer_shares(trainer) ? mt_communicator_size(trainer->config.communicator) : 1;
    mt_status status = carried_check(carried);
    if (status != MT_OK || carried->width == 0) {
        return status;
    }
    if (carried->rows % ranks != 0) {
        return mt_fail(MT_ERROR_INVALID,
                       "a batch of %" PRId64 " rows cannot be shared by %" PRId64 " processes",
                       carried->rows, ranks);
    }
    trainer->carried.rows = carried->rows / ranks;
    status = allocate(trainer);
    carried->empty = NULL; /* the tables have it now, and the program may free it */
    return status;
}

void trainer_carried_close(mt_trainer *trainer)
{
    trainer_carried *carried = &trainer->carried;
    carried_table_free(&carried->kept);
    carried_table_free(&carried->next);
    trainer->device->release(trainer->device, carried->squares);
    free(carried->scratch);
    free(carried->whole);
}

/* ---- from batch to batch ---- */

mt_tensor *trainer_carried_before(mt_trainer *trainer, bool first)
{
    trainer_carried *carried = &trainer->carried;
    return !trainer_carries(trainer) ? NULL : first ? &carried->kept : &carried->next;
}

mt_status trainer_carried_sum(mt_trainer *trainer, const mt_tensor *carried_on)
{
    return trainer_carries(trainer) ? trainer->device->kernels[carried_on->dtype]->sum_squares(
                                          trainer->device, mt_tensor_count(carried_on),
                                          carried_on->data, trainer->carried.squares)
                                    : MT_OK;
}

mt_status trainer_carried_watch(mt_trainer *trainer, const mt_tensor *carried_on)
{
    mt_status status = trainer_carried_sum(trainer, carried_on);
    return status == MT_OK && trainer_carries(trainer)
               ? trainer->device->kernels[MT_F64]->watch(
                     trainer->device, DBL_MAX, trainer->carried.squares, trainer->adam->halt)
               : status;
}

mt_status trainer_carried_pass(mt_trainer *trainer, const mt_tensor *carried_on)
{
    return trainer_carries(trainer)
               ? trainer->device->copy(trainer->device, trainer->carried.next.data,
                                       carried_on->data, mt_tensor_bytes(carried_on))
               : MT_OK;
}

mt_status trainer_carried_keep(mt_trainer *trainer, const mt_tensor *carried_on)
{
    return trainer_carries(trainer)
               ? trainer->device->kernels[carried_on->dtype]->commit(
                     trainer->device, mt_tensor_count(carried_on), trainer->adam->halt,
                     carried_on->data, trainer->carried.kept.data)
               : MT_OK;
}

/* ---- on the host ---- */

mt_status trainer_carried_gather(mt_trainer *trainer)
{
    mt_communicator *communicator = trainer->config.communicator;
    trainer_carried *carried = &trainer->carried;
    if (!trainer_carries(trainer) || carried->is_gathered) {
        return MT_OK;
    }
    const mt_carried *shape = &trainer->objective.carried;
    size_t bytes = (size_t)carried->rows * row_bytes(shape);
    bool shares = trainer_shares(trainer);
    char *own = carried->whole + (shares ? (size_t)shape->rows * row_bytes(shape) : 0);
    mt_status status = trainer->device->read_back(trainer->device, own, carried->kept.data, bytes);
    status = trainer_agree(trainer, status);
    if (status == MT_OK && shares) {
        status = mt_communicator_gather(communicator, bytes, own, carried->whole);
    }
    carried->is_gathered = status == MT_OK;
    return status;
}

mt_status trainer_carried_to_save(mt_trainer *trainer, mt_carried_rows *saved)
{
    const mt_carried *shape = &trainer->objective.carried;
    const trainer_carried *carried = &trainer->carried;
    *saved = (mt_carried_rows){.rows = 0};
    if (!trainer_carries(trainer)) {
        return MT_OK;
    }
    if (trainer_shares(trainer) && !carried->is_gathered) {
        return mt_fail(MT_ERROR_INVALID, "trainer: what the ranks carry is gathered when a run "
                                         "ends: it can be saved then");
    }
    mt_status status = trainer_carried_gather(trainer);
    *saved = (mt_carried_rows){.dtype = shape->dtype,
                               .rows = shape->rows,
                               .width = shape->width,
                               .values = carried->whole};
    return status;
}

mt_status trainer_carried_read(mt_trainer *trainer, const mt_checkpoint *checkpoint)
{
    const mt_carried *shape = &trainer->objective.carried;
    trainer->carried.is_gathered = false; /* until it is this rank's, too */
    return mt_checkpoint_read_carried(checkpoint, shape->dtype, shape->rows, shape->width,
                                      trainer->carried.whole);
}

mt_status trainer_carried_take(mt_trainer *trainer)
{
    mt_communicator *communicator = trainer->config.communicator;
    trainer_carried *carried = &trainer->carried;
    if (!trainer_carries(trainer)) {
        return MT_OK;
    }
    const mt_carried *shape = &trainer->objective.carried;
    size_t bytes = (size_t)carried->rows * row_bytes(shape);
    int rank = mt_communicator_rank(communicator);
    mt_status status =
        trainer_shares(trainer)
            ? mt_communicator_broadcast(communicator, (size_t)shape->rows * row_bytes(shape),
                                        carried->whole)
            : MT_OK;
    if (status == MT_OK) {
        status = trainer->device->write(trainer->device, carried->kept.data,
                                        carried->whole + (size_t)rank * bytes, bytes);
    }
    status = trainer_agree(trainer, status);
    carried->is_gathered = status == MT_OK;
    return status;
}
