/* Recordings, as CUDA graphs. */
#include "kernels/cuda/blas.cuh"
#include "kernels/cuda/cuda.cuh"

#include <stdlib.h>

struct mt_recording {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
};

namespace mt_cuda
{

void forget(mt_device *device, mt_recording *recording)
{
    if (recording == nullptr) {
        return;
    }
    if (forked) {
        free(recording);
        return;
    }
    settle(device);
    if (recording->executable != nullptr) {
        cudaGraphExecDestroy(recording->executable);
    }
    if (recording->graph != nullptr) {
        cudaGraphDestroy(recording->graph);
    }
    free(recording);
}

mt_status record(mt_device *device)
{
    mt_status status = use(device);
    if (status == MT_OK) {
        status = open_blas(of(device)); /* which the recorded work may need */
    }
    return status != MT_OK
               ? status
               : check(cudaStreamBeginCapture(of(device)->stream, cudaStreamCaptureModeThreadLocal),
                       "recording");
}

mt_status recorded(mt_device *device, mt_recording **recording)
{
    cudaGraph_t graph = nullptr;
    cudaSetDevice(of(device)->index);
    cudaError_t error = cudaStreamEndCapture(of(device)->stream, &graph);
    if (recording == nullptr) {
        if (graph != nullptr) {
            cudaGraphDestroy(graph);
        }
        cudaGetLastError();
        return MT_OK;
    }
    *recording = nullptr;
    mt_recording *made = static_cast<mt_recording *>(calloc(1, sizeof *made));
    if (made == nullptr) {
        if (graph != nullptr) {
            cudaGraphDestroy(graph);
        }
        return mt_fail(MT_ERROR_MEMORY, "%s: no host memory for %zu bytes", of(device)->name,
                       sizeof *made);
    }
    made->graph = graph;
    mt_status status = check(error, "recording");
    if (status == MT_OK) {
        status = check(cudaGraphInstantiate(&made->executable, graph, 0), "recording");
    }
    if (status != MT_OK) {
        forget(device, made);
        return status;
    }
    *recording = made;
    return MT_OK;
}

mt_status replay(mt_device *device, mt_recording *recording)
{
    mt_status status = use(device);
    return status != MT_OK
               ? status
               : check(cudaGraphLaunch(recording->executable, of(device)->stream), "replaying");
}

} // namespace mt_cuda
