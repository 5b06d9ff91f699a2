/* The kinds of device that mt_device_open knows. Internal. */
#ifndef MT_KERNELS_DEVICES_H
#define MT_KERNELS_DEVICES_H

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

mt_status mt_cpu_open(int index, mt_device **device);
mt_status mt_cuda_open(int index, mt_device **device);

#ifdef __cplusplus
}
#endif

#endif
