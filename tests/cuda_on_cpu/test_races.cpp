/* A kernel that is right, or lacks what the argument names: then ThreadSanitizer must report it,
 * whatever order its threads happen to run in. */
#include "kernels/cuda/cuda.cuh"

#include <stdio.h>

namespace
{

enum lack { NOTHING, SYNCTHREADS, SYNCWARP, VOLATILE, WAIT, LACKS };
const char *const lack_names[] = {"nothing", "syncthreads", "syncwarp", "volatile", "wait"};

constexpr unsigned BLOCKS = 2, THREADS = 2 * mt_cuda::WARP;
constexpr int TIMES = 30; /* not each time does a kernel begin early */

/* Threads read what others of their block, and then of their warp, have written; the second block
 * waits for a word of the first. */
__global__ void tell_one_another(lack lacking, unsigned *published, unsigned *sums)
{
    unsigned *shared = reinterpret_cast<unsigned *>(mt_shared), self = threadIdx.x;
    shared[self] = self;
    if (lacking != SYNCTHREADS) {
        __syncthreads();
    }
    unsigned sum = shared[THREADS - 1 - self];
    __syncthreads();
    shared[self] = sum;
    sum += __shfl_xor_sync(mt_cuda::ALL_LANES, sum, 1); /* orders no memory */
    if (lacking != SYNCWARP) {
        __syncwarp();
    }
    sum += shared[self ^ 1];
    if (self == 0 && blockIdx.x == 0) {
        *static_cast<volatile unsigned *>(published) = sum;
    } else if (self == 0 && lacking == VOLATILE) {
        sum += *published;
    } else if (self == 0) {
        while (*static_cast<volatile unsigned *>(published) == 0) {
            __nanosleep(20);
        }
    }
    sums[blockIdx.x * THREADS + self] = sum;
}

/* Begins early, and reads what the kernel before has written. */
__global__ void add_up(lack lacking, const unsigned *sums, unsigned *total)
{
    unsigned number = BLOCKS * THREADS - 1 - threadIdx.x, early = 0;
    if (lacking == WAIT) {
        early = sums[number];
    }
    cudaGridDependencySynchronize();
    atomicAdd(total, lacking == WAIT ? early : sums[number]);
}

} // namespace

int main(int argc, char **argv)
{
    int lacking = 0;
    while (lacking < LACKS && (argc != 2 || strcmp(argv[1], lack_names[lacking]) != 0)) {
        lacking++;
    }
    if (lacking == LACKS) {
        fprintf(stderr, "usage: %s nothing|syncthreads|syncwarp|volatile|wait\n", argv[0]);
        return 2;
    }
    void *published, *sums, *total;
    cudaLaunchAttribute early = {cudaLaunchAttributeProgrammaticStreamSerialization, {1}};
    cudaLaunchConfig_t config = {BLOCKS, THREADS, THREADS * sizeof(unsigned), nullptr};
    cudaLaunchConfig_t next = {1, THREADS, 0, nullptr, &early, 1};
    if (cudaMalloc(&published, sizeof(unsigned)) != cudaSuccess ||
        cudaMalloc(&total, sizeof(unsigned)) != cudaSuccess ||
        cudaMalloc(&sums, BLOCKS * THREADS * sizeof(unsigned)) != cudaSuccess) {
        return 2;
    }
    for (int i = 0; i < TIMES; i++) {
        if (cudaMemsetAsync(published, 0, sizeof(unsigned), nullptr) != cudaSuccess ||
            cudaMemsetAsync(total, 0, sizeof(unsigned), nullptr) != cudaSuccess ||
            cudaLaunchKernelEx(&config, tell_one_another, static_cast<lack>(lacking),
                               static_cast<unsigned *>(published),
                               static_cast<unsigned *>(sums)) != cudaSuccess ||
            cudaLaunchKernelEx(&next, add_up, static_cast<lack>(lacking),
                               static_cast<unsigned *>(sums),
                               static_cast<unsigned *>(total)) != cudaSuccess ||
            cudaStreamSynchronize(nullptr) != cudaSuccess) {
            return 2;
        }
    }
    cudaFree(published);
    cudaFree(sums);
    cudaFree(total);
    return 0;
}
