/* Measures what WKV's chain of blocks rests on:
 *
 *     gpu_probe
 *
 * prints one object of JSON with
 *   dispatch    how far from the order of their numbers blocks begin. Each takes a ticket at its
 *               start; `late` and `early` are the most places behind and before its number that a
 *               block began, and `out_of_order` counts those that began elsewhere at all.
 *   chain       nanoseconds from one block to the next, where each waits for three numbers a lane
 *               that the one before publishes, as in wkv_chain.cuh. */
#include "bench/bare_device.cuh"
#include "kernels/cuda/wkv_chain.cuh"

#include <stdio.h>

#include <vector>

using namespace mt_bench;

namespace
{

constexpr int RUNS = 5;

__device__ inline unsigned take_ticket(unsigned *last)
{
    return atomicAdd(last, 1u) + 1u;
}

/* Every block lasts about `even` microseconds, and up to `uneven` more by its number. */
__global__ void note_places(unsigned *last, unsigned *places, unsigned even, unsigned uneven)
{
    if (threadIdx.x == 0) {
        places[blockIdx.x] = take_ticket(last);
        unsigned more = uneven > 0 ? blockIdx.x * 0x9E3779B1u % (uneven + 1) : 0;
        for (unsigned i = 0; i < even + more; i++) {
            __nanosleep(1000);
        }
    }
    __syncthreads();
}

/* Block by block, in the order of tickets, one more than what the block before published. */
__global__ void pass_on(unsigned *last, float *published)
{
    unsigned *ticket = reinterpret_cast<unsigned *>(mt_shared);
    if (threadIdx.x == 0) {
        *ticket = take_ticket(last);
    }
    __syncthreads();
    if (mt_cuda::warp_index() == 0) {
        int64_t lanes = mt_cuda::WARP;
        float *own = published + static_cast<int64_t>(*ticket) * 3 * lanes + mt_cuda::lane_index();
        typedef mt_cuda::state_triple<float> triple;
        triple given = {0.0f, 0.0f, 0.0f};
        if (*ticket > 0) {
            const float *former = own - 3 * lanes;
            triple seen = mt_cuda::peek_triple<triple>(former, lanes);
            given = mt_cuda::await_triple(former, lanes, seen);
        }
        mt_cuda::publish_triple(own, lanes, triple{given.num + 1.0f, given.den, given.max});
    }
}

template <typename T> std::vector<T> download(const void *from, size_t n)
{
    std::vector<T> values(n);
    must(cudaMemcpyAsync(values.data(), from, n * sizeof(T), cudaMemcpyDeviceToHost, stream()));
    must(cudaStreamSynchronize(stream()));
    return values;
}

void set_ones(void *memory, size_t bytes)
{
    must(cudaMemsetAsync(memory, mt_cuda::UNPUBLISHED, bytes, stream()));
}

void probe_dispatch(int64_t blocks, int threads, unsigned even, unsigned uneven, const char *end)
{
    size_t count = static_cast<size_t>(blocks);
    long long late = 0, early = 0, out_of_order = 0;
    unsigned *last = static_cast<unsigned *>(device_memory(sizeof(unsigned)));
    unsigned *places = static_cast<unsigned *>(device_memory(count * sizeof(unsigned)));
    for (int run = 0; run < RUNS; run++) {
        set_ones(last, sizeof(unsigned));
        must(mt_cuda::launch(bare_device(), "dispatch", note_places, blocks, threads, 0, last,
                             places, even, uneven));
        std::vector<unsigned> found = download<unsigned>(places, count);
        for (size_t i = 0; i < count; i++) {
            long long behind = static_cast<long long>(found[i]) - static_cast<long long>(i);
            late = behind > late ? behind : late;
            early = -behind > early ? -behind : early;
            out_of_order += behind != 0;
        }
    }
    must(cudaFree(last));
    must(cudaFree(places));
    printf("  {\"blocks\": %lld, \"threads\": %d, \"microseconds\": [%u, %u], \"runs\": %d, "
           "\"late\": %lld, \"early\": %lld, \"out_of_order\": %lld}%s\n",
           static_cast<long long>(blocks), threads, even, even + uneven, RUNS, late, early,
           out_of_order, end);
}

void probe_chain(int64_t blocks, int threads, const char *end)
{
    size_t floats = static_cast<size_t>(blocks) * 3 * mt_cuda::WARP;
    unsigned *last = static_cast<unsigned *>(device_memory(sizeof(unsigned)));
    float *published = static_cast<float *>(device_memory(floats * sizeof(float)));
    double least = 1e9;
    for (int run = 0; run < RUNS; run++) {
        set_ones(last, sizeof(unsigned));
        set_ones(published, floats * sizeof(float));
        double seconds = seconds_of([&] {
            must(mt_cuda::launch(bare_device(), "chain", pass_on, blocks, threads, sizeof(unsigned),
                                 last, published));
        });
        least = seconds < least ? seconds : least;
    }
    std::vector<float> found = download<float>(published, floats);
    bool right = found[floats - 3 * mt_cuda::WARP] == static_cast<float>(blocks);
    must(cudaFree(last));
    must(cudaFree(published));
    printf(
        "  {\"blocks\": %lld, \"threads\": %d, \"nanoseconds_per_hop\": %.1f, \"right\": %s}%s\n",
        static_cast<long long>(blocks), threads, least * 1e9 / static_cast<double>(blocks),
        right ? "true" : "false", end);
}

} // namespace

int main()
{
    const int threads[] = {64, 128, 256};
    const unsigned durations[][2] = {{0, 0}, {5, 0}, {0, 20}}; /* even, uneven */
    int multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
    printf("{\"multiprocessors\": %d, \"threads_per_multiprocessor\": %d, \"dispatch\": [\n",
           multiprocessors, attribute(cudaDevAttrMaxThreadsPerMultiProcessor));
    for (int64_t waves : {1, 6, 60}) {
        for (int each : threads) {
            for (const unsigned *of : durations) {
                bool last = waves == 60 && each == threads[2] && of == durations[2];
                probe_dispatch(waves * multiprocessors, each, of[0], of[1], last ? "" : ",");
            }
        }
    }
    printf("], \"chain\": [\n");
    for (int64_t waves : {1, 4, 64}) { /* a block or so to a multiprocessor; all there; many more */
        probe_chain(waves * multiprocessors, 32, ",");
        probe_chain(waves * multiprocessors, 128, waves == 64 ? "" : ",");
    }
    printf("]}\n");
    return 0;
}
