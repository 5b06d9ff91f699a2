/* The instruction sets that the CPU's kernels are built for, and the tables of those builds.
 * Internal. */
#ifndef MT_KERNELS_CPU_ISA_H
#define MT_KERNELS_CPU_ISA_H

#include "kernels/device.h"

typedef struct mt_cpu_isa_build {
    const char *name;
    int (*supported)(void); /* by the processor at hand */
    const mt_kernels *kernels[MT_REAL_DTYPES];
} mt_cpu_isa_build;

/* Chooses the best supported build, or the one that MIXTAPE_ISA names. */
mt_status mt_cpu_choose_isa(const mt_cpu_isa_build **build);

#endif
