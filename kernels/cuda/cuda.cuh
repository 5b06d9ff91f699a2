/* The files of the CUDA device share the device itself, launching kernels, access to memory
 * in packs, sums over warps and blocks. Internal.
 *
 * Kernels use dynamic shared memory alone, no atomic additions of floating-point numbers, and give
 * every sum an order that depends on shapes and the device's size alone: on one device the same
 * inputs give the same bits, whichever outputs are asked for. So nvcc is told to leave products and
 * sums as they are (-fmad=false), and the source says fma where they shall be one operation. */
#ifndef MT_KERNELS_CUDA_CUDA_CUH
#define MT_KERNELS_CUDA_CUDA_CUH

#include "kernels/bfloat16.h"
#include "kernels/device.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <math.h>

#include <type_traits>

extern __shared__ __align__(16) unsigned char mt_shared[];

namespace mt_cuda
{

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xFFFFFFFFu;

/* Left to itself the compiler keeps registers of some kernels in memory, so that another block fits
 * on a multiprocessor. Told that so many suffice, it does not. */
constexpr int ROOMY_BLOCKS = 3;

/* The fault that a kernel found with its input, in host memory that the device writes to. The first
 * of a round is the finding, until it is reported by the next call that waits for the device, and
 * the next round begins. */
struct finding {
    unsigned round;   /* from 1 on; the host's to write */
    unsigned written; /* the last round that has its finding */
    int kind;         /* finding_kind */
    int64_t value, position, limit, row;
};
enum finding_kind {
    WRONG_INDEX,
    WRONG_TARGET,
    TRANSDUCER_FAULT /* from here on with an mt_transducer_fault added */
};

/* Where kernels leave what they find. Which thread is the first is decided in device memory: not
 * every host lets a device do more than read and write its own. */
struct findings {
    finding *found;    /* (1), pinned */
    unsigned *claimed; /* (1), of the device: the last round that a thread has taken */
};

constexpr int STAGING_HALVES = 2;
constexpr size_t STAGING_HALF = static_cast<size_t>(4) << 20; /* bytes */

/* Pinned memory that `write` copies from, used half by half. */
struct staging_area {
    unsigned char *memory;
    size_t used; /* of the present half */
    int half;
    cudaEvent_t free_again[STAGING_HALVES];
};

/* A workspace is at least twice as large as the one that it takes the place of. */
constexpr int OUTGROWN_WORKSPACES = 64;

constexpr int COUNTERS = 1 << 12;

/* A call that put work on the device, between two events. */
struct timed_call {
    const char *name;
    cudaEvent_t before, after;
};

/* The calls since `trace`. Events are made when first needed, and stay until the device closes. */
struct call_trace {
    bool on;
    timed_call *calls;
    size_t count, made;
};

/* Of matmul_biased.cu. */
struct biased_product;
struct biased_products;

struct cuda_device {
    mt_device base; /* first: a device pointer is a cuda_device pointer */
    char name[16];
    int index;
    int multiprocessors;
    int capability;          /* the compute capability's major number */
    bool overlaps;           /* kernels of own_stream (begin_kernel) */
    cudaStream_t stream;     /* that work goes to */
    cudaStream_t own_stream; /* which it is but between use_stream and use_own_stream */
    cudaStream_t side;       /* beside it, or NULL: branch makes it */
    cudaEvent_t turns[2];    /* from one to the other, and back */
    cublasHandle_t blas;
    void *blas_workspace;
    bool tf32; /* allowed for products of float32 */
    biased_products *biased;
    void *workspace; /* what kernels need while they run */
    size_t workspace_size;
    void *outgrown[OUTGROWN_WORKSPACES]; /* which recordings may still use */
    int outgrown_count;
    unsigned *counters; /* (COUNTERS) that are 0, and that kernels of own_stream leave so */
    struct findings findings;
    unsigned char *read_slots; /* (MT_READ_SLOTS, MT_READ_BYTES), pinned */
    cudaEvent_t slot_filled[MT_READ_SLOTS];
    staging_area staging;
    call_trace trace;
};

inline cuda_device *of(mt_device *device)
{
    return reinterpret_cast<cuda_device *>(device);
}

/* MT_OK, or MT_ERROR_DEVICE with what was done and what CUDA says of it. */
mt_status check(cudaError_t error, const char *what);

/* True in a child of a process that had opened a device: CUDA does not serve it, and its pinned
 * memory is not there. */
extern bool forked;

/* Makes the device the calling thread's. What calls CUDA begins with it, or looks at `forked`. */
mt_status use(mt_device *device);

/* Waits for work that may still use what is about to be given back. What goes wrong here went wrong
 * before, and has been told: the message stays. */
void settle(mt_device *device);

/* Copies, of copies.cu; those that wait report what kernels found. */
mt_status write(mt_device *device, void *device_memory, const void *host_memory, size_t bytes);
mt_status read_back(mt_device *device, void *host_memory, const void *device_memory, size_t bytes);
mt_status copy(mt_device *device, void *to, const void *from, size_t bytes);
mt_status zero(mt_device *device, void *memory, size_t bytes);
mt_status poison(mt_device *device, void *memory, size_t bytes);
mt_status synchronize(mt_device *device);
mt_status read_later(mt_device *device, int slot, const void *device_memory, size_t bytes);
mt_status read_arrived(mt_device *device, int slot, void *host_memory, size_t bytes);

/* Recordings, of recording.cu. */
mt_status record(mt_device *device);
mt_status recorded(mt_device *device, mt_recording **recording);
mt_status replay(mt_device *device, mt_recording *recording);
void forget(mt_device *device, mt_recording *recording);

/* The second stream, of branch.cu. */
mt_status branch(mt_device *device, void **stream);
mt_status join(mt_device *device);
void close_branch(cuda_device *cuda);

/* Finds out if kernels overlap, of overlap.cu. */
mt_status find_overlap(cuda_device *cuda);

/* Tracing, of trace.cu. begin_call and end_call put the events around a call on the stream. */
mt_status trace(mt_device *device);
mt_status traced(mt_device *device, mt_trace_row *row, void *context);
mt_status begin_call(mt_device *device, const char *name);
mt_status end_call(mt_device *device);
void close_trace(cuda_device *cuda);

/* Puts work on the device's stream by `call`, which returns an mt_status; traced under `name`. */
template <typename function> mt_status enqueue(mt_device *device, const char *name, function call)
{
    mt_status status = use(device);
    if (status == MT_OK && of(device)->trace.on) {
        status = begin_call(device, name);
    }
    if (status == MT_OK) {
        status = call();
    }
    return status == MT_OK && of(device)->trace.on ? end_call(device) : status;
}

/* Sets every byte, as zero does; `what` names it in a trace and in an error. */
mt_status clear(mt_device *device, const char *what, void *memory, int byte, size_t bytes);

/* Memory that is free again when the kernels enqueued by the caller have run. */
mt_status workspace(mt_device *device, size_t bytes, void **memory);

template <typename... parameters, typename... arguments>
mt_status launch(mt_device *device, const char *name, void (*kernel)(parameters...), int64_t blocks,
                 int threads, size_t shared, arguments... values)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = shared;
    config.stream = of(device)->stream;
    cudaLaunchAttribute overlap = {};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &overlap;
    config.numAttrs = of(device)->overlaps && config.stream == of(device)->own_stream ? 1 : 0;
    return enqueue(device, name, [&] {
        return check(cudaLaunchKernelEx(&config, kernel, static_cast<parameters>(values)...), name);
    });
}

/* Blocks to start so that each of `items` has one, but no more than keep the device busy: kernels
 * walk what is left in strides of the grid. */
inline int64_t grid_for(mt_device *device, int64_t items)
{
    int64_t most = static_cast<int64_t>(of(device)->multiprocessors) * 16;
    return items < 1 ? 1 : items < most ? items : most;
}

inline int64_t parts_of(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* ---- on the device ---- */

/* The first statement of every kernel: waits until the kernel before on the stream has ended, and
 * its writes can be seen; as each of them does, all that is before has ended then. Where kernels
 * overlap (programmatic dependent launch, from compute capability 9.0 on), blocks are started
 * before that: those of the kernel behind this one may come as soon as all of this one's have. A
 * kernel reads nothing but its arguments before. */
__device__ inline void begin_kernel()
{
#if !defined __CUDA_ARCH__ || __CUDA_ARCH__ >= 900
    cudaTriggerProgrammaticLaunchCompletion();
    cudaGridDependencySynchronize();
#endif
}

__device__ inline unsigned high_product(unsigned a, unsigned b)
{
    return __umulhi(a, b);
}

__device__ inline uint64_t high_product(uint64_t a, uint64_t b)
{
    return __umul64hi(a, b);
}

/* Division by a number that a whole launch divides by, as a multiplication (Granlund and Montgomery
 * 1994, "Division by invariant integers using multiplication"). */
template <typename number> struct division {
    typedef std::make_unsigned_t<number> word;
    word multiplier;                     /* 2^(bits of a word - 1 + shift) / divisor, rounded up */
    int shift;                           /* the logarithm of the divisor, rounded up */
    __device__ number of(number n) const /* n >= 0 */
    {
        return static_cast<number>(high_product(static_cast<word>(n) * 2, multiplier) >> shift);
    }
};

template <typename number> division<number> divide_by(number divisor) /* >= 1 */
{
    typedef typename division<number>::word word;
    word by = static_cast<word>(divisor), quotient = 0, rest = 0;
    int bits = 8 * static_cast<int>(sizeof(word)), shift = 0;
    while (word(1) << shift < by) {
        shift++;
    }
    for (int i = 0; i < bits + shift; i++) { /* a one, and zeros behind it */
        rest = rest * 2 + (i == 0 ? 1 : 0);
        quotient *= 2;
        if (rest >= by) {
            rest -= by;
            quotient++;
        }
    }
    return {rest > 0 ? quotient + 1 : quotient, shift};
}

__device__ inline int64_t global_thread()
{
    return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline int64_t global_threads()
{
    return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

__device__ inline int lane_index()
{
    return static_cast<int>(threadIdx.x) % WARP;
}

__device__ inline int warp_index()
{
    return static_cast<int>(threadIdx.x) / WARP;
}

/* The warp's number in the grid, and how many there are: for kernels that give a row to a warp. */
__device__ inline int64_t global_warp()
{
    return global_thread() / WARP;
}

__device__ inline int64_t global_warps()
{
    return global_threads() / WARP;
}

/* A bfloat16 in memory. Kernels read and write it as they do a float: it becomes one where a number
 * is needed, and is rounded where it is assigned one. Assigned one of its kind, it is copied. */
struct bfloat16 {
    mt_bf16 number;
    __device__ operator float() const
    {
        return mt_bf16_value(number);
    }
    __device__ bfloat16 &operator=(float value)
    {
        number = mt_bf16_rounded(value);
        return *this;
    }
};

/* The type that kernels compute with for numbers of a stored type, and that of arrays which are
 * wide (mixtape/kernels/list.h). */
template <typename stored> struct computed {
    typedef stored type;
};
template <> struct computed<bfloat16> {
    typedef float type;
};
template <typename stored> using real_of = typename computed<stored>::type;

constexpr int PACK_BYTES = 16;

/* The numbers that one load or store moves: 16 bytes of them, or one number where WIDTH is 1. Where
 * a wide type stands beside a narrow one it has as many, and takes several. */
template <typename number, int WIDTH>
struct alignas(sizeof(number) * WIDTH < PACK_BYTES ? sizeof(number) * WIDTH : PACK_BYTES) pack {
    number at[WIDTH];
};

template <typename number> constexpr int full_width()
{
    return PACK_BYTES / static_cast<int>(sizeof(number));
}

template <int WIDTH, typename number> __device__ inline pack<number, WIDTH> load(const number *from)
{
    return *reinterpret_cast<const pack<number, WIDTH> *>(from);
}

template <int WIDTH, typename number>
__device__ inline void store(number *to, const pack<number, WIDTH> &values)
{
    *reinterpret_cast<pack<number, WIDTH> *>(to) = values;
}

/* Tells if rows of C numbers from here can be moved in packs. */
template <typename number> inline bool packable(int64_t C, const void *array)
{
    return C % full_width<number>() == 0 && reinterpret_cast<uintptr_t>(array) % PACK_BYTES == 0;
}

template <typename T> __device__ inline T warp_sum(T value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(ALL_LANES, value, distance);
    }
    return value;
}

/* The largest of a row's V numbers, of which each lane looks at some; in every lane. */
template <typename stored, typename real = real_of<stored>>
__device__ inline real row_max(const stored *row, int64_t V)
{
    real largest = row[0];
    for (int64_t v = lane_index(); v < V; v += WARP) {
        largest = fmax(largest, real(row[v]));
    }
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        largest = fmax(largest, __shfl_xor_sync(ALL_LANES, largest, distance));
    }
    return largest;
}

/* The sum of e^(number - largest) over a row, in every lane. */
template <typename stored, typename real = real_of<stored>>
__device__ inline real row_exp_sum(const stored *row, real largest, int64_t V)
{
    real sum = real(0);
    for (int64_t v = lane_index(); v < V; v += WARP) {
        sum += exp(row[v] - largest);
    }
    return warp_sum(sum);
}

/* The sum over the block, in every thread. Takes 32 T of shared memory; blocks are whole warps. */
template <typename T> __device__ inline T block_sum(T value)
{
    T *of_warp = reinterpret_cast<T *>(mt_shared), total = T(0);
    value = warp_sum(value);
    if (lane_index() == 0) {
        of_warp[warp_index()] = value;
    }
    __syncthreads();
    for (int warp = 0; warp < static_cast<int>(blockDim.x) / WARP; warp++) {
        total += of_warp[warp];
    }
    __syncthreads();
    return total;
}

template <typename real> __device__ inline real sigmoid(real x)
{
    return real(1) / (real(1) + exp(-x));
}

template <typename real> __device__ inline real not_a_number()
{
    return static_cast<real>(NAN);
}

/* Leaves a finding for the host, unless the round has one already. */
__device__ inline void report(findings to, int kind, int64_t value, int64_t position, int64_t limit,
                              int64_t row = 0)
{
    unsigned round = *static_cast<volatile unsigned *>(&to.found->round);
    if (atomicMax(to.claimed, round) < round) {
        to.found->kind = kind;
        to.found->value = value;
        to.found->position = position;
        to.found->limit = limit;
        to.found->row = row;
        __threadfence_system(); /* the host may look at any time */
        *static_cast<volatile unsigned *>(&to.found->written) = round;
    }
}

} // namespace mt_cuda

#endif
