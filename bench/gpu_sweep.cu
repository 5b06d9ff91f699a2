/* One variant of WKV's CUDA kernels, checked and timed: gpu_sweep.py links this with the kernels as
 * compiled with other parameters, and calls each of the programs.
 *
 *     gpu_sweep WORD...      each word is one of
 *         check              compares awkward shapes with the plain loop
 *         copy:BYTES         times a copy of so many bytes
 *         B,T,C              times forward and backward of this shape, and compares some channels
 *         runs:N             measurements of each from here on, whose median is told (11 at first)
 *
 * Prints one line of JSON for each of the first three. The exit status is 3 if anything was
 * wrong, and 1 if anything failed. */
#include "bench/bare_device.cuh"
#include "bench/plain_wkv.cuh"
#include "kernels/cuda/kernels.cuh"

#include <algorithm>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

using namespace mt_bench;

namespace
{

constexpr double TOLERANCE = 2e-4; /* of the largest number of an array */
constexpr int WARMUPS = 2, THREADS = 256;

__global__ void fill_input(input which, int64_t n, int64_t states, float *x)
{
    for (int64_t i = mt_cuda::global_thread(); i < n; i += mt_cuda::global_threads()) {
        x[i] = input_at(which, i, states);
    }
}

struct shape {
    int64_t B, T, C;
    bool carried; /* a state given, and a gradient of the last */
    int64_t states() const
    {
        return B * C;
    }
    int64_t elements() const
    {
        return B * T * C;
    }
};

/* The arrays of one problem, on the device. */
struct problem_set {
    mt_wkv_forward_args forward;
    mt_wkv_backward_args backward;
};

float *make_array(int64_t n)
{
    return static_cast<float *>(device_memory(static_cast<size_t>(n) * sizeof(float)));
}

float *make_input(input which, int64_t n, int64_t states)
{
    float *x = make_array(n);
    int64_t blocks = mt_cuda::grid_for(bare_device(), mt_cuda::parts_of(n, THREADS));
    must(mt_cuda::launch(bare_device(), "fill", fill_input, blocks, THREADS, 0, which, n, states,
                         x));
    return x;
}

problem_set make_set(const shape &s)
{
    int64_t n = s.elements(), states = s.states();
    problem_set set = {};
    set.forward.B = set.backward.B = s.B;
    set.forward.T = set.backward.T = s.T;
    set.forward.C = set.backward.C = s.C;
    set.forward.w = set.backward.w = make_input(INPUT_W, s.C, states);
    set.forward.u = set.backward.u = make_input(INPUT_U, s.C, states);
    set.forward.k = set.backward.k = make_input(INPUT_K, n, states);
    set.forward.v = set.backward.v = make_input(INPUT_V, n, states);
    if (s.carried) {
        set.forward.state_in = make_input(INPUT_STATE, 3 * states, states);
        set.backward.dstate_out = make_input(INPUT_DSTATE, 3 * states, states);
        set.backward.dstate_in = make_array(3 * states);
        set.forward.state_out = make_array(3 * states);
    }
    set.forward.y = make_array(n);
    void *saved = device_memory(mt_cuda::wkv_saved_size<float>(bare_device(), s.B, s.T, s.C));
    set.forward.saved = saved;
    set.backward.saved = saved;
    set.forward.workspace = set.backward.workspace =
        device_memory(mt_cuda::wkv_workspace_size<float>(bare_device(), s.B, s.T, s.C));
    set.backward.dy = make_input(INPUT_DY, n, states);
    set.backward.dk = make_array(n);
    set.backward.dv = make_array(n);
    set.backward.dw = make_array(s.C);
    set.backward.du = make_array(s.C);
    return set;
}

void free_set(const problem_set &set)
{
    const mt_wkv_forward_args &f = set.forward;
    const mt_wkv_backward_args &b = set.backward;
    const void *const arrays[] = {f.w,  f.u,     f.k,          f.v,        f.state_in, f.state_out,
                                  f.y,  f.saved, f.workspace,  b.dy,       b.dk,       b.dv,
                                  b.dw, b.du,    b.dstate_out, b.dstate_in};
    for (const void *array : arrays) {
        must(cudaFree(const_cast<void *>(array)));
    }
}

void run_both(const problem_set &set)
{
    must(mt_cuda::wkv_forward<float>(bare_device(), &set.forward));
    must(mt_cuda::wkv_backward<float>(bare_device(), &set.backward));
}

std::vector<float> download(const void *from, int64_t n)
{
    std::vector<float> values(static_cast<size_t>(n));
    must(cudaMemcpyAsync(values.data(), from, values.size() * sizeof(float), cudaMemcpyDeviceToHost,
                         stream()));
    must(cudaStreamSynchronize(stream()));
    return values;
}

/* ---- checking ---- */

/* The error of an array, as a share of its largest number, and the element that is furthest off. */
struct comparison {
    const char *name;
    double largest, farthest;
    bool finite;
};

void compare(comparison *to, double expected, float found)
{
    double off = fabs(expected - static_cast<double>(found));
    to->largest = fmax(to->largest, fabs(expected));
    to->farthest = fmax(to->farthest, off);
    to->finite = to->finite && off >= 0.0 && off < 1e300;
}

struct outputs {
    std::vector<float> y, dk, dv, dw, du, state, dstate_in;
};

outputs outputs_of(const shape &s, const problem_set &set)
{
    outputs out;
    out.y = download(set.forward.y, s.elements());
    out.dk = download(set.backward.dk, s.elements());
    out.dv = download(set.backward.dv, s.elements());
    out.dw = download(set.backward.dw, s.C);
    out.du = download(set.backward.du, s.C);
    if (s.carried) {
        out.state = download(set.forward.state_out, 3 * s.states());
        out.dstate_in = download(set.backward.dstate_in, 3 * s.states());
    }
    return out;
}

bool same(const outputs &a, const outputs &b)
{
    const std::vector<float> *const of_a[] = {&a.y, &a.dk, &a.dv, &a.dw, &a.du};
    const std::vector<float> *const of_b[] = {&b.y, &b.dk, &b.dv, &b.dw, &b.du};
    for (int i = 0; i < 5; i++) {
        if (memcmp(of_a[i]->data(), of_b[i]->data(), of_a[i]->size() * sizeof(float)) != 0) {
            return false;
        }
    }
    return true;
}

/* Empty, or what is wrong with the outputs in every `stride`-th channel and the last. */
const char *fault_of(const shape &s, const outputs &out, int64_t stride)
{
    static char fault[128];
    comparison all[] = {{"y", 0, 0, true},        {"dk", 0, 0, true}, {"dv", 0, 0, true},
                        {"dw", 0, 0, true},       {"du", 0, 0, true}, {"state", 0, 0, true},
                        {"dstate_in", 0, 0, true}};
    for (int64_t c = 0; c < s.C; c = c + stride < s.C || c == s.C - 1 ? c + stride : s.C - 1) {
        plain_channel expected = plain_wkv(s.B, s.T, s.C, c, s.carried);
        for (int64_t row = 0; row < s.B * s.T; row++) {
            size_t at = static_cast<size_t>(row), i = static_cast<size_t>(row * s.C + c);
            compare(&all[0], expected.y[at], out.y[i]);
            compare(&all[1], expected.dk[at], out.dk[i]);
            compare(&all[2], expected.dv[at], out.dv[i]);
        }
        compare(&all[3], expected.dw, out.dw[static_cast<size_t>(c)]);
        compare(&all[4], expected.du, out.du[static_cast<size_t>(c)]);
        for (int64_t row = 0; s.carried && row < 3 * s.B; row++) {
            size_t at = static_cast<size_t>(row), i = static_cast<size_t>(row * s.C + c);
            compare(&all[5], expected.state[at], out.state[i]);
            compare(&all[6], expected.dstate_in[at], out.dstate_in[i]);
        }
    }
    for (const comparison &each : all) {
        if (!each.finite || !(each.farthest <= TOLERANCE * each.largest)) {
            snprintf(fault, sizeof fault, "%s of (%lld, %lld, %lld) is off by %.2g of %.2g",
                     each.name, static_cast<long long>(s.B), static_cast<long long>(s.T),
                     static_cast<long long>(s.C), each.farthest, each.largest);
            return fault;
        }
    }
    return "";
}

/* Lengths around those of warps, chunks and groups; channels that fill no tile. */
const shape awkward[] = {
    {1, 1, 1, true},     {2, 17, 33, false}, {3, 131, 21, true},
    {1, 1100, 37, true}, {2, 4201, 3, true},
};

bool check()
{
    const char *fault = "";
    for (const shape &s : awkward) {
        problem_set set = make_set(s);
        run_both(set);
        outputs found = outputs_of(s, set); /* which waits: the arrays are in use until then */
        if (fault[0] == '\0') {
            fault = fault_of(s, found, 1);
        }
        free_set(set);
    }
    printf("{\"check\": \"%s\"}\n", fault);
    return fault[0] == '\0';
}

/* ---- timing ---- */

int runs = 11;

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

/* Median seconds of what `enqueue` puts on the stream, replayed as a graph, so that no time of the
 * host's is counted. */
template <typename function> double replayed_seconds(function enqueue)
{
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    must(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
    enqueue();
    must(cudaStreamEndCapture(stream(), &graph));
    must(cudaGraphInstantiate(&executable, graph, 0));
    std::vector<double> seconds;
    for (int i = 0; i < WARMUPS; i++) {
        must(cudaGraphLaunch(executable, stream()));
    }
    for (int i = 0; i < runs; i++) {
        seconds.push_back(seconds_of([&] { must(cudaGraphLaunch(executable, stream())); }));
    }
    must(cudaGraphExecDestroy(executable));
    must(cudaGraphDestroy(graph));
    return median(seconds);
}

/* So many problems that what one leaves in the second-level cache has gone when its turn comes
 * again. */
size_t sets_for(const shape &s)
{
    int64_t cache = attribute(cudaDevAttrL2CacheSize), bytes = s.elements() * 12;
    int64_t sets = mt_cuda::parts_of(4 * cache, bytes);
    return static_cast<size_t>(sets < 2 ? 2 : sets > 64 ? 64 : sets);
}

bool time_shape(const shape &s)
{
    std::vector<problem_set> sets;
    for (size_t i = sets_for(s); i > 0; i--) {
        sets.push_back(make_set(s));
        run_both(sets.back());
    }
    outputs first = outputs_of(s, sets[0]);
    double forward = replayed_seconds([&] {
        for (const problem_set &set : sets) {
            must(mt_cuda::wkv_forward<float>(bare_device(), &set.forward));
        }
    });
    double backward = replayed_seconds([&] {
        for (const problem_set &set : sets) {
            must(mt_cuda::wkv_backward<float>(bare_device(), &set.backward));
        }
    });
    const char *fault = fault_of(s, first, s.C > 4 ? s.C / 4 + 1 : 1);
    for (size_t i = 0; i < 2 && fault[0] == '\0'; i++) {
        if (!same(first, outputs_of(s, sets[i]))) {
            fault = "other bits from one run to the next";
        }
    }
    for (const problem_set &set : sets) {
        free_set(set);
    }
    double count = static_cast<double>(sets.size());
    printf("{\"shape\": [%lld, %lld, %lld], \"forward_us\": %.3f, \"backward_us\": %.3f, "
           "\"fault\": \"%s\"}\n",
           static_cast<long long>(s.B), static_cast<long long>(s.T), static_cast<long long>(s.C),
           forward / count * 1e6, backward / count * 1e6, fault);
    return fault[0] == '\0';
}

void time_copy(size_t bytes)
{
    void *from = device_memory(bytes), *to = device_memory(bytes);
    must(cudaMemsetAsync(from, 0, bytes, stream()));
    double seconds = replayed_seconds(
        [&] { must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream())); });
    must(cudaFree(from));
    must(cudaFree(to));
    printf("{\"copy\": %zu, \"bytes_per_second\": %.4g}\n", bytes,
           2.0 * static_cast<double>(bytes) / seconds);
}

} // namespace

int main(int argc, char **argv)
{
    bool right = true;
    bare_device();
    for (int i = 1; i < argc; i++) {
        long long B, T, C, number;
        if (strcmp(argv[i], "check") == 0) {
            right = check() && right;
        } else if (sscanf(argv[i], "copy:%lld", &number) == 1 && number > 0) {
            time_copy(static_cast<size_t>(number));
        } else if (sscanf(argv[i], "runs:%lld", &number) == 1 && number > 0) {
            runs = static_cast<int>(number);
        } else if (sscanf(argv[i], "%lld,%lld,%lld", &B, &T, &C) == 3 && B > 0 && T > 0 && C > 0) {
            right = time_shape({B, T, C, false}) && right;
        } else {
            fprintf(stderr, "%s: not check, copy:BYTES, runs:N or B,T,C: %s\n", argv[0], argv[i]);
            return 2;
        }
        fflush(stdout);
    }
    return right ? 0 : 3;
}
