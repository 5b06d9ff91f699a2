/* A second stream, for work beside that of the device's own. */
#include "kernels/cuda/cuda.cuh"

namespace mt_cuda
{

namespace
{

mt_status open_branch(cuda_device *cuda)
{
    mt_status status = MT_OK;
    for (int i = 0; i < 2 && status == MT_OK; i++) {
        if (cuda->turns[i] == nullptr) {
            status = check(cudaEventCreateWithFlags(&cuda->turns[i], cudaEventDisableTiming),
                           "opening a stream");
        }
    }
    return status == MT_OK ? check(cudaStreamCreateWithFlags(&cuda->side, cudaStreamNonBlocking),
                                   "opening a stream")
                           : status;
}

/* Has the second stream go on once the first has done what it was given. */
mt_status follow(cudaStream_t second, cudaStream_t first, cudaEvent_t turn)
{
    mt_status status = check(cudaEventRecord(turn, first), "changing streams");
    return status == MT_OK ? check(cudaStreamWaitEvent(second, turn, 0), "changing streams")
                           : status;
}

} // namespace

mt_status branch(mt_device *device, void **stream)
{
    cuda_device *cuda = of(device);
    mt_status status = use(device);
    if (status == MT_OK && cuda->side == nullptr) {
        status = open_branch(cuda);
    }
    *stream = cuda->side;
    return status == MT_OK ? follow(cuda->side, cuda->stream, cuda->turns[0]) : status;
}

mt_status join(mt_device *device)
{
    cuda_device *cuda = of(device);
    mt_status status = use(device);
    return status == MT_OK && cuda->side != nullptr
               ? follow(cuda->stream, cuda->side, cuda->turns[1])
               : status;
}

void close_branch(cuda_device *cuda)
{
    for (cudaEvent_t turn : cuda->turns) {
        if (turn != nullptr) {
            cudaEventDestroy(turn);
        }
    }
    if (cuda->side != nullptr) {
        cudaStreamSynchronize(cuda->side);
        cudaStreamDestroy(cuda->side);
    }
}

} // namespace mt_cuda
