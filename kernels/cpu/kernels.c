#include "kernels/cpu/kernels.h"

const mt_kernels KERNEL(kernels) = {
#ifdef MT_BINARY16
#define MT_KERNEL_F16(result, name, parameters) .name = KERNEL(name),
#else
#define MT_KERNEL(result, name, parameters) .name = KERNEL(name),
#endif
#include <mixtape/kernels/list.h>
};
