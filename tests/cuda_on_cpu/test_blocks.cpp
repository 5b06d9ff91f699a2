/* The blocks of a grid: the order in which they begin, and the shared memory that they can have. */
#include "control.h"
#include "tests/check_main.h"

#include "kernels/cuda/cuda.cuh"

#include <vector>

static const unsigned BLOCKS = 300, DISORDER = 20;

static __global__ void note_order(unsigned *begun, unsigned *place_of)
{
    place_of[blockIdx.x] = atomicAdd(begun, 1u);
}

/* The place of each block in the order of beginning. */
static std::vector<unsigned> places_of_blocks(void)
{
    std::vector<unsigned> places(BLOCKS);
    size_t bytes = BLOCKS * sizeof(unsigned);
    void *begun, *place_of;
    cudaLaunchConfig_t config = {BLOCKS, 1, 0, nullptr};
    ck_assert_int_eq(cudaMalloc(&begun, sizeof(unsigned)), cudaSuccess);
    ck_assert_int_eq(cudaMalloc(&place_of, bytes), cudaSuccess);
    cudaMemsetAsync(begun, 0, sizeof(unsigned), nullptr);
    cudaLaunchKernelEx(&config, note_order, static_cast<unsigned *>(begun),
                       static_cast<unsigned *>(place_of));
    cudaMemcpyAsync(places.data(), place_of, bytes, cudaMemcpyDeviceToHost, nullptr);
    ck_assert_int_eq(cudaStreamSynchronize(nullptr), cudaSuccess);
    cudaFree(begun);
    cudaFree(place_of);
    return places;
}

/* The most blocks of lower numbers that a block comes before. Those that are there with it may do
 * so in any order. */
static unsigned most_overtaken(void)
{
    std::vector<unsigned> places = places_of_blocks();
    unsigned most = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        unsigned overtaken = 0;
        for (unsigned j = 0; j < i; j++) {
            overtaken += places[j] > places[i];
        }
        most = overtaken > most ? overtaken : most;
    }
    return most;
}

static const unsigned OTHERS_THERE = 3; /* fewer with ThreadSanitizer */

START_TEST(test_blocks_begin_by_their_numbers)
{
    ck_assert_uint_le(most_overtaken(), OTHERS_THERE);
}
END_TEST

START_TEST(test_blocks_begin_out_of_order_within_bounds)
{
    cuda_on_cpu_set_disorder(DISORDER);
    unsigned most = most_overtaken();
    cuda_on_cpu_set_disorder(0);
    ck_assert_uint_gt(most, DISORDER / 2);
    ck_assert_uint_le(most, DISORDER + OTHERS_THERE);
}
END_TEST

static __global__ void do_nothing(int)
{
}

START_TEST(test_more_than_48_KiB_of_shared_memory_have_to_be_asked_for)
{
    const int bytes = 100 << 10, too_many = 228 << 10;
    cudaLaunchConfig_t config = {1, 1, static_cast<size_t>(bytes), nullptr};
    ck_assert_int_eq(cudaLaunchKernelEx(&config, do_nothing, 0), cudaErrorInvalidConfiguration);
    ck_assert_int_eq(
        cudaFuncSetAttribute(do_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, too_many),
        cudaErrorInvalidValue);
    ck_assert_int_eq(
        cudaFuncSetAttribute(do_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        cudaSuccess);
    ck_assert_int_eq(cudaLaunchKernelEx(&config, do_nothing, 0), cudaSuccess);
    ck_assert_int_eq(cudaStreamSynchronize(nullptr), cudaSuccess);
}
END_TEST

static Suite *blocks_suite(void)
{
    const TTest *const tests[] = {
        test_blocks_begin_by_their_numbers,
        test_blocks_begin_out_of_order_within_bounds,
        test_more_than_48_KiB_of_shared_memory_have_to_be_asked_for,
    };
    return suite_of("blocks", nullptr, nullptr, 3, tests);
}

MT_TEST_MAIN(blocks_suite)
