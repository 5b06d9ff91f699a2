#include "kernels/communicator.h"

#include "kernels/cpu/cores.h"
#include "kernels/device.h"
#include "kernels/nccl_sums.h"
#include "kernels/null.h"
#include "kernels/start.h"
#include "kernels/tcp/sockets.h"
#include "kernels/tcp/transport.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one process ---- */

static mt_status gather_alone(mt_communicator *communicator, size_t bytes, const void *own,
                              void *all)
{
    (void)communicator;
    memmove(all, own, bytes);
    return MT_OK;
}

static mt_status broadcast_alone(mt_communicator *communicator, int root, size_t bytes,
                                 void *memory)
{
    (void)communicator, (void)root, (void)bytes, (void)memory;
    return MT_OK;
}

static mt_status begin_alone(mt_communicator *communicator, mt_device *device, mt_dtype dtype,
                             int64_t n, void *values)
{
    (void)communicator, (void)device, (void)dtype, (void)n, (void)values;
    return MT_OK;
}

static mt_status end_sums_alone(mt_communicator *communicator, mt_device *device)
{
    (void)communicator, (void)device;
    return MT_OK;
}

static bool is_to_tell_alone(mt_communicator *communicator)
{
    (void)communicator;
    return true;
}

static void end_alone(mt_communicator *communicator, int exit_status)
{
    (void)communicator, (void)exit_status;
}

static void close_alone(mt_communicator *communicator)
{
    free(communicator);
}

mt_status mt_alone_communicator(mt_communicator **communicator)
{
    struct {
        mt_communicator base;
        int vote;
    } *made = calloc(1, sizeof *made);
    const char *forced = getenv("MIXTAPE_NCCL");
    *communicator = NULL;
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "communicator: no memory for %zu bytes", sizeof *made);
    }
    made->base = (mt_communicator){.size = 1,
                                   .gather = gather_alone,
                                   .broadcast = broadcast_alone,
                                   .begin_sum = begin_alone,
                                   .end_sums = end_sums_alone,
                                   .is_to_tell = is_to_tell_alone,
                                   .end_all = end_alone,
                                   .close = close_alone,
                                   .is_forced = forced != NULL && strcmp(forced, "1") == 0,
                                   .votes = &made->vote};
    *communicator = &made->base;
    return MT_OK;
}

/* ---- as many as were started ---- */

static mt_status open_through(const mt_transport *transport, mt_communicator **communicator)
{
    mt_cpu_share_cores(transport->processors, transport->processes);
    return mt_host_communicator(transport, communicator);
}

mt_status mt_communicator_open(mt_communicator **communicator)
{
    mt_start start;
    mt_transport transport;
    if (communicator == NULL) {
        return mt_fail_null(__func__);
    }
    *communicator = NULL;
    mt_status status = mt_start_read(&start);
    if (status != MT_OK) {
        return status;
    }
    if (start.size == 1) {
        return mt_alone_communicator(communicator);
    }
    if (!start.by_mpi) {
        return mt_communicator_open_at(start.rank, start.size, start.address,
                                       MT_COMMUNICATOR_SECONDS, communicator);
    }
    status = mt_mpi_load(start.told, start.size, &transport);
    return status == MT_OK ? open_through(&transport, communicator) : status;
}

mt_status mt_communicator_open_at(int rank, int size, const char *address, double seconds,
                                  mt_communicator **communicator)
{
    mt_transport transport;
    mt_status status = MT_OK;
    if (communicator == NULL) {
        return mt_fail_null(__func__);
    }
    *communicator = NULL;
    if (address == NULL) {
        return mt_fail_null(__func__);
    }
    if (!isfinite(seconds) || seconds < 0.0) {
        return mt_fail(MT_ERROR_INVALID, "communicator: ranks cannot wait %g s for one another",
                       seconds);
    }
    if (rank == -1 && size == 0) {
        status = mt_start_read_rank(&rank, &size);
    }
    if (status == MT_OK) {
        status = mt_start_check(rank, size);
    }
    if (status == MT_OK) {
        status = mt_tcp_check(address);
    }
    if (status != MT_OK) {
        return status;
    }
    if (size == 1) {
        return mt_alone_communicator(communicator);
    }
    status = mt_tcp_open(rank, size, address, seconds, &transport);
    return status == MT_OK ? open_through(&transport, communicator) : status;
}

mt_status mt_communicator_open_device(const mt_communicator *communicator, const char *name,
                                      mt_device **device)
{
    *device = NULL;
    if (communicator == NULL) {
        return mt_fail_null(__func__);
    }
    return mt_device_open_at(name, communicator->place, device);
}

void mt_communicator_close(mt_communicator *communicator)
{
    if (communicator != NULL) {
        mt_nccl_sums_close(communicator->nccl);
        communicator->nccl = NULL;
        communicator->close(communicator);
    }
}

int mt_communicator_rank(const mt_communicator *communicator)
{
    return communicator != NULL ? communicator->rank : 0;
}

int mt_communicator_size(const mt_communicator *communicator)
{
    return communicator != NULL ? communicator->size : 0;
}

/* ---- what they do together ---- */

mt_status mt_communicator_agree(mt_communicator *communicator, mt_status status)
{
    if (communicator == NULL) {
        return mt_fail_null(__func__);
    }
    char message[4096];
    const int own = (int)status, *votes = communicator->votes;
    int first = communicator->size, failed = 0;
    snprintf(message, sizeof message, "%s", status != MT_OK ? mt_error_message() : "");
    communicator->agreed = false;
    status = mt_communicator_gather(communicator, sizeof own, &own, communicator->votes);
    if (status != MT_OK) {
        return status;
    }
    for (int rank = communicator->size - 1; rank >= 0; rank--) {
        first = votes[rank] != MT_OK ? rank : first;
        failed += votes[rank] != MT_OK;
    }
    communicator->agreed = failed > 0;
    if (failed == 0) {
        return MT_OK;
    }
    status = mt_communicator_broadcast_from(communicator, first, sizeof message, message);
    if (status != MT_OK) {
        communicator->agreed = false;
        return status;
    }
    return failed == communicator->size
               ? mt_fail((mt_status)votes[first], "%s", message)
               : mt_fail((mt_status)votes[first], "rank %d: %s", first, message);
}

bool mt_communicator_has_agreed(const mt_communicator *communicator)
{
    return communicator != NULL && communicator->agreed;
}

mt_status mt_communicator_gather(mt_communicator *communicator, size_t bytes, const void *own,
                                 void *all)
{
    if (communicator == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_nccl_sums_check(communicator->nccl);
    if (status == MT_OK) {
        status = communicator->gather(communicator, bytes, own, all);
    }
    return status == MT_OK ? mt_nccl_sums_check(communicator->nccl) : status;
}

mt_status mt_communicator_broadcast(mt_communicator *communicator, size_t bytes, void *memory)
{
    if (communicator == NULL) {
        return mt_fail_null(__func__);
    }
    return mt_communicator_broadcast_from(communicator, 0, bytes, memory);
}

mt_status mt_communicator_broadcast_from(mt_communicator *communicator, int root, size_t bytes,
                                         void *memory)
{
    const size_t most = (size_t)1 << 30; /* as MPI counts in int */
    mt_status status = mt_nccl_sums_check(communicator->nccl);
    for (size_t at = 0; at < bytes && status == MT_OK; at += most) {
        size_t rest = bytes - at;
        status = communicator->broadcast(communicator, root, rest < most ? rest : most,
                                         (char *)memory + at);
    }
    return status;
}

mt_status mt_communicator_begin_sum(mt_communicator *communicator, mt_device *device,
                                    mt_dtype dtype, int64_t n, void *values)
{
    if (communicator == NULL || device == NULL) {
        return mt_fail_null(__func__);
    }
    if (dtype != MT_F32 && dtype != MT_F64) {
        return mt_fail(MT_ERROR_INVALID, "communicator: sums are of f32 or f64, not of %s",
                       mt_dtype_name(dtype));
    }
    return mt_nccl_sums_are_of(communicator->nccl, device)
               ? mt_nccl_sums_begin(communicator->nccl, dtype, n, values)
               : communicator->begin_sum(communicator, device, dtype, n, values);
}

mt_status mt_communicator_end_sums(mt_communicator *communicator, mt_device *device)
{
    if (communicator == NULL || device == NULL) {
        return mt_fail_null(__func__);
    }
    return mt_nccl_sums_are_of(communicator->nccl, device)
               ? mt_nccl_sums_end(communicator->nccl)
               : communicator->end_sums(communicator, device);
}

mt_status mt_communicator_sum(mt_communicator *communicator, mt_device *device, mt_dtype dtype,
                              int64_t n, void *values)
{
    if (communicator == NULL || device == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_communicator_begin_sum(communicator, device, dtype, n, values);
    return status == MT_OK ? mt_communicator_end_sums(communicator, device) : status;
}

/* ---- NCCL ---- */

mt_status mt_communicator_use_device(mt_communicator *communicator, mt_device *device)
{
    if (communicator == NULL || device == NULL) {
        return mt_fail_null(__func__);
    }
    if ((communicator->size == 1 && !communicator->is_forced) ||
        mt_nccl_sums_are_of(communicator->nccl, device)) {
        return MT_OK;
    }
    mt_nccl_sums *sums;
    mt_status status = mt_nccl_sums_check(communicator->nccl);
    if (status == MT_OK) {
        status = mt_nccl_sums_close(communicator->nccl);
        communicator->nccl = NULL;
    }
    if (status != MT_OK) { /* the other ranks may not know, and would open with those that do */
        return status;
    }
    status = mt_nccl_sums_open(communicator, device, &sums);
    if (status == MT_OK) {
        int version = mt_nccl_sums_version(sums);
        communicator->nccl = sums;
        snprintf(communicator->sums, sizeof communicator->sums, "NCCL %d.%d.%d", version / 10000,
                 version / 100 % 100, version % 100);
        return MT_OK;
    }
    snprintf(communicator->sums, sizeof communicator->sums, "the host's memory: %s",
             mt_error_message());
    return communicator->agreed ? mt_communicator_agree(communicator, MT_OK) : status;
}

void mt_communicator_leave_device(mt_communicator *communicator, mt_device *device)
{
    if (communicator != NULL && mt_nccl_sums_are_of(communicator->nccl, device)) {
        mt_nccl_sums_leave_device(communicator->nccl);
    }
}

const char *mt_communicator_sums(const mt_communicator *communicator)
{
    return communicator != NULL ? communicator->sums : "";
}

mt_status mt_communicator_check_sums(mt_communicator *communicator, mt_device *device)
{
    if (communicator == NULL || !mt_nccl_sums_are_of(communicator->nccl, device)) {
        return MT_OK;
    }
    mt_status status = device->synchronize(device);
    return status == MT_OK ? mt_nccl_sums_check(communicator->nccl) : status;
}

bool mt_communicator_is_to_tell(mt_communicator *communicator)
{
    return communicator == NULL || communicator->is_to_tell(communicator);
}

void mt_communicator_end_all(mt_communicator *communicator, int exit_status)
{
    if (communicator != NULL) {
        communicator->end_all(communicator, exit_status);
    }
}
