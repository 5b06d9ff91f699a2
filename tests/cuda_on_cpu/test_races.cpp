/* A kernel that is right, or lacks what the argument names: then ThreadSanitizer must report it,
 * whatever order its threads happen to run in. */
#include "kernels/cuda/cuda.cuh"

#include <stdio.h>

namespace
{

enum lack { NOTHING, SYNCTHREADS, SYNCWARP, VOLATILE, LACKS };
const char *const lack_names[] = {"nothing", "syncthreads", "syncwarp", "volatile"};

constexpr unsigned BLOCKS = 2, THREADS = 2 * mt_cuda::WARP;

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

} // namespace

int main(int argc, char **argv)
{
    int lacking = 0;
    while (lacking < LACKS && (argc != 2 || strcmp(argv[1], lack_names[lacking]) != 0)) {
        lacking++;
    }
    if (lacking == LACKS) {
        fprintf(stderr, "usage: %s nothing|syncthreads|syncwarp|volatile\n", argv[0]);
        return 2;
    }
    void *published, *sums;
    cudaLaunchConfig_t config = {BLOCKS, THREADS, THREADS * sizeof(unsigned), nullptr};
    if (cudaMalloc(&published, sizeof(unsigned)) != cudaSuccess ||
        cudaMalloc(&sums, BLOCKS * THREADS * sizeof(unsigned)) != cudaSuccess ||
        cudaMemsetAsync(published, 0, sizeof(unsigned), nullptr) != cudaSuccess ||
        cudaLaunchKernelEx(&config, tell_one_another, static_cast<lack>(lacking),
                           static_cast<unsigned *>(published),
                           static_cast<unsigned *>(sums)) != cudaSuccess ||
        cudaStreamSynchronize(nullptr) != cudaSuccess) {
        return 2;
    }
    cudaFree(published);
    cudaFree(sums);
    return 0;
}
