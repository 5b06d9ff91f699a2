/* The CUDA device without its table of kernels, for programs that call some kernels alone and are
 * linked with nothing else of the library: the sweep and the probe. Internal to bench/. */
#ifndef MT_BENCH_BARE_DEVICE_CUH
#define MT_BENCH_BARE_DEVICE_CUH

#include "kernels/cuda/cuda.cuh"

namespace mt_bench
{

/* Device 0, opened by the first call. Ends the program where there is none. */
mt_device *bare_device();

/* Ends the program with a message unless the call went well. */
void must(mt_status status);
void must(cudaError_t error);

/* Memory of the device until the program ends. */
void *device_memory(size_t bytes);

/* One of the device's attributes. */
int attribute(cudaDeviceAttr which);

cudaStream_t stream();

/* Seconds between two events around what `work` puts on the stream, which has then been done. */
template <typename function> double seconds_of(function work)
{
    cudaEvent_t before, after;
    float milliseconds = 0.0f;
    must(cudaEventCreateWithFlags(&before, cudaEventDefault));
    must(cudaEventCreateWithFlags(&after, cudaEventDefault));
    must(cudaEventRecord(before, stream()));
    work();
    must(cudaEventRecord(after, stream()));
    must(cudaEventSynchronize(after));
    must(cudaEventElapsedTime(&milliseconds, before, after));
    must(cudaEventDestroy(before));
    must(cudaEventDestroy(after));
    return milliseconds * 1e-3;
}

} // namespace mt_bench

#endif
