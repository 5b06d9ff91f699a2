#include "kernels/cpu/kernels.h"

const mt_kernels KERNEL(kernels) = {
#define MT_KERNEL(result, name, parameters) .name = KERNEL(name),
#include <mixtape/kernels/list.h>
};
