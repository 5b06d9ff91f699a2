/* Copies to, from and on the device, and waiting for it. */
#include "kernels/cuda/cuda.cuh"
#include "kernels/transducer_formulas.h"

#include <string.h>

namespace mt_cuda
{

namespace
{

/* Reports what a kernel found, once. */
mt_status report_finding(cuda_device *cuda)
{
    finding *shared = cuda->findings.found;
    if (__atomic_load_n(&shared->written, __ATOMIC_ACQUIRE) != shared->round) {
        return MT_OK;
    }
    finding found = *shared;
    __atomic_store_n(&shared->round, found.round + 1, __ATOMIC_RELEASE);
    if (found.kind > TRANSDUCER_FAULT) {
        return mt_transducer_fail(static_cast<mt_transducer_fault>(found.kind - TRANSDUCER_FAULT),
                                  found.value, found.row, found.position, found.limit);
    }
    return found.kind == WRONG_INDEX
               ? mt_fail(MT_ERROR_INVALID, "embedding: index %lld at %lld, not in 0 .. %lld",
                         static_cast<long long>(found.value),
                         static_cast<long long>(found.position),
                         static_cast<long long>(found.limit - 1))
               : mt_fail(MT_ERROR_INVALID, "cross_entropy: target %lld at %lld, not in 0 .. %lld",
                         static_cast<long long>(found.value),
                         static_cast<long long>(found.position),
                         static_cast<long long>(found.limit - 1));
}

/* A place for `bytes` in the pinned memory. The other half is taken once the device has read what
 * was put there. */
mt_status stage(cuda_device *cuda, size_t bytes, unsigned char **place)
{
    staging_area *staging = &cuda->staging;
    if (staging->used + bytes > STAGING_HALF) {
        mt_status status =
            check(cudaEventRecord(staging->free_again[staging->half], cuda->stream), "copying");
        staging->half = (staging->half + 1) % STAGING_HALVES;
        staging->used = 0;
        if (status == MT_OK) {
            status = check(cudaEventSynchronize(staging->free_again[staging->half]), "copying");
        }
        if (status != MT_OK) {
            return status;
        }
    }
    *place = staging->memory + static_cast<size_t>(staging->half) * STAGING_HALF + staging->used;
    staging->used += (bytes + 15) / 16 * 16;
    return MT_OK;
}

/* `what` names it in a trace and in an error. */
mt_status move(mt_device *device, const char *what, void *to, const void *from, size_t bytes,
               cudaMemcpyKind kind)
{
    return enqueue(device, what, [=] {
        return check(cudaMemcpyAsync(to, from, bytes, kind, of(device)->stream), what);
    });
}

} // namespace

mt_status synchronize(mt_device *device)
{
    mt_status status = use(device);
    if (status == MT_OK) {
        status = check(cudaStreamSynchronize(of(device)->stream), "waiting for the device");
    }
    return status == MT_OK ? report_finding(of(device)) : status;
}

mt_status write(mt_device *device, void *device_memory, const void *host_memory, size_t bytes)
{
    unsigned char *to = static_cast<unsigned char *>(device_memory), *place;
    const unsigned char *from = static_cast<const unsigned char *>(host_memory);
    mt_status status = use(device);
    while (bytes > 0 && status == MT_OK) {
        size_t part = bytes < STAGING_HALF ? bytes : STAGING_HALF;
        status = stage(of(device), part, &place);
        if (status == MT_OK) {
            memcpy(place, from, part);
            status = move(device, "copying to the device", to, place, part, cudaMemcpyHostToDevice);
        }
        to += part;
        from += part;
        bytes -= part;
    }
    return status;
}

mt_status read_back(mt_device *device, void *host_memory, const void *device_memory, size_t bytes)
{
    mt_status status = move(device, "copying from the device", host_memory, device_memory, bytes,
                            cudaMemcpyDeviceToHost);
    return status == MT_OK ? synchronize(device) : status;
}

mt_status copy(mt_device *device, void *to, const void *from, size_t bytes)
{
    return move(device, "copying on the device", to, from, bytes, cudaMemcpyDeviceToDevice);
}

mt_status zero(mt_device *device, void *memory, size_t bytes)
{
    return clear(device, "clearing memory", memory, 0, bytes);
}

mt_status poison(mt_device *device, void *memory, size_t bytes)
{
    mt_status status = use(device);
    return status == MT_OK
               ? check(cudaMemsetAsync(memory, 0xFF, bytes, of(device)->stream), "poisoning memory")
               : status;
}

mt_status read_later(mt_device *device, int slot, const void *device_memory, size_t bytes)
{
    cuda_device *cuda = of(device);
    mt_status status =
        move(device, "copying from the device", cuda->read_slots + slot * MT_READ_BYTES,
             device_memory, bytes, cudaMemcpyDeviceToHost);
    return status != MT_OK ? status
                           : check(cudaEventRecord(cuda->slot_filled[slot], cuda->stream),
                                   "copying from the device");
}

mt_status read_arrived(mt_device *device, int slot, void *host_memory, size_t bytes)
{
    cuda_device *cuda = of(device);
    mt_status status = use(device);
    if (status == MT_OK) {
        status = check(cudaEventSynchronize(cuda->slot_filled[slot]), "waiting for the device");
    }
    if (status != MT_OK) {
        return status;
    }
    memcpy(host_memory, cuda->read_slots + slot * MT_READ_BYTES, bytes);
    return report_finding(cuda);
}

mt_status clear(mt_device *device, const char *what, void *memory, int byte, size_t bytes)
{
    return enqueue(device, what, [=] {
        return check(cudaMemsetAsync(memory, byte, bytes, of(device)->stream), what);
    });
}

} // namespace mt_cuda
