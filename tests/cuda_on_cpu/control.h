/* Tests ask CUDA-on-CPU to fail, and to tell what is still allocated. For tests alone. */
#ifndef CUDA_ON_CPU_CONTROL_H
#define CUDA_ON_CPU_CONTROL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cuda_on_cpu_machine {
    CUDA_ON_CPU_WORKS,
    CUDA_ON_CPU_NO_DRIVER,
    CUDA_ON_CPU_NO_DEVICE,
    CUDA_ON_CPU_NO_BLAS,
    CUDA_ON_CPU_NO_BLAS_LT,  /* but cuBLAS */
    CUDA_ON_CPU_NO_ALGORITHM /* which cuBLASLt would have */
} cuda_on_cpu_machine;

/* The machine that is played; it has one device at first. The environment variable
 * CUDA_ON_CPU_MACHINE ("no-driver", "no-device", "no-blas", "no-blas-lt", "no-algorithm") says so
 * from outside. */
void cuda_on_cpu_set_machine(cuda_on_cpu_machine machine);

/* The n-th call from now that allocates (device or pinned memory, a stream, an event, a graph, a
 * cuBLAS handle, a descriptor of cuBLASLt) fails, once; 0: none does. Returns how many were made
 * since the last such call. The environment variable CUDA_ON_CPU_FAIL_ALLOCATION says so from
 * outside. */
int cuda_on_cpu_fail_allocation(int n);

/* The same for launches of kernels; CUDA_ON_CPU_FAIL_LAUNCH from outside. */
int cuda_on_cpu_fail_launch(int n);

/* The same for what makes nothing: copies, events and their times, waiting, recording, replaying,
 * questions. The call does nothing but say so; one that waits has waited. */
int cuda_on_cpu_fail_call(int n);

/* The n-th launch from now is accepted, but its kernel faults: from when it runs, every call fails,
 * as on a device whose context is lost, until this is called again; a kernel that stops itself
 * (__trap) is no different. 0: none does. Returns how many
 * were made since the last such call of either. CUDA_ON_CPU_CRASH_LAUNCH from outside. */
int cuda_on_cpu_crash_launch(int n);

/* Blocks of the grids launched from now on begin in a random order, each at most so many places
 * before or after that of its number; 0, as at first: in the order of their numbers.
 * CUDA_ON_CPU_DISORDER from outside. */
void cuda_on_cpu_set_disorder(unsigned places);

/* At most so many blocks are there at a time, and no more than 48, or 2 with ThreadSanitizer; 0, as
 * at first: 2 with ThreadSanitizer, and else as many as are drawn each time that grids run.
 * CUDA_ON_CPU_RESIDENTS from outside. */
void cuda_on_cpu_set_residents(unsigned blocks);

/* The largest share of a multiprocessor's memory, in per cent, that a kernel launched since the
 * last such call had asked for as shared memory rather than cache; -1: none had asked. */
int cuda_on_cpu_carveout(void);

/* Calls since the last such call that waited for the device. */
int cuda_on_cpu_waits(void);

/* Allocations of every kind that have not been given back. */
int cuda_on_cpu_live(void);

#ifdef __cplusplus
}

namespace cuda_on_cpu
{
/* Tells if the machine is this one, whichever way it was said. */
bool machine_is(cuda_on_cpu_machine asked, const char *name);
} // namespace cuda_on_cpu
#endif

#endif
