/* Adam's moments split over ranks: each has those of its part of the parameters, updates that part,
 * and gives it to all (Rajbhandari et al. 2020, ZeRO, stage 1). An update is one of elements, so
 * that the bits are those of a run whose ranks all have all moments.
 *
 * Files are rank 0's, and have them whole. While it writes or reads one, the others serve it: it
 * asks all for a stretch of moments at a time, and whoever has some of them gives them, or takes
 * them. So no rank needs memory for more than its part. */
#include "train/trainer_internal.h"

#include "kernels/communicator.h"

#include <stdlib.h>

enum { STRETCH_BYTES = 1 << 16, UNIT = 64 };

typedef enum moments_order { SERVE_NO_MORE, READ_MOMENTS, WRITE_MOMENTS } moments_order;

/* What rank 0 asks for. */
typedef struct moments_request {
    int32_t order, which;
    int64_t first, n; /* elements of the block, of at most STRETCH_BYTES */
} moments_request;

/* Elements of each part but the last rank's, which is all from there on. */
static int64_t part_of(const mt_trainer *trainer)
{
    const int64_t ranks = mt_communicator_size(trainer->config.communicator);
    return trainer->parameters->total / ranks / UNIT * UNIT;
}

/* Where a rank's part begins; that of the rank behind the last one is where all ends. */
static int64_t part_begins(const mt_trainer *trainer, int rank)
{
    return rank == mt_communicator_size(trainer->config.communicator) ? trainer->parameters->total
                                                                      : rank * part_of(trainer);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- moments of all ranks ---- */

/* A stretch of moments goes to all ranks from those that have it, or from rank 0 to those. All know
 * it where a rank's device fails, which keeps no other waiting. */
static mt_status exchange(mt_trainer *trainer, const moments_request *request, char *values)
{
    const mt_adam *adam = trainer->adam;
    mt_communicator *communicator = trainer->config.communicator;
    const size_t size = mt_dtype_size(trainer->parameters->dtype);
    const int64_t end = request->first + request->n;
    mt_status failed = MT_OK;
    int owner = 0;
    for (int64_t at = request->first, stop; at < end; at = stop) {
        while (at >= part_begins(trainer, owner + 1)) {
            owner++;
        }
        stop = least(end, part_begins(trainer, owner + 1));
        char *some = values + (size_t)(at - request->first) * size;
        bool is_own = owner == communicator->rank, reads = request->order == READ_MOMENTS;
        mt_status status = MT_OK;
        if (is_own && reads) {
            status = mt_adam_read_own(adam, (mt_moment)request->which, at, stop - at, some);
        }
        failed = failed == MT_OK ? status : failed;
        status = mt_communicator_broadcast_from(communicator, reads ? owner : 0,
                                                (size_t)(stop - at) * size, some);
        if (status != MT_OK) {
            return status;
        }
        if (is_own && !reads) {
            status = mt_adam_write_own(adam, (mt_moment)request->which, at, stop - at, some);
        }
        failed = failed == MT_OK ? status : failed;
    }
    return mt_communicator_agree(communicator, failed);
}

/* By rank 0: asks for n elements, in stretches. */
static mt_status ask(mt_trainer *trainer, moments_order order, mt_moment which, int64_t first,
                     int64_t n, char *values)
{
    const size_t size = mt_dtype_size(trainer->parameters->dtype);
    const int64_t most = STRETCH_BYTES / (int64_t)size;
    mt_status status = MT_OK;
    for (int64_t at = 0; at < n && status == MT_OK; at += most) {
        moments_request request = {(int32_t)order, (int32_t)which, first + at, least(most, n - at)};
        status = mt_communicator_broadcast(trainer->config.communicator, sizeof request, &request);
        if (status == MT_OK) {
            status = exchange(trainer, &request, values + (size_t)at * size);
        }
    }
    return status;
}

static mt_status read_moments(void *context, mt_moment which, int64_t first, int64_t n,
                              void *values)
{
    return ask(context, READ_MOMENTS, which, first, n, values);
}

static mt_status write_moments(void *context, mt_moment which, int64_t first, int64_t n,
                               const void *values)
{
    return ask(context, WRITE_MOMENTS, which, first, n, (char *)(uintptr_t)values);
}

/* Serves rank 0 until it needs no more. */
static mt_status serve(mt_trainer *trainer)
{
    char values[STRETCH_BYTES];
    moments_request request;
    mt_status failed = MT_OK;
    for (;;) {
        mt_status status =
            mt_communicator_broadcast(trainer->config.communicator, sizeof request, &request);
        if (status != MT_OK || request.order == SERVE_NO_MORE) {
            return status == MT_OK ? failed : status;
        }
        status = exchange(trainer, &request, values);
        failed = failed == MT_OK ? status : failed;
    }
}

bool trainer_splits(const mt_trainer *trainer)
{
    return trainer->config.split_optimizer && trainer_shares(trainer);
}

mt_status trainer_create_part(mt_trainer *trainer)
{
    const int rank = mt_communicator_rank(trainer->config.communicator);
    const int64_t first = part_begins(trainer, rank), end = part_begins(trainer, rank + 1);
    trainer->moments = (mt_moments_access){read_moments, write_moments, trainer};
    return mt_adam_create_part(trainer->parameters, trainer->config.adam, first, end - first,
                               &trainer->moments, &trainer->adam);
}

mt_status trainer_with_moments(mt_trainer *trainer, mt_status status,
                               mt_status (*use)(mt_trainer *trainer, void *context), void *context)
{
    moments_request none = {.order = SERVE_NO_MORE};
    if (!trainer_splits(trainer)) {
        return status == MT_OK ? use(trainer, context) : status;
    }
    status = trainer_agree(trainer, status);
    if (status != MT_OK) {
        return status;
    }
    if (mt_communicator_rank(trainer->config.communicator) > 0) {
        status = serve(trainer);
    } else {
        status = use(trainer, context);
        mt_communicator_broadcast(trainer->config.communicator, sizeof none, &none);
    }
    return trainer_agree(trainer, status);
}

/* ---- after an update ---- */

mt_status trainer_spread_parts(mt_trainer *trainer)
{
    const mt_parameters *parameters = trainer->parameters;
    const size_t size = mt_dtype_size(parameters->dtype);
    mt_status status = mt_communicator_spread_device(
        trainer->config.communicator, trainer->device, (size_t)part_of(trainer) * size,
        (size_t)parameters->total * size, parameters->data);
    return status == MT_OK ? mt_parameters_renew_narrow(parameters) : status;
}
