/* Memory that a kernel needs while it runs: the device's own, grown when needed and kept.
 * Internal. */
#ifndef MT_KERNELS_CPU_WORKSPACE_H
#define MT_KERNELS_CPU_WORKSPACE_H

#include "kernels/device.h"

/* `bytes` of memory aligned to 64 bytes, valid until the next kernel call on the device. */
mt_status mt_cpu_workspace(mt_device *device, size_t bytes, void **memory);

#endif
