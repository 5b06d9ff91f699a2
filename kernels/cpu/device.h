/* The CPU device from the inside: the builds of its kernels, one for each instruction set, and the
 * memory that they work in. Internal. */
#ifndef MT_KERNELS_CPU_DEVICE_H
#define MT_KERNELS_CPU_DEVICE_H

#include "kernels/cpu/summed_copy.h"
#include "kernels/device.h"

typedef struct mt_cpu_isa_build {
    const char *name;
    int (*supported)(void); /* by the processor at hand */
    const mt_kernels *kernels[MT_KERNEL_TABLES];
    mt_summed_copy *summed_copy_f32, *summed_copy_f64;
} mt_cpu_isa_build;

/* Chooses the best supported build, or the one that MIXTAPE_ISA names. */
mt_status mt_cpu_choose_isa(const mt_cpu_isa_build **build);

/* `bytes` of memory aligned to 64 bytes, for a kernel while it runs: the device's own, grown when
 * needed and kept, valid until the next kernel call on the device. */
mt_status mt_cpu_workspace(mt_device *device, size_t bytes, void **memory);

#endif
