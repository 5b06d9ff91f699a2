/* The least of a device (kernels/cuda/cuda.cuh) and of errors (mixtape/error.h) that kernels need,
 * for a program which ends at the first error. */
#include "bench/bare_device.cuh"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static char message[512];

mt_status mt_fail(mt_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return status;
}

namespace mt_cuda
{

mt_status check(cudaError_t error, const char *what)
{
    return error == cudaSuccess
               ? MT_OK
               : mt_fail(MT_ERROR_DEVICE, "cuda: %s: %s", what, cudaGetErrorString(error));
}

mt_status use(mt_device *device)
{
    return check(cudaSetDevice(of(device)->index), "choosing the device");
}

mt_status clear(mt_device *device, const char *what, void *memory, int byte, size_t bytes)
{
    return enqueue(device, what, [=] {
        return check(cudaMemsetAsync(memory, byte, bytes, of(device)->stream), what);
    });
}

/* Nothing is traced here. */
mt_status begin_call(mt_device *, const char *)
{
    return MT_OK;
}

mt_status end_call(mt_device *)
{
    return MT_OK;
}

mt_status workspace(mt_device *, size_t bytes, void **memory)
{
    *memory = nullptr;
    return mt_fail(MT_ERROR_MEMORY, "no workspace of %zu bytes was given", bytes);
}

} // namespace mt_cuda

namespace mt_bench
{

mt_device *bare_device()
{
    static mt_cuda::cuda_device device = {};
    if (device.stream == nullptr) {
        must(cudaSetDevice(0));
        must(cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking));
        device.multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
    }
    return &device.base;
}

void must(mt_status status)
{
    if (status != MT_OK) {
        fprintf(stderr, "%s\n", message);
        exit(1);
    }
}

void must(cudaError_t error)
{
    must(mt_cuda::check(error, "a call failed"));
}

void *device_memory(size_t bytes)
{
    void *memory;
    must(cudaMalloc(&memory, bytes > 0 ? bytes : 1));
    return memory;
}

int attribute(cudaDeviceAttr which)
{
    int value = 0;
    must(cudaDeviceGetAttribute(&value, which, 0));
    return value;
}

cudaStream_t stream()
{
    return mt_cuda::of(bare_device())->stream;
}

} // namespace mt_bench
