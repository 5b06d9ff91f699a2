/* Work on streams of the caller's: nothing waits for it, nothing is allocated, a graph may be
 * recorded, and what kernels find is told. */
#include <mixtape/wkv.h>

#include "control.h"
#include "kernels/cuda/cuda.cuh"
#include "tests/check_main.h"

#include <vector>

namespace
{

constexpr int64_t B = 2, T = 300, C = 5, STATES = 3 * B * C, STEPS = B * T * C;

mt_device *device;

/* Device memory with this content. */
float *array_of(const std::vector<float> &content)
{
    void *memory;
    size_t bytes = content.size() * sizeof(float);
    ck_assert_int_eq(device->allocate(device, bytes, &memory), MT_OK);
    ck_assert_int_eq(device->write(device, memory, content.data(), bytes), MT_OK);
    return static_cast<float *>(memory);
}

std::vector<float> content_of(const float *array, size_t n)
{
    std::vector<float> content(n);
    ck_assert_int_eq(device->read_back(device, content.data(), array, n * sizeof(float)), MT_OK);
    return content;
}

std::vector<float> numbers(int64_t n, float low, float high, int seed)
{
    std::vector<float> made;
    for (int64_t i = 0; i < n; i++) {
        made.push_back(low + (high - low) * static_cast<float>((i * 7919 + seed * 104729) % 1009) /
                                 1009.0f);
    }
    return made;
}

/* Both directions of one problem, with memory of its own. */
struct operation {
    float *w = array_of(numbers(C, -2.0f, -0.1f, 1)), *u = array_of(numbers(C, -1.0f, 1.0f, 2));
    float *k, *v = array_of(numbers(STEPS, -1.0f, 1.0f, 3));
    float *dy = array_of(numbers(STEPS, -1.0f, 1.0f, 4));
    float *y = array_of(std::vector<float>(STEPS)), *dk = array_of(std::vector<float>(STEPS));
    float *dw = array_of(std::vector<float>(C)), *state = array_of(std::vector<float>(STATES));
    void *saved, *workspace;

    explicit operation(int seed) : k(array_of(numbers(STEPS, -3.0f, 3.0f, seed)))
    {
        size_t bytes = mt_wkv_saved_size(device, MT_F32, B, T, C);
        ck_assert_int_eq(device->allocate(device, bytes, &saved), MT_OK);
        bytes = mt_wkv_workspace_size(device, MT_F32, B, T, C);
        ck_assert_int_eq(device->allocate(device, bytes, &workspace), MT_OK);
        ck_assert_int_eq(device->synchronize(device), MT_OK);
    }
    operation(const operation &) = delete;
    operation &operator=(const operation &) = delete;
    ~operation()
    {
        for (void *memory :
             std::initializer_list<void *>{w, u, k, v, dy, y, dk, dw, state, saved, workspace}) {
            device->release(device, memory);
        }
    }
    void enqueue(cudaStream_t stream)
    {
        mt_wkv_forward_args forward = {B, T, C, w, u, k, v, nullptr, y, state, saved, workspace};
        mt_wkv_backward_args backward = {B,  T,       C,  w,       u,  k,       v,       saved,
                                         dy, nullptr, dw, nullptr, dk, nullptr, nullptr, workspace};
        ck_assert_int_eq(mt_wkv_forward(device, stream, MT_F32, &forward), MT_OK);
        ck_assert_int_eq(mt_wkv_backward(device, stream, MT_F32, &backward), MT_OK);
    }
    std::vector<float> results()
    {
        std::vector<float> all = content_of(y, STEPS);
        for (const std::vector<float> &more : {content_of(dk, STEPS), content_of(dw, C)}) {
            all.insert(all.end(), more.begin(), more.end());
        }
        return all;
    }
};

/* The result of an operation on a stream of its own. */
std::vector<float> results_alone(int seed)
{
    cudaStream_t stream;
    operation alone(seed);
    ck_assert_int_eq(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    alone.enqueue(stream);
    ck_assert_int_eq(cudaStreamSynchronize(stream), cudaSuccess);
    ck_assert_int_eq(cudaStreamDestroy(stream), cudaSuccess);
    return alone.results();
}

START_TEST(test_streams_take_turns_without_waiting)
{
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    {
        operation first(10), second(11);
        cudaStream_t streams[2];
        for (cudaStream_t &stream : streams) {
            ck_assert_int_eq(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                             cudaSuccess);
        }
        cuda_on_cpu_waits();
        cuda_on_cpu_fail_allocation(0);
        for (int i = 0; i < 3; i++) {
            first.enqueue(streams[0]);
            second.enqueue(streams[1]);
        }
        ck_assert_int_eq(cuda_on_cpu_waits(), 0);
        ck_assert_int_eq(cuda_on_cpu_fail_allocation(0), 0);
        for (cudaStream_t stream : {streams[1], streams[0]}) {
            ck_assert_int_eq(cudaStreamSynchronize(stream), cudaSuccess);
            ck_assert_int_eq(cudaStreamDestroy(stream), cudaSuccess);
        }
        ck_assert(first.results() == results_alone(10));
        ck_assert(second.results() == results_alone(11));
    }
    mt_device_close(device);
}
END_TEST

START_TEST(test_a_graph_of_the_callers_is_recorded_and_replayed)
{
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    {
        operation recorded(12), other(13);
        cudaStream_t stream;
        cudaGraph_t graph;
        cudaGraphExec_t executable;
        ck_assert_int_eq(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
        ck_assert_int_eq(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                         cudaSuccess);
        cuda_on_cpu_waits();
        cuda_on_cpu_fail_allocation(0);
        recorded.enqueue(stream);
        ck_assert_int_eq(cuda_on_cpu_waits(), 0);
        ck_assert_int_eq(cuda_on_cpu_fail_allocation(0), 0);
        ck_assert_int_eq(cudaStreamEndCapture(stream, &graph), cudaSuccess);
        ck_assert_int_eq(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
        for (int seed = 13; seed < 15; seed++) {
            std::vector<float> k = numbers(STEPS, -3.0f, 3.0f, seed);
            ck_assert_int_eq(device->write(device, recorded.k, k.data(), STEPS * sizeof(float)),
                             MT_OK);
            ck_assert_int_eq(device->synchronize(device), MT_OK);
            ck_assert_int_eq(cudaGraphLaunch(executable, stream), cudaSuccess);
            other.enqueue(stream); /* with a workspace that the graph knows nothing of */
            ck_assert_int_eq(cudaStreamSynchronize(stream), cudaSuccess);
            ck_assert(recorded.results() == results_alone(seed));
        }
        ck_assert_int_eq(cudaGraphExecDestroy(executable), cudaSuccess);
        ck_assert_int_eq(cudaGraphDestroy(graph), cudaSuccess);
        ck_assert_int_eq(cudaStreamDestroy(stream), cudaSuccess);
    }
    mt_device_close(device);
}
END_TEST

/* Rows of a table of two, one of which there is not. */
struct wrong_rows {
    int32_t *indices;
    float *table = array_of({0.0f, 0.0f}), *rows = array_of({0.0f, 0.0f});

    explicit wrong_rows(int32_t wrong)
    {
        const int32_t given[] = {0, wrong};
        void *memory;
        ck_assert_int_eq(device->allocate(device, sizeof given, &memory), MT_OK);
        ck_assert_int_eq(device->write(device, memory, given, sizeof given), MT_OK);
        ck_assert_int_eq(device->synchronize(device), MT_OK);
        indices = static_cast<int32_t *>(memory);
    }
    wrong_rows(const wrong_rows &) = delete;
    wrong_rows &operator=(const wrong_rows &) = delete;
    ~wrong_rows()
    {
        for (void *memory : std::initializer_list<void *>{indices, table, rows}) {
            device->release(device, memory);
        }
    }
    void enqueue(cudaStream_t stream)
    {
        const mt_embedding_forward_args args = {2, 2, 1, indices, table, rows};
        device->use_stream(device, stream);
        ck_assert_int_eq(device->kernels[MT_F32]->embedding_forward(device, &args), MT_OK);
        device->use_own_stream(device);
    }
};

/* The next call that waits tells of one of the two, and the one behind it of none. */
void assert_found_once(const char *one, const char *other)
{
    ck_assert_int_eq(device->synchronize(device), MT_ERROR_INVALID);
    const char *message = mt_error_message();
    ck_assert_msg(strstr(message, one) != nullptr || strstr(message, other) != nullptr, "%s",
                  message);
    ck_assert_int_eq(device->synchronize(device), MT_OK);
}

START_TEST(test_what_kernels_find_on_any_stream_or_in_a_graph_is_told_once)
{
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    {
        wrong_rows first(7), second(9);
        cudaStream_t streams[2];
        cudaGraph_t graph;
        cudaGraphExec_t executable;
        for (cudaStream_t &stream : streams) {
            ck_assert_int_eq(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                             cudaSuccess);
        }
        ck_assert_int_eq(cudaStreamBeginCapture(streams[0], cudaStreamCaptureModeThreadLocal),
                         cudaSuccess);
        first.enqueue(streams[0]);
        ck_assert_int_eq(cudaStreamEndCapture(streams[0], &graph), cudaSuccess);
        ck_assert_int_eq(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
        for (int round = 0; round < 3; round++) {
            ck_assert_int_eq(cudaGraphLaunch(executable, streams[0]), cudaSuccess);
            second.enqueue(streams[1]);
            for (cudaStream_t stream : streams) {
                ck_assert_int_eq(cudaStreamSynchronize(stream), cudaSuccess);
            }
            assert_found_once("index 7 at 1", "index 9 at 1");
        }
        ck_assert_int_eq(cudaGraphExecDestroy(executable), cudaSuccess);
        ck_assert_int_eq(cudaGraphDestroy(graph), cudaSuccess);
        for (cudaStream_t stream : streams) {
            ck_assert_int_eq(cudaStreamDestroy(stream), cudaSuccess);
        }
    }
    mt_device_close(device);
}
END_TEST

/* Tells if kernels overlap on a machine that a variable of the environment tells of. */
bool overlaps_with(const char *name, const char *value)
{
    setenv(name, value, 1);
    ck_assert_int_eq(mt_device_open("cuda:0", &device), MT_OK);
    unsetenv(name);
    bool overlaps = mt_cuda::of(device)->overlaps;
    mt_device_close(device);
    return overlaps;
}

START_TEST(test_kernels_overlap_where_they_wait_and_graphs_can_tell)
{
    ck_assert(overlaps_with("CUDA_ON_CPU_CAPABILITY", "9"));
    ck_assert(overlaps_with("CUDA_ON_CPU_CAPABILITY", "12"));
    ck_assert(!overlaps_with("CUDA_ON_CPU_CAPABILITY", "8"));
    ck_assert(!overlaps_with("CUDA_ON_CPU_PTX", "80")); /* made anew by the driver */
    ck_assert(overlaps_with("CUDA_ON_CPU_VERSION", "12030"));
    ck_assert(!overlaps_with("CUDA_ON_CPU_VERSION", "12020"));
    ck_assert(!overlaps_with("MIXTAPE_OVERLAP", "0"));
    ck_assert(overlaps_with("MIXTAPE_OVERLAP", "1"));
}
END_TEST

Suite *streams_suite()
{
    const TTest *const tests[] = {test_streams_take_turns_without_waiting,
                                  test_a_graph_of_the_callers_is_recorded_and_replayed,
                                  test_what_kernels_find_on_any_stream_or_in_a_graph_is_told_once,
                                  test_kernels_overlap_where_they_wait_and_graphs_can_tell};
    return suite_of("cuda_on_cpu/streams", nullptr, nullptr, 4, tests);
}

} // namespace

MT_TEST_MAIN(streams_suite)
