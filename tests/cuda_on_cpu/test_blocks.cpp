/* The blocks of a grid: the order in which they begin, how many are there at a time, those of other
 * grids beside them, and the shared memory that they can have. */
#include "control.h"
#include "races.h"
#include "tests/check_main.h"

#include "kernels/cuda/cuda.cuh"

#include <sys/wait.h>
#include <unistd.h>

#include <vector>

using cuda_on_cpu::A_FIBRE_TO_A_THREAD;

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

static const unsigned THERE = 2, OTHERS_THERE = THERE - 1;

static void begin_in_order_two_at_a_time(void)
{
    cuda_on_cpu_set_disorder(0);
    cuda_on_cpu_set_residents(THERE);
}

START_TEST(test_blocks_begin_by_their_numbers)
{
    ck_assert_uint_le(most_overtaken(), OTHERS_THERE);
}
END_TEST

START_TEST(test_blocks_begin_out_of_order_within_bounds)
{
    cuda_on_cpu_set_disorder(DISORDER);
    unsigned most = most_overtaken();
    ck_assert_uint_gt(most, DISORDER / 2);
    ck_assert_uint_le(most, DISORDER + OTHERS_THERE);
}
END_TEST

/* counts: blocks that are there, and the most that were. */
static __global__ void count_blocks(unsigned *counts)
{
    atomicMax(counts + 1, atomicAdd(counts, 1u) + 1);
    for (int i = 0; i < 100; i++) {
        __nanosleep(20);
    }
    atomicAdd(counts, ~0u);
}

static unsigned most_there(void)
{
    unsigned counts[2];
    void *memory;
    cudaLaunchConfig_t config = {BLOCKS, 1, 0, nullptr};
    ck_assert_int_eq(cudaMalloc(&memory, sizeof counts), cudaSuccess);
    cudaMemsetAsync(memory, 0, sizeof counts, nullptr);
    cudaLaunchKernelEx(&config, count_blocks, static_cast<unsigned *>(memory));
    cudaMemcpyAsync(counts, memory, sizeof counts, cudaMemcpyDeviceToHost, nullptr);
    cudaFree(memory);
    ck_assert_uint_eq(counts[0], 0);
    return counts[1];
}

START_TEST(test_as_many_blocks_are_there_as_are_drawn_or_said)
{
    unsigned least = BLOCKS, most = 0;
    ck_assert_uint_eq(most_there(), THERE);
    cuda_on_cpu_set_residents(0);
    for (int i = 0; i < 100; i++) {
        unsigned there = most_there();
        least = there < least ? there : least;
        most = there > most ? there : most;
    }
    ck_assert_uint_eq(least, A_FIBRE_TO_A_THREAD ? 2 : 1);
    ck_assert_uint_ge(most, A_FIBRE_TO_A_THREAD ? 2 : 32);
    ck_assert_uint_le(most, A_FIBRE_TO_A_THREAD ? 2 : 48);
}
END_TEST

/* Tells the other grid that it runs, and waits until that does. */
static __global__ void meet(unsigned *here, unsigned *there)
{
    *static_cast<volatile unsigned *>(here) = 1;
    while (*static_cast<volatile unsigned *>(there) == 0) {
        __nanosleep(20);
    }
}

START_TEST(test_grids_of_two_streams_run_at_once)
{
    cudaStream_t streams[2];
    void *memory;
    ck_assert_int_eq(cudaMalloc(&memory, 2 * sizeof(unsigned)), cudaSuccess);
    cudaMemsetAsync(memory, 0, 2 * sizeof(unsigned), nullptr);
    ck_assert_int_eq(cudaStreamSynchronize(nullptr), cudaSuccess);
    for (int i = 0; i < 2; i++) {
        unsigned *words = static_cast<unsigned *>(memory);
        ck_assert_int_eq(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking),
                         cudaSuccess);
        cudaLaunchConfig_t config = {1, 1, 0, streams[i]};
        cudaLaunchKernelEx(&config, meet, words + i, words + (1 - i));
    }
    for (cudaStream_t stream : streams) {
        ck_assert_int_eq(cudaStreamSynchronize(stream), cudaSuccess);
        ck_assert_int_eq(cudaStreamDestroy(stream), cudaSuccess);
    }
    cudaFree(memory);
}
END_TEST

static cudaLaunchAttribute early = {cudaLaunchAttributeProgrammaticStreamSerialization, {1}};

/* Lets the next begin, and waits a while for that; words: the next has begun; this saw it; this has
 * ended; the next found that so. */
static __global__ void wait_for_next(unsigned *words)
{
    cudaTriggerProgrammaticLaunchCompletion();
    for (int i = 0; i < 100 && words[1] == 0; i++) {
        __nanosleep(20);
        words[1] = *static_cast<volatile unsigned *>(words);
    }
    words[2] = 1;
}

static __global__ void wait_for_last(unsigned *words)
{
    *static_cast<volatile unsigned *>(words) = 1;
    cudaGridDependencySynchronize();
    words[3] = words[2];
}

START_TEST(test_a_grid_begins_early_now_and_then_and_waits_for_the_one_before)
{
    const unsigned times = 100;
    unsigned words[4], early_ones = 0;
    void *memory;
    ck_assert_int_eq(cudaMalloc(&memory, sizeof words), cudaSuccess);
    for (unsigned i = 0; i < times; i++) {
        cudaLaunchConfig_t first = {1, 1, 0, nullptr}, next = {1, 1, 0, nullptr, &early, 1};
        cudaMemsetAsync(memory, 0, sizeof words, nullptr);
        cudaLaunchKernelEx(&first, wait_for_next, static_cast<unsigned *>(memory));
        cudaLaunchKernelEx(&next, wait_for_last, static_cast<unsigned *>(memory));
        cudaMemcpyAsync(words, memory, sizeof words, cudaMemcpyDeviceToHost, nullptr);
        early_ones += words[1];
        ck_assert_uint_eq(words[3], 1);
    }
    ck_assert_uint_gt(early_ones, times / 10);
    ck_assert_uint_lt(early_ones, times / 2);
    cudaFree(memory);
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

/* In a process of its own, since it aborts. */
static void launch_early_without_waiting(int messages)
{
    dup2(messages, STDERR_FILENO);
    cudaLaunchConfig_t config = {1, 1, 0, nullptr, &early, 1};
    cudaLaunchKernelEx(&config, do_nothing, 0);
    cudaStreamSynchronize(nullptr);
    _exit(0);
}

START_TEST(test_who_begins_early_has_to_wait)
{
    char message[200] = "";
    int ends[2], status;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        launch_early_without_waiting(ends[1]);
    }
    close(ends[1]);
    ck_assert_int_gt(read(ends[0], message, sizeof message - 1), 0);
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    ck_assert_ptr_nonnull(strstr(message, "ends without having waited for the kernel before"));
}
END_TEST

static Suite *blocks_suite(void)
{
    const TTest *const tests[] = {
        test_who_begins_early_has_to_wait, /* first: a child cannot use CUDA after its parent */
        test_blocks_begin_by_their_numbers,
        test_blocks_begin_out_of_order_within_bounds,
        test_as_many_blocks_are_there_as_are_drawn_or_said,
        test_grids_of_two_streams_run_at_once,
        test_a_grid_begins_early_now_and_then_and_waits_for_the_one_before,
        test_more_than_48_KiB_of_shared_memory_have_to_be_asked_for,
    };
    return suite_of("blocks", begin_in_order_two_at_a_time, nullptr, 7, tests);
}

MT_TEST_MAIN(blocks_suite)
