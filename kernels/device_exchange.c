#include "kernels/communicator.h"
#include "kernels/device.h"
#include "kernels/nccl_sums.h"

#include <string.h>

enum { PIECE = 1 << 16 }; /* bytes that go through the host's memory at once */

static mt_status first_of(mt_status failed, mt_status status)
{
    return failed == MT_OK ? status : failed;
}

/* ---- through the host's memory; a failure of the device waits until all have had theirs ---- */

static mt_status broadcast_pieces(mt_communicator *communicator, mt_device *device, int root,
                                  size_t bytes, char *memory)
{
    char piece[PIECE] = {0};
    mt_status failed = MT_OK;
    for (size_t at = 0; at < bytes; at += PIECE) {
        size_t size = bytes - at < PIECE ? bytes - at : PIECE;
        if (communicator->rank == root) {
            failed = first_of(failed, device->read_back(device, piece, memory + at, size));
        }
        mt_status status = mt_communicator_broadcast_from(communicator, root, size, piece);
        if (status != MT_OK) {
            return status;
        }
        if (communicator->rank != root) {
            failed = first_of(failed, device->write(device, memory + at, piece, size));
        }
    }
    return failed;
}

static mt_status gather_pieces(mt_communicator *communicator, mt_device *device, size_t part,
                               char *memory)
{
    char own[PIECE] = {0}, all[PIECE];
    const size_t most = PIECE / (size_t)communicator->size;
    mt_status failed = MT_OK;
    for (size_t at = 0; at < part; at += most) {
        size_t size = part - at < most ? part - at : most;
        const char *from = memory + (size_t)communicator->rank * part + at;
        failed = first_of(failed, device->read_back(device, own, from, size));
        mt_status status = mt_communicator_gather(communicator, size, own, all);
        if (status != MT_OK) {
            return status;
        }
        for (int rank = 0; rank < communicator->size; rank++) {
            if (rank != communicator->rank) {
                failed = first_of(failed, device->write(device, memory + (size_t)rank * part + at,
                                                        all + (size_t)rank * size, size));
            }
        }
    }
    return failed;
}

/* ---- by either ---- */

mt_status mt_communicator_broadcast_device(mt_communicator *communicator, mt_device *device,
                                           size_t bytes, void *memory)
{
    mt_nccl_sums *nccl = communicator->nccl;
    if (!mt_nccl_sums_are_of(nccl, device)) {
        return broadcast_pieces(communicator, device, 0, bytes, memory);
    }
    mt_status status = mt_nccl_sums_begin_broadcast(nccl, 0, bytes, memory);
    return first_of(status, mt_nccl_sums_end(nccl));
}

mt_status mt_communicator_spread_device(mt_communicator *communicator, mt_device *device,
                                        size_t part, size_t bytes, void *memory)
{
    mt_nccl_sums *nccl = communicator->nccl;
    const int last = communicator->size - 1;
    char *behind = (char *)memory + (size_t)communicator->size * part;
    const size_t left = bytes - (size_t)communicator->size * part;
    if (!mt_nccl_sums_are_of(nccl, device)) {
        mt_status status = gather_pieces(communicator, device, part, memory);
        return first_of(status, broadcast_pieces(communicator, device, last, left, behind));
    }
    mt_status status = mt_nccl_sums_begin_gather(nccl, part, memory);
    status = first_of(status, mt_nccl_sums_begin_broadcast(nccl, last, left, behind));
    return first_of(status, mt_nccl_sums_end(nccl));
}
