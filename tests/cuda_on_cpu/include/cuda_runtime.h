/* CUDA's language and runtime for the host's compiler, as far as kernels/cuda uses them: the same
 * sources are compiled with this header in place of CUDA's and run on the CPU, so that sanitizers
 * see every access. See ../README.md for what is checked. For tests alone. */
#ifndef CUDA_ON_CPU_CUDA_RUNTIME_H
#define CUDA_ON_CPU_CUDA_RUNTIME_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

/* Of the thread that runs. */
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/* Each block has dynamic shared memory of its own: kernels declare an array, and get a pointer to
 * the one of the block that runs. */
#define mt_shared (*mt_shared_of_block)
extern unsigned char (*mt_shared_of_block)[];

void __syncthreads();
void __syncwarp(unsigned lanes = 0xFFFFFFFFu);
void __threadfence();
void __threadfence_system();
void __nanosleep(unsigned nanoseconds);
void cudaTriggerProgrammaticLaunchCompletion();
void cudaGridDependencySynchronize();
[[noreturn]] void __trap();
unsigned __ballot_sync(unsigned lanes, int predicate);

inline unsigned atomicMax(unsigned *address, unsigned value)
{
    unsigned old = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (old < value && !__atomic_compare_exchange_n(address, &old, value, false,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

inline unsigned atomicAdd(unsigned *address, unsigned value)
{
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

inline unsigned atomicInc(unsigned *address, unsigned most)
{
    unsigned old = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(address, &old, old >= most ? 0 : old + 1, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

inline unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}

inline uint64_t __umul64hi(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 product;
    return static_cast<uint64_t>(static_cast<product>(a) * b >> 64);
}

inline int __ffs(int bits)
{
    return __builtin_ffs(bits);
}

/* With the hardware's way of rounding twice, and no numbers below FLT_MIN (-ftz=true); not by their
 * own names, which the C library has too. What the hardware computes for itself is off by up to 2
 * units of the last place: by how many, the bits decide, so that the same number always gives the
 * same. Powers of 2 it has exactly, and divides by them exactly. */
#define __expf     cuda_on_cpu_expf
#define __fdividef cuda_on_cpu_fdividef

inline float cuda_on_cpu_flushed(float x)
{
    return fabsf(x) < FLT_MIN ? 0.0f : x;
}

inline bool cuda_on_cpu_power_of_2(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7FFFFFu) == 0;
}

inline float cuda_on_cpu_off(float right, bool exact)
{
    uint32_t bits;
    right = cuda_on_cpu_flushed(right);
    if (exact || right == 0.0f || !(right - right == 0.0f)) {
        return right;
    }
    memcpy(&bits, &right, sizeof bits);
    bits += (bits * 0x9E3779B1u >> 16) % 5u - 2u;
    memcpy(&right, &bits, sizeof right);
    return cuda_on_cpu_flushed(right);
}

inline float cuda_on_cpu_expf(float x)
{
    float right = exp2f(x * 1.4426950408889634f);
    return cuda_on_cpu_off(right, cuda_on_cpu_power_of_2(right));
}

inline float cuda_on_cpu_fdividef(float a, float b)
{
    return cuda_on_cpu_off(a / b, cuda_on_cpu_power_of_2(b));
}

namespace cuda_on_cpu
{

/* Every lane of the warp hands in its word and gets that of lane `source`. */
uint64_t exchange(unsigned lanes, uint64_t word, int source);
int lane();

} // namespace cuda_on_cpu

template <typename T> T __shfl_xor_sync(unsigned lanes, T value, int mask)
{
    static_assert(sizeof value <= sizeof(uint64_t), "one word at a time");
    uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    word = cuda_on_cpu::exchange(lanes, word, cuda_on_cpu::lane() ^ mask);
    memcpy(&value, &word, sizeof value);
    return value;
}

/* ---- the runtime ---- */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorCapturedEvent = 907,
    cudaErrorUnknown = 999
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount,
    cudaDevAttrComputeCapabilityMajor,
    cudaDevAttrL2CacheSize,
    cudaDevAttrMaxThreadsPerMultiProcessor
};
enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize,
    cudaFuncAttributePreferredSharedMemoryCarveout
};
struct cudaFuncAttributes {
    int ptxVersion;
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };
enum { cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2 };

typedef struct cuda_on_cpu_stream *cudaStream_t;
typedef struct cuda_on_cpu_event *cudaEvent_t;
typedef struct cuda_on_cpu_graph *cudaGraph_t;
typedef struct cuda_on_cpu_graph *cudaGraphExec_t;

enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization = 6 };

union cudaLaunchAttributeValue {
    int programmaticStreamSerializationAllowed;
};

struct cudaLaunchAttribute {
    cudaLaunchAttributeID id;
    cudaLaunchAttributeValue val;
};

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs = nullptr;
    unsigned numAttrs = 0;
};

const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int index);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int index);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaMalloc(void **memory, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMallocHost(void **memory, size_t bytes);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemGetInfo(size_t *left, size_t *total);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end);

namespace cuda_on_cpu
{

/* Enqueues a launch of `kernel` as `body`, which is run once for each thread. */
cudaError_t enqueue_launch(const void *kernel, const cudaLaunchConfig_t &config,
                           std::function<void()> body);

cudaError_t get_attributes(cudaFuncAttributes *attributes);
cudaError_t set_attribute(const void *kernel, cudaFuncAttribute attribute, int value);

/* Enqueues other work: what cuBLAS does. */
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

} // namespace cuda_on_cpu

template <typename... parameters, typename... arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(parameters...),
                               arguments &&...values)
{
    return cuda_on_cpu::enqueue_launch(reinterpret_cast<const void *>(kernel), *config,
                                       [=] { kernel(static_cast<parameters>(values)...); });
}

template <typename... parameters>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, void (*)(parameters...))
{
    return cuda_on_cpu::get_attributes(attributes);
}

template <typename... parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(parameters...), cudaFuncAttribute attribute,
                                 int value)
{
    return cuda_on_cpu::set_attribute(reinterpret_cast<const void *>(kernel), attribute, value);
}

#endif
