/* A build without CUDA has this in place of the CUDA device. */
#include "kernels/device.h"

int mt_cuda_count(void)
{
    return 0;
}

mt_status mt_cuda_open(int index, mt_device **device)
{
    (void)index;
    *device = NULL;
    return mt_fail(MT_ERROR_DEVICE, "device: this build of Mixtape has no CUDA (use cpu)");
}
