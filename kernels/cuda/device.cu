/* The CUDA device: its process, its memory, and one stream. */
#include "kernels/cuda/blas.cuh"
#include "kernels/cuda/kernels.cuh"
#include "kernels/device.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace mt_cuda
{

bool forked;

namespace
{

void note_fork()
{
    forked = true;
}

void watch_forks()
{
    pthread_atfork(nullptr, nullptr, note_fork);
}

mt_status check_process()
{
    return forked ? mt_fail(MT_ERROR_DEVICE,
                            "cuda: this process was forked from one that had opened a device, and "
                            "CUDA does not serve it (fork before, or use cpu)")
                  : MT_OK;
}

mt_status out_of_memory(cuda_device *cuda, size_t bytes)
{
    size_t left = 0, total = 0;
    cudaGetLastError(); /* clears it */
    cudaMemGetInfo(&left, &total);
    return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes: %zu of %zu are free", cuda->name,
                   bytes, left, total);
}

mt_status allocate(mt_device *device, size_t bytes, void **memory)
{
    *memory = nullptr;
    mt_status status = use(device);
    if (status != MT_OK) {
        return status;
    }
    /* Memory stays until it is released, so it may be allocated while work is recorded. */
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    cudaThreadExchangeStreamCaptureMode(&mode);
    cudaError_t error = cudaMalloc(memory, bytes > 0 ? bytes : 1);
    cudaThreadExchangeStreamCaptureMode(&mode);
    if (error == cudaErrorMemoryAllocation) {
        *memory = nullptr;
        return out_of_memory(of(device), bytes);
    }
    return check(error, "allocating memory");
}

void release(mt_device *device, void *memory)
{
    if (memory != nullptr && !forked) {
        settle(device);
        cudaFree(memory);
    }
}

mt_status stream(mt_device *device, void **stream)
{
    *stream = of(device)->stream;
    return use(device);
}

void use_stream(mt_device *device, void *stream)
{
    of(device)->stream = static_cast<cudaStream_t>(stream);
}

void use_own_stream(mt_device *device)
{
    of(device)->stream = of(device)->own_stream;
}

/* Any part may be missing. In a child of fork the device is still the parent's. */
void close_device(mt_device *device)
{
    cuda_device *cuda = of(device);
    if (forked) {
        free(cuda->trace.calls);
        free(cuda->biased);
        free(cuda);
        return;
    }
    settle(device);
    close_blas(cuda);
    close_trace(cuda);
    close_branch(cuda);
    for (int i = 0; i < STAGING_HALVES; i++) {
        if (cuda->staging.free_again[i] != nullptr) {
            cudaEventDestroy(cuda->staging.free_again[i]);
        }
    }
    for (int i = 0; i < MT_READ_SLOTS; i++) {
        if (cuda->slot_filled[i] != nullptr) {
            cudaEventDestroy(cuda->slot_filled[i]);
        }
    }
    for (int i = 0; i < cuda->outgrown_count; i++) {
        cudaFree(cuda->outgrown[i]);
    }
    cudaFree(cuda->workspace);
    cudaFreeHost(cuda->staging.memory);
    cudaFreeHost(cuda->findings.found);
    cudaFree(cuda->findings.claimed);
    cudaFreeHost(cuda->read_slots);
    if (cuda->own_stream != nullptr) {
        cudaStreamDestroy(cuda->own_stream);
    }
    cudaGetLastError();
    free(cuda);
}

mt_status make_event(cudaEvent_t *event)
{
    return check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "opening the device");
}

mt_status pin(cuda_device *cuda, size_t bytes, void **memory)
{
    cudaError_t error = cudaMallocHost(memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        *memory = nullptr;
        return mt_fail(MT_ERROR_MEMORY, "%s: no pinned host memory for %zu bytes", cuda->name,
                       bytes);
    }
    mt_status status = check(error, "opening the device");
    if (status == MT_OK) {
        memset(*memory, 0, bytes);
    }
    return status;
}

mt_status open_memory(cuda_device *cuda)
{
    void *memory[3] = {};
    const size_t sizes[3] = {STAGING_HALVES * STAGING_HALF, sizeof(finding),
                             MT_READ_SLOTS * MT_READ_BYTES};
    mt_status status = MT_OK;
    for (int i = 0; i < 3 && status == MT_OK; i++) {
        status = pin(cuda, sizes[i], &memory[i]);
    }
    cuda->staging.memory = static_cast<unsigned char *>(memory[0]);
    cuda->findings.found = static_cast<finding *>(memory[1]);
    cuda->read_slots = static_cast<unsigned char *>(memory[2]);
    for (int i = 0; i < STAGING_HALVES && status == MT_OK; i++) {
        status = make_event(&cuda->staging.free_again[i]);
    }
    for (int i = 0; i < MT_READ_SLOTS && status == MT_OK; i++) {
        status = make_event(&cuda->slot_filled[i]);
    }
    return status;
}

/* Work on any stream may find something, so what is cleared here is waited for. */
mt_status open_words(cuda_device *cuda)
{
    const size_t bytes = (1 + COUNTERS) * sizeof(unsigned);
    void *words;
    mt_status status = allocate(&cuda->base, bytes, &words);
    cuda->findings.claimed = static_cast<unsigned *>(words);
    if (status == MT_OK) {
        cuda->counters = cuda->findings.claimed + 1;
        status = clear(&cuda->base, "opening the device", words, 0, bytes);
    }
    if (status == MT_OK) {
        status = check(cudaStreamSynchronize(cuda->own_stream), "opening the device");
    }
    cuda->findings.found->round = 1;
    return status;
}

/* cuBLAS has the products for older GPUs, too, which have no instructions for them. */
const char *lacks_bf16(const mt_device *device)
{
    return reinterpret_cast<const cuda_device *>(device)->capability < 8
               ? "the GPU has no instructions for them (compute capability 8.0)"
               : nullptr;
}

mt_status open_parts(cuda_device *cuda)
{
    mt_status status = use(&cuda->base);
    if (status == MT_OK) {
        status = check(cudaDeviceGetAttribute(&cuda->multiprocessors,
                                              cudaDevAttrMultiProcessorCount, cuda->index),
                       "opening the device");
    }
    if (status == MT_OK) {
        status = check(cudaDeviceGetAttribute(&cuda->capability, cudaDevAttrComputeCapabilityMajor,
                                              cuda->index),
                       "opening the device");
    }
    if (status == MT_OK) {
        status = find_overlap(cuda);
    }
    if (status == MT_OK) {
        status = check(cudaStreamCreateWithFlags(&cuda->own_stream, cudaStreamNonBlocking),
                       "opening the device");
        cuda->stream = cuda->own_stream;
    }
    if (status == MT_OK) {
        status = open_memory(cuda);
    }
    return status == MT_OK ? open_words(cuda) : status;
}

/* Checks that there is such a device, and a driver to reach it. */
mt_status find_device(int index)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int count = 0;
    mt_status status = check_process();
    if (status != MT_OK) {
        return status;
    }
    pthread_once(&once, watch_forks);
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
        cudaGetLastError();
        return mt_fail(MT_ERROR_DEVICE, "cuda: no device: %s (use cpu)", cudaGetErrorString(error));
    }
    if (count == 0) {
        return mt_fail(MT_ERROR_DEVICE, "cuda: no device on this machine (use cpu)");
    }
    if (index >= count) {
        return mt_fail(MT_ERROR_DEVICE, "cuda:%d: no such device: the last is cuda:%d", index,
                       count - 1);
    }
    return MT_OK;
}

} // namespace

mt_status check(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) {
        return MT_OK;
    }
    cudaGetLastError(); /* so that it is not found again by the next call */
    return mt_fail(error == cudaErrorMemoryAllocation ? MT_ERROR_MEMORY : MT_ERROR_DEVICE,
                   "cuda: %s: %s", what, cudaGetErrorString(error));
}

mt_status use(mt_device *device)
{
    mt_status status = check_process();
    return status == MT_OK ? check(cudaSetDevice(of(device)->index), "choosing the device")
                           : status;
}

void settle(mt_device *device)
{
    cudaSetDevice(of(device)->index);
    cudaStreamSynchronize(of(device)->stream);
    cudaGetLastError();
}

/* Recordings hold the addresses of their time, so what is outgrown stays until the device
 * closes. */
mt_status workspace(mt_device *device, size_t bytes, void **memory)
{
    cuda_device *cuda = of(device);
    if (bytes > cuda->workspace_size) {
        size_t size = bytes > 2 * cuda->workspace_size ? bytes : 2 * cuda->workspace_size;
        void *larger;
        mt_status status = allocate(device, size, &larger);
        if (status != MT_OK) {
            return status;
        }
        if (cuda->workspace != nullptr) {
            cuda->outgrown[cuda->outgrown_count++] = cuda->workspace;
        }
        cuda->workspace = larger;
        cuda->workspace_size = size;
    }
    *memory = cuda->workspace;
    return mt_poison(device, *memory, bytes);
}

} // namespace mt_cuda

int mt_cuda_count(void)
{
    int count = 0;
    if (mt_cuda::check_process() != MT_OK || cudaGetDeviceCount(&count) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    return count;
}

mt_status mt_cuda_open(int index, mt_device **device)
{
    using namespace mt_cuda;
    *device = nullptr;
    mt_status status = find_device(index);
    if (status != MT_OK) {
        return status;
    }
    cuda_device *cuda = static_cast<cuda_device *>(calloc(1, sizeof *cuda));
    if (cuda == nullptr) {
        return mt_fail(MT_ERROR_MEMORY, "cuda: no host memory for %zu bytes", sizeof *cuda);
    }
    cuda->index = index;
    snprintf(cuda->name, sizeof cuda->name, "cuda:%d", index);
    cuda->base.name = cuda->name;
    for (int dtype = 0; dtype < MT_KERNEL_TABLES; dtype++) {
        cuda->base.kernels[dtype] = tables[dtype];
    }
    cuda->base.alignment = 256; /* what cudaMalloc gives */
    cuda->base.joins_products = true;
    cuda->base.allocate = allocate;
    cuda->base.release = release;
    cuda->base.write = write;
    cuda->base.read_back = read_back;
    cuda->base.copy = copy;
    cuda->base.zero = zero;
    cuda->base.synchronize = synchronize;
    cuda->base.read_later = read_later;
    cuda->base.read_arrived = read_arrived;
    cuda->base.record = record;
    cuda->base.recorded = recorded;
    cuda->base.replay = replay;
    cuda->base.forget = forget;
    cuda->base.branch = branch;
    cuda->base.join = join;
    cuda->base.trace = trace;
    cuda->base.traced = traced;
    cuda->base.stream = stream;
    cuda->base.use_stream = use_stream;
    cuda->base.use_own_stream = use_own_stream;
    cuda->base.lacks_bf16 = lacks_bf16;
    cuda->base.allow_tf32 = allow_tf32;
    cuda->base.poison = poison;
    cuda->base.close = close_device;
    status = open_parts(cuda);
    if (status != MT_OK) {
        close_device(&cuda->base);
        return status;
    }
    *device = &cuda->base;
    return MT_OK;
}
