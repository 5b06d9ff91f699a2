/* The runtime of CUDA-on-CPU. Work on a stream is put off until someone waits for it, as a device
 * may do: host memory that is changed or freed too early gives wrong results. Device memory is
 * poisoned when allocated, and, with AddressSanitizer, out of the host's reach but while work runs
 * on the device. */
#include "control.h"
#include "fibres.h"
#include "tests/sanitizers.h"

#include <pthread.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#if WATCHES_ADDRESSES
#include <sanitizer/asan_interface.h>
#define POISON(memory, bytes)   ASAN_POISON_MEMORY_REGION(memory, bytes)
#define UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define POISON(memory, bytes)   ((void)(memory), (void)(bytes))
#define UNPOISON(memory, bytes) ((void)(memory), (void)(bytes))
#endif

/* What a stream has to do: a launch, or with no blocks anything else; or wait, with `awaits`, until
 * that is true. */
struct work {
    cuda_on_cpu::grid launch;
    std::function<void()> other;
    std::shared_ptr<bool> awaits;
};
typedef std::deque<work> work_list;

struct cuda_on_cpu_stream {
    work_list queue;
    cuda_on_cpu_graph *capture; /* or NULL: where work is noted instead */
};

struct cuda_on_cpu_graph {
    work_list work;
    bool invalid; /* a call failed that capturing forbids */
};

struct cuda_on_cpu_event {
    cudaStream_t stream; /* that it was recorded on last, or NULL */
    bool captured;       /* in a graph, so that nothing waits for it outside */
    bool timed;
    std::shared_ptr<double> reached; /* when the stream did, in milliseconds, or 0; or NULL */
    std::shared_ptr<bool> passed;    /* if the stream has; NULL: it is not recorded */
};

namespace
{

constexpr int NOT_WRITTEN = 0xFF; /* NaN in every real type */
constexpr size_t DEVICE_MEGABYTES = 4096;
constexpr unsigned MOST_THREADS = 1024;
constexpr size_t WATCHED_BYTES = 4 << 20; /* at either end of device memory */
constexpr unsigned MOST_OVERLAPPING = 4;  /* grids of a stream that are there at once */
constexpr unsigned OVERLAPS_ONCE_IN =
    4; /* a thread that waits takes longer than one that need not */

std::unordered_map<void *, size_t> device_memory;
size_t device_bytes_used;
std::unordered_map<const void *, size_t> asked_shared; /* of kernels */
std::unordered_map<const void *, int> asked_carveout;
int largest_carveout = -1; /* of what has been launched */

/* A number that the environment gives, or 0. */
int from_outside(const char *name)
{
    const char *text = getenv(name);
    return text != nullptr ? atoi(text) : 0;
}

/* More devices than one are the same one, by other numbers. */
int device_count()
{
    int given = from_outside("CUDA_ON_CPU_DEVICES");
    return given > 0 ? given : 1;
}

/* The memory that the device has. */
size_t device_bytes()
{
    int given = from_outside("CUDA_ON_CPU_MEGABYTES");
    return (given > 0 ? static_cast<size_t>(given) : DEVICE_MEGABYTES) << 20;
}

int live, allocations, launches, calls, waits;
bool lost;              /* a kernel has faulted or stopped itself: every call fails from now on */
cudaStream_t capturing; /* or NULL: one stream captures at a time */
cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeThreadLocal; /* of the one thread */
int failing_allocation = from_outside("CUDA_ON_CPU_FAIL_ALLOCATION");
int failing_launch = from_outside("CUDA_ON_CPU_FAIL_LAUNCH");
int failing_call;
int crashing_launch = from_outside("CUDA_ON_CPU_CRASH_LAUNCH");
unsigned residents = static_cast<unsigned>(from_outside("CUDA_ON_CPU_RESIDENTS"));
unsigned disorder = static_cast<unsigned>(from_outside("CUDA_ON_CPU_DISORDER"));
cuda_on_cpu_machine machine = CUDA_ON_CPU_WORKS;
cudaError_t last_error = cudaSuccess;

/* A child of a process that has used CUDA must not: its driver may do anything then. */
bool forked;

void note_fork()
{
    forked = true;
}

void must_not_be_forked()
{
    static const int watching = pthread_atfork(nullptr, nullptr, note_fork);
    if (forked || watching != 0) {
        abort();
    }
}

cudaError_t failed(cudaError_t error)
{
    must_not_be_forked();
    last_error = error;
    return error;
}

bool allocation_fails()
{
    return ++allocations == failing_allocation;
}

bool call_fails()
{
    return ++calls == failing_call;
}

/* The result of a call that does nothing wrong. */
cudaError_t success()
{
    must_not_be_forked();
    return lost ? cudaErrorLaunchFailure : cudaSuccess;
}

template <typename T> cudaError_t make(T **made)
{
    must_not_be_forked();
    if (lost) {
        *made = nullptr;
        return success();
    }
    if (allocation_fails()) {
        *made = nullptr;
        return failed(cudaErrorMemoryAllocation);
    }
    *made = new T();
    live++;
    return cudaSuccess;
}

template <typename T> cudaError_t destroy(T *made)
{
    delete made;
    live--;
    return success();
}

/* Calls that may wait for the device are refused while work is captured, and spoil the capture. */
bool capture_forbids()
{
    bool forbids = capturing != nullptr && capture_mode != cudaStreamCaptureModeRelaxed;
    if (forbids) {
        capturing->capture->invalid = true;
    }
    return forbids;
}

/* Does it to either end of device memory: a library's whole workspace, at each turn, would take
 * longer than what the turn is for. */
template <typename action> void at_either_end(void *memory, size_t bytes, action act)
{
    size_t end = std::min(bytes, WATCHED_BYTES);
    act(memory, end);
    act(static_cast<char *>(memory) + bytes - end, end);
}

void reach(void *memory, size_t bytes, bool within_reach)
{
    at_either_end(memory, bytes, [=](void *end, size_t size) {
        if (within_reach) {
            UNPOISON(end, size);
        } else {
            POISON(end, size);
        }
    });
}

void reach_device_memory(bool within_reach)
{
    for (const auto &[memory, bytes] : device_memory) {
        reach(memory, bytes, within_reach);
    }
}

/* The default stream is a stream of its own here, which waits for no other. */
cudaStream_t named(cudaStream_t stream)
{
    static cuda_on_cpu_stream default_stream;
    return stream != nullptr ? stream : &default_stream;
}

std::vector<cudaStream_t> streams = {named(nullptr)};

/* The stream's next launch, and now and then those that may begin before it has ended. */
std::vector<cuda_on_cpu::grid> take_launches(cudaStream_t stream)
{
    std::vector<cuda_on_cpu::grid> taken;
    work_list &queue = stream->queue;
    bool overlap = cuda_on_cpu::shuffled_below(OVERLAPS_ONCE_IN) == 0;
    size_t most = overlap ? MOST_OVERLAPPING : 1;
    while (taken.size() < most && !queue.empty() && queue.front().launch.blocks > 0 &&
           (taken.empty() || queue.front().launch.overlaps)) {
        taken.push_back(std::move(queue.front().launch));
        queue.pop_front();
    }
    return taken;
}

/* The next that each stream has to do: launches all at once. */
void run_next()
{
    std::vector<std::vector<cuda_on_cpu::grid>> grids;
    for (cudaStream_t each : streams) {
        if (each->queue.empty()) {
            continue;
        }
        const std::shared_ptr<bool> &awaits = each->queue.front().awaits;
        if (awaits != nullptr && !*awaits && !lost) {
            continue;
        }
        if (each->queue.front().launch.blocks > 0) {
            grids.push_back(take_launches(each));
            continue;
        }
        work next = std::move(each->queue.front());
        each->queue.pop_front();
        if (!lost) {
            next.other();
        }
    }
    if (!grids.empty() && !lost) {
        lost = !cuda_on_cpu::run_grids(grids, residents);
    }
}

/* Runs what the stream still has to do, and as much of what each other has. */
void flush(cudaStream_t stream)
{
    cudaStream_t on = named(stream);
    if (on->queue.empty()) {
        return;
    }
    reach_device_memory(true);
    while (!on->queue.empty()) {
        run_next();
    }
    reach_device_memory(false);
}

double clock_milliseconds()
{
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(now).count();
}

std::unordered_map<void *, size_t> pinned_memory;

bool is_pinned(const void *memory)
{
    for (const auto &[start, bytes] : pinned_memory) {
        if (memory >= start && memory < static_cast<char *>(start) + bytes) {
            return true;
        }
    }
    return false;
}

} // namespace

namespace cuda_on_cpu
{

static cudaError_t enqueue(cudaStream_t stream, work next)
{
    cudaStream_t on = named(stream);
    if (on->capture != nullptr && on->capture->invalid) {
        return failed(cudaErrorStreamCaptureInvalidated);
    }
    work_list &to = on->capture != nullptr ? on->capture->work : on->queue;
    to.push_back(std::move(next));
    return success();
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> other)
{
    return enqueue(stream, work{{}, std::move(other), nullptr});
}

/* As if kernels had been compiled for the device, unless CUDA_ON_CPU_PTX says for which. */
cudaError_t get_attributes(cudaFuncAttributes *attributes)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    int given = from_outside("CUDA_ON_CPU_PTX");
    attributes->ptxVersion = given > 0 ? given : 90;
    return success();
}

cudaError_t set_attribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    bool shared = attribute == cudaFuncAttributeMaxDynamicSharedMemorySize;
    if (value < 0 || static_cast<size_t>(value) > (shared ? ASKED_SHARED_BYTES : 100)) {
        return failed(cudaErrorInvalidValue);
    }
    if (shared) {
        asked_shared[kernel] = static_cast<size_t>(value);
    } else {
        asked_carveout[kernel] = value;
    }
    return success();
}

cudaError_t enqueue_launch(const void *kernel, const cudaLaunchConfig_t &config,
                           std::function<void()> body)
{
    auto asked = asked_shared.find(kernel);
    size_t most_shared = asked != asked_shared.end() ? asked->second : SHARED_BYTES;
    if (++launches == failing_launch) {
        return failed(cudaErrorLaunchFailure);
    }
    if (config.gridDim.x < 1 || config.gridDim.x > 0x7FFFFFFFu || config.blockDim.x < 1 ||
        config.blockDim.x > MOST_THREADS || config.dynamicSmemBytes > most_shared) {
        return failed(cudaErrorInvalidConfiguration);
    }
    auto carveout = asked_carveout.find(kernel);
    if (carveout != asked_carveout.end()) {
        largest_carveout = std::max(largest_carveout, carveout->second);
    }
    if (launches == crashing_launch) {
        return enqueue(config.stream, [] { lost = true; });
    }
    bool overlaps = false;
    for (unsigned i = 0; i < config.numAttrs; i++) {
        overlaps = overlaps || config.attrs[i].val.programmaticStreamSerializationAllowed != 0;
    }
    return enqueue(config.stream,
                   work{{config.gridDim.x, config.blockDim.x, config.dynamicSmemBytes, disorder,
                         overlaps, std::move(body)},
                        nullptr});
}

bool machine_is(cuda_on_cpu_machine asked, const char *name)
{
    const char *named = getenv("CUDA_ON_CPU_MACHINE");
    return machine == asked || (named != nullptr && strcmp(named, name) == 0);
}

} // namespace cuda_on_cpu

/* ---- control.h ---- */

void cuda_on_cpu_set_machine(cuda_on_cpu_machine now)
{
    machine = now;
}

int cuda_on_cpu_fail_allocation(int n)
{
    int made = allocations;
    allocations = 0;
    failing_allocation = n;
    return made;
}

int cuda_on_cpu_fail_launch(int n)
{
    int made = launches;
    launches = 0;
    failing_launch = n;
    return made;
}

int cuda_on_cpu_fail_call(int n)
{
    int made = calls;
    calls = 0;
    failing_call = n;
    return made;
}

int cuda_on_cpu_crash_launch(int n)
{
    int made = launches;
    lost = false;
    launches = 0;
    crashing_launch = n;
    return made;
}

void cuda_on_cpu_set_disorder(unsigned places)
{
    disorder = places;
}

void cuda_on_cpu_set_residents(unsigned blocks)
{
    residents = blocks;
}

int cuda_on_cpu_carveout(void)
{
    int asked = largest_carveout;
    largest_carveout = -1;
    return asked;
}

int cuda_on_cpu_waits(void)
{
    int made = waits;
    waits = 0;
    return made;
}

int cuda_on_cpu_live(void)
{
    return live;
}

/* ---- cuda_runtime.h ---- */

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
        return "invalid resource handle";
    case cudaErrorNotReady:
        return "device not ready";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
        return "operation failed due to a previous error during capture";
    case cudaErrorCapturedEvent:
        return "operation not permitted on an event last recorded in a capturing stream";
    case cudaErrorUnknown:
        return "unknown error";
    default:
        return "invalid argument";
    }
}

cudaError_t cudaGetLastError()
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return lost ? success() : error;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 0;
    if (cuda_on_cpu::machine_is(CUDA_ON_CPU_NO_DRIVER, "no-driver")) {
        return failed(cudaErrorInsufficientDriver);
    }
    if (cuda_on_cpu::machine_is(CUDA_ON_CPU_NO_DEVICE, "no-device")) {
        return failed(cudaErrorNoDevice);
    }
    *count = device_count();
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int index)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    return index >= 0 && index < device_count() ? success() : failed(cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    bool of_capability = attribute == cudaDevAttrComputeCapabilityMajor;
    int given =
        from_outside(of_capability ? "CUDA_ON_CPU_CAPABILITY" : "CUDA_ON_CPU_MULTIPROCESSORS");
    /* Few multiprocessors, so that kernels have to walk in strides of the grid. */
    *value = given > 0 ? given : of_capability ? 9 : 2;
    return success();
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    int given = from_outside("CUDA_ON_CPU_VERSION");
    *version = given > 0 ? given : 13000;
    return call_fails() ? failed(cudaErrorUnknown) : success();
}

cudaError_t cudaDriverGetVersion(int *version)
{
    return cudaRuntimeGetVersion(version);
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    *memory = nullptr;
    if (lost) {
        return success();
    }
    if (capture_forbids()) {
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    if (allocation_fails() || bytes > device_bytes() - device_bytes_used) {
        return failed(cudaErrorMemoryAllocation);
    }
    *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (*memory == nullptr) {
        return failed(cudaErrorMemoryAllocation);
    }
    at_either_end(*memory, bytes, [](void *end, size_t size) { memset(end, NOT_WRITTEN, size); });
    reach(*memory, bytes, false);
    device_memory[*memory] = bytes;
    device_bytes_used += bytes;
    live++;
    return cudaSuccess;
}

/* Streams are not waited for here: work that still uses the memory will be found out. */
cudaError_t cudaFree(void *memory)
{
    if (memory == nullptr) {
        return success();
    }
    if (capture_forbids()) {
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    auto found = device_memory.find(memory);
    if (found == device_memory.end()) {
        return failed(cudaErrorInvalidValue);
    }
    reach(memory, found->second, true);
    device_bytes_used -= found->second;
    device_memory.erase(found);
    free(memory);
    live--;
    return success();
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    *memory = nullptr;
    if (lost) {
        return success();
    }
    if (!allocation_fails()) {
        *memory = malloc(bytes);
    }
    if (*memory == nullptr) {
        return failed(cudaErrorMemoryAllocation);
    }
    pinned_memory[*memory] = bytes;
    live++;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory)
{
    if (memory != nullptr) {
        pinned_memory.erase(memory);
        free(memory);
        live--;
    }
    return success();
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total)
{
    *total = device_bytes();
    *left = device_bytes() - device_bytes_used;
    return success();
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    cudaError_t error = cuda_on_cpu::enqueue(stream, [=] { memmove(to, from, bytes); });
    const void *host = kind == cudaMemcpyHostToDevice ? from : to;
    if (kind != cudaMemcpyDeviceToDevice && !is_pinned(host)) {
        if (named(stream)->capture != nullptr) {
            named(stream)->capture->invalid = true;
            return failed(cudaErrorStreamCaptureUnsupported);
        }
        waits++;
        flush(stream); /* pageable memory has been dealt with when the call returns */
    }
    return error;
}

cudaError_t cudaMemsetAsync(void *memory, int byte, size_t bytes, cudaStream_t stream)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    return cuda_on_cpu::enqueue(stream, [=] { memset(memory, byte, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    cudaError_t error = make(stream);
    if (error == cudaSuccess) {
        streams.push_back(*stream);
    }
    return error;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    flush(stream);
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    return destroy(stream);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (named(stream)->capture != nullptr) {
        named(stream)->capture->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    waits++;
    flush(stream);
    return call_fails() ? failed(cudaErrorUnknown) : success();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    cudaError_t error = make(&stream->capture);
    capturing = error == cudaSuccess ? stream : capturing;
    return error;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode)
{
    std::swap(*mode, capture_mode);
    return success();
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = stream->capture;
    capturing = nullptr;
    stream->capture = nullptr;
    if (*graph != nullptr && (*graph)->invalid) {
        destroy(*graph);
        *graph = nullptr;
        return failed(cudaErrorStreamCaptureInvalidated);
    }
    return *graph != nullptr ? success() : failed(cudaErrorInvalidValue);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
    cudaError_t error = make(executable);
    if (error == cudaSuccess) {
        **executable = *graph;
    }
    return error;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    for (const work &each : executable->work) {
        cuda_on_cpu::enqueue(stream, each);
    }
    return success();
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    return destroy(executable);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    return destroy(graph);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    cudaError_t error = make(event);
    if (error == cudaSuccess) {
        (*event)->timed = (flags & cudaEventDisableTiming) == 0;
    }
    return error;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return destroy(event);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    event->stream = named(stream);
    event->captured = event->stream->capture != nullptr;
    if (event->timed && !event->captured) {
        std::shared_ptr<double> reached = std::make_shared<double>(0.0);
        event->reached = reached;
        return cuda_on_cpu::enqueue(stream, [reached] { *reached = clock_milliseconds(); });
    }
    if (event->captured) {
        return success();
    }
    std::shared_ptr<bool> passed = std::make_shared<bool>(event->stream->queue.empty());
    event->passed = passed;
    return *passed ? success() : cuda_on_cpu::enqueue(stream, [passed] { *passed = true; });
}

/* What is recorded later does not count. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    return event->passed == nullptr || *event->passed
               ? success()
               : cuda_on_cpu::enqueue(stream, work{{}, [] {}, event->passed});
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->captured) {
        return failed(cudaErrorCapturedEvent);
    }
    if (event->stream != nullptr) {
        waits++;
        flush(event->stream);
    }
    return call_fails() ? failed(cudaErrorUnknown) : success();
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    if (call_fails()) {
        return failed(cudaErrorUnknown);
    }
    if (start->reached == nullptr || end->reached == nullptr) {
        return failed(cudaErrorInvalidResourceHandle);
    }
    if (*start->reached == 0.0 || *end->reached == 0.0) {
        return lost ? success() : failed(cudaErrorNotReady);
    }
    *milliseconds = static_cast<float>(*end->reached - *start->reached);
    return success();
}
