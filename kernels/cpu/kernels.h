/* The kernels that the files of this folder define, for the build at hand (real.h). The list and
 * its contracts are in mixtape/kernels/list.h. Internal. */
#ifndef MT_KERNELS_CPU_KERNELS_H
#define MT_KERNELS_CPU_KERNELS_H

#include "real.h"
#include "team.h"

#define MT_KERNEL(result, name, parameters) result KERNEL(name) parameters;
#include <mixtape/kernels/list.h>

extern const mt_kernels KERNEL(kernels);

#endif
