/* What the ranks of a communicator do together in an update. Each makes the batch whole and keeps
 * its share of the rows, so that no task needs to know of ranks. They tell one another how that
 * went before they go on: a rank that fails alone keeps no other waiting. */
#include "train/trainer_internal.h"

#include "autograd/observe.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the start ---- */

/* What has to be alike before anything is exchanged. */
typedef struct share_shape {
    int64_t total;
    int32_t count, dtype;
} share_shape;

static mt_status compare_shapes(const mt_trainer *trainer)
{
    mt_communicator *communicator = trainer->config.communicator;
    const mt_parameters *parameters = trainer->parameters;
    const share_shape own = {parameters->total, parameters->count, (int32_t)parameters->dtype};
    share_shape first = own;
    mt_status status = mt_communicator_broadcast(communicator, sizeof first, &first);
    if (status == MT_OK &&
        (own.total != first.total || own.count != first.count || own.dtype != first.dtype)) {
        status = mt_fail(MT_ERROR_INVALID,
                         "%" PRId32 " parameters of %s, %" PRId64
                         " elements, and on rank 0 %" PRId32 " of %s, %" PRId64,
                         own.count, mt_dtype_name((mt_dtype)own.dtype), own.total, first.count,
                         mt_dtype_name((mt_dtype)first.dtype), first.total);
    }
    return mt_communicator_agree(communicator, status);
}

mt_status trainer_share_start(mt_trainer *trainer)
{
    trainer->votes = calloc((size_t)trainer->config.communicator->size, sizeof *trainer->votes);
    mt_status status =
        trainer->votes != NULL ? MT_OK : mt_fail(MT_ERROR_MEMORY, "trainer: no memory for votes");
    if (status == MT_OK) {
        status =
            grad_pieces_create(trainer->parameters, trainer->config.communicator, &trainer->pieces);
    }
    status = mt_communicator_agree(trainer->config.communicator, status);
    if (status == MT_OK) {
        status = mt_communicator_use_device(trainer->config.communicator, trainer->device);
    }
    if (status == MT_OK) {
        status = compare_shapes(trainer);
    }
    return status == MT_OK ? trainer_share_values(trainer) : status;
}

mt_status trainer_share_values(mt_trainer *trainer)
{
    mt_communicator *communicator = trainer->config.communicator;
    const mt_parameters *parameters = trainer->parameters;
    size_t bytes = (size_t)parameters->total * mt_dtype_size(parameters->dtype);
    void *const blocks[] = {parameters->data, trainer->adam->m, trainer->adam->v};
    mt_status status =
        mt_communicator_broadcast(communicator, sizeof trainer->adam->step, &trainer->adam->step);
    const int count = trainer_splits(trainer) || mt_adam_is_blank(trainer->adam) ? 1 : 3;
    for (int i = 0; i < count && status == MT_OK; i++) {
        status = mt_communicator_broadcast_device(communicator, trainer->device, bytes, blocks[i]);
    }
    if (status == MT_OK) {
        status = mt_communicator_broadcast(communicator, sizeof trainer->state, &trainer->state);
    }
    if (status == MT_OK) {
        status = mt_parameters_renew_narrow(parameters);
    }
    return mt_communicator_agree(communicator, status);
}

/* ---- a batch ---- */

/* The rank's rows of a tensor whose first dimension has those of the batch. */
static mt_status take_rows(mt_trainer *trainer, int64_t B, const char *what, mt_tensor **tensor)
{
    const mt_communicator *communicator = trainer->config.communicator;
    const mt_tensor *whole = *tensor;
    int64_t shape[MT_MAX_RANK];
    char text[96];
    if (whole == NULL) {
        return MT_OK;
    }
    if (whole->rank < 1 || whole->shape[0] != B) {
        return mt_fail(MT_ERROR_INVALID,
                       "the batch's %s %s cannot be shared: its rows are not the %" PRId64
                       " of the input",
                       what, mt_tensor_shape_text(whole, text, sizeof text), B);
    }
    for (int i = 0; i < whole->rank; i++) {
        shape[i] = i == 0 ? B / communicator->size : whole->shape[i];
    }
    mt_tensor *share = mt_tape_input(trainer->tape, whole->dtype, whole->rank, shape, NULL, false);
    if (share == NULL) {
        return mt_fail(mt_tape_status(trainer->tape), "%s", mt_tape_error(trainer->tape));
    }
    size_t bytes = mt_tensor_bytes(share);
    *tensor = share;
    return trainer->device->copy(trainer->device, share->data,
                                 (const char *)whole->data + (size_t)communicator->rank * bytes,
                                 bytes);
}

mt_status trainer_take_share(mt_trainer *trainer, mt_batch *batch)
{
    int64_t B = batch->input->shape[0], ranks = trainer->config.communicator->size;
    if (B % ranks != 0) {
        return mt_fail(MT_ERROR_INVALID,
                       "a batch of %" PRId64 " rows cannot be shared by %" PRId64 " processes", B,
                       ranks);
    }
    mt_status status = take_rows(trainer, B, "input", &batch->input);
    if (status == MT_OK) {
        status = take_rows(trainer, B, "target", &batch->target);
    }
    for (int i = 0; i < MT_BATCH_OTHERS && status == MT_OK; i++) {
        char what[32];
        snprintf(what, sizeof what, "tensor %d", i);
        status = take_rows(trainer, B, what, &batch->others[i]);
    }
    return status;
}

/* 0, or no number where what is carried on is not finite. */
static mt_status vote_carried(mt_trainer *trainer, const mt_tensor *carried_on, double *vote)
{
    double squares = 0.0;
    mt_status status = trainer_carried_sum(trainer, carried_on);
    if (status == MT_OK && trainer_carries(trainer)) {
        status = trainer->device->read_back(trainer->device, &squares, trainer->carried.squares,
                                            sizeof squares);
    }
    *vote = 0.0 * squares;
    return status;
}

/* What this rank tells of its share. */
static batch_vote vote_of(mt_trainer *trainer, mt_status status, const mt_tensor *loss,
                          const mt_tensor *counts, const mt_tensor *carried_on)
{
    double value = 0.0, rows[2] = {0.0, NAN}, carried = 0.0;
    if (status == MT_OK) {
        rows[0] = (double)trainer->at_hand.items[0].batch.input->shape[0];
        status = mt_tensor_read_doubles(loss, &value);
    }
    if (status == MT_OK && counts != NULL) {
        status = mt_tensor_read_doubles(counts, rows);
    }
    if (status == MT_OK) {
        status = vote_carried(trainer, carried_on, &carried);
    }
    return (batch_vote){.status = (int32_t)status,
                        .lacks_batch = trainer->lacks_batch,
                        .loss = value,
                        .counted = rows[0],
                        .hits = rows[1],
                        .carried = carried};
}

mt_status trainer_vote(mt_trainer *trainer, mt_status status, const mt_tensor *loss,
                       const mt_tensor *counts, const mt_tensor *carried_on, batch_vote *whole)
{
    mt_communicator *communicator = trainer->config.communicator;
    const batch_vote own = vote_of(trainer, status, loss, counts, carried_on);
    bool fails = false, sticks = false;
    status = (mt_status)own.status;
    *whole = (batch_vote){0};
    mt_status gathered = mt_communicator_gather(communicator, sizeof own, &own, trainer->votes);
    if (gathered != MT_OK) {
        return gathered;
    }
    for (int rank = 0; rank < communicator->size; rank++) {
        const batch_vote *vote = &trainer->votes[rank];
        fails = fails || vote->status != MT_OK;
        sticks = sticks || (vote->status != MT_OK && !vote->lacks_batch);
        whole->counted += vote->counted;
        whole->hits += vote->hits;
        whole->carried += vote->carried;
        whole->loss += vote->counted * vote->loss;
    }
    trainer->lacks_batch = fails && !sticks;
    /* The rows that are counted tell how much of the mean loss is this rank's. */
    whole->share = whole->counted > 0.0 ? own.counted / whole->counted : 0.0;
    whole->loss = whole->counted > 0.0 ? whole->loss / whole->counted : whole->loss;
    return fails ? mt_communicator_agree(communicator, status) : MT_OK;
}

mt_status trainer_meet(mt_trainer *trainer, mt_status status)
{
    mt_communicator *communicator = trainer->config.communicator;
    const batch_vote own = {.status = (int32_t)status, .stopped = trainer->stopped != 0};
    bool fails = false;
    mt_status gathered = mt_communicator_gather(communicator, sizeof own, &own, trainer->votes);
    if (gathered != MT_OK) {
        return gathered;
    }
    for (int rank = 0; rank < communicator->size; rank++) {
        fails = fails || trainer->votes[rank].status != MT_OK;
        trainer->all_stop = trainer->all_stop || trainer->votes[rank].stopped;
    }
    return fails ? mt_communicator_agree(communicator, status) : MT_OK;
}
