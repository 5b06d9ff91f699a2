/* Tracing: events around every call that puts work on the device. */
#include "kernels/cuda/cuda.cuh"

#include <stdlib.h>

namespace mt_cuda
{

namespace
{

/* Longer than the host is estimated to take to enqueue a training step. Without it the device would
 * take the time of an event at once and then wait for the host's next call: short kernels would
 * look long. */
constexpr int PAUSE_MILLISECONDS = 10;
constexpr unsigned MILLISECOND = 1000000; /* in nanoseconds: the longest that a thread may sleep */

__global__ void pause_stream(int milliseconds)
{
    begin_kernel();
    for (int i = 0; i < milliseconds; i++) {
        __nanosleep(MILLISECOND);
    }
}

void destroy(cudaEvent_t event)
{
    if (event != nullptr) {
        cudaEventDestroy(event);
    }
}

mt_status make_room(cuda_device *cuda)
{
    call_trace *trace = &cuda->trace;
    size_t room = 2 * trace->made + 64;
    void *larger = realloc(trace->calls, room * sizeof *trace->calls);
    if (larger == nullptr) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no host memory to trace %zu calls", cuda->name, room);
    }
    trace->calls = static_cast<timed_call *>(larger);
    mt_status status = MT_OK;
    while (trace->made < room && status == MT_OK) {
        timed_call *call = &trace->calls[trace->made];
        *call = {};
        trace->made++;
        status = check(cudaEventCreateWithFlags(&call->before, cudaEventDefault), "tracing");
        if (status == MT_OK) {
            status = check(cudaEventCreateWithFlags(&call->after, cudaEventDefault), "tracing");
        }
    }
    return status;
}

} // namespace

mt_status trace(mt_device *device)
{
    mt_status status = launch(device, "pause", pause_stream, 1, WARP, 0, PAUSE_MILLISECONDS);
    of(device)->trace.count = 0;
    of(device)->trace.on = status == MT_OK;
    return status;
}

mt_status begin_call(mt_device *device, const char *name)
{
    cuda_device *cuda = of(device);
    call_trace *trace = &cuda->trace;
    mt_status status = trace->count < trace->made ? MT_OK : make_room(cuda);
    if (status != MT_OK) {
        return status;
    }
    trace->calls[trace->count].name = name;
    return check(cudaEventRecord(trace->calls[trace->count].before, cuda->stream), "tracing");
}

mt_status end_call(mt_device *device)
{
    call_trace *trace = &of(device)->trace;
    return check(cudaEventRecord(trace->calls[trace->count++].after, of(device)->stream),
                 "tracing");
}

mt_status traced(mt_device *device, mt_trace_row *row, void *context)
{
    call_trace *trace = &of(device)->trace;
    trace->on = false;
    if (row == nullptr) {
        return MT_OK;
    }
    mt_status status = device->synchronize(device);
    for (size_t i = 0; i < trace->count && status == MT_OK; i++) {
        const timed_call *call = &trace->calls[i];
        float milliseconds = 0.0f;
        status = check(cudaEventElapsedTime(&milliseconds, call->before, call->after), "tracing");
        if (status == MT_OK) {
            status = row(context, call->name, 1e-3 * static_cast<double>(milliseconds));
        }
    }
    return status;
}

void close_trace(cuda_device *cuda)
{
    for (size_t i = 0; i < cuda->trace.made; i++) {
        destroy(cuda->trace.calls[i].before);
        destroy(cuda->trace.calls[i].after);
    }
    free(cuda->trace.calls);
}

} // namespace mt_cuda
