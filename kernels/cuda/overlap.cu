/* Whether kernels of the device's own stream overlap (begin_kernel). */
#include "kernels/cuda/kernels.cuh"

#include <stdlib.h>
#include <string.h>

namespace mt_cuda
{

namespace
{

constexpr int CAPABILITY = 9, VIRTUAL_ARCHITECTURE = 90; /* from which on kernels can wait */
constexpr int GRAPH_VERSION = 12030; /* of CUDA, whose graphs have dependencies of that kind */

__global__ void any_kernel()
{
    begin_kernel();
}

} // namespace

/* What was compiled for older GPUs alone, and is made anew for this one by its driver, does not
 * wait: all kernels are compiled for the same ones. */
mt_status find_overlap(cuda_device *cuda)
{
    const char *wanted = getenv("MIXTAPE_OVERLAP");
    cudaFuncAttributes compiled = {};
    int runtime = 0, driver = 0;
    if (cuda->capability < CAPABILITY || (wanted != nullptr && strcmp(wanted, "0") == 0)) {
        return MT_OK;
    }
    mt_status status =
        check(cudaFuncGetAttributes(&compiled, any_kernel), "looking at what was compiled");
    if (status == MT_OK) {
        status = check(cudaRuntimeGetVersion(&runtime), "asking for the version of CUDA");
    }
    if (status == MT_OK) {
        status = check(cudaDriverGetVersion(&driver), "asking for the version of the driver");
    }
    cuda->overlaps = compiled.ptxVersion >= VIRTUAL_ARCHITECTURE && runtime >= GRAPH_VERSION &&
                     driver >= GRAPH_VERSION;
    return status;
}

} // namespace mt_cuda
