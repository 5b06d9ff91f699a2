/* Devices: where tensors live and kernels run. A program names one, opens it, and hands it to what
 * it makes; it never asks which it has.
 *
 * A device serves one thread at a time; other threads open devices of their own. Work is issued in
 * order; a device that is not the host may run behind, and what reads results waits for them. */
#ifndef MIXTAPE_DEVICE_H
#define MIXTAPE_DEVICE_H

#include <mixtape/api.h>
#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_device mt_device;

/* Opens "cpu", "cuda", "cuda:I" or "auto" (a CUDA device where there is one, with its cuBLAS, else
 * the CPU). The caller closes it with mt_device_close, after everything that lives on it.
 * MT_ERROR_INVALID for an unknown name, MT_ERROR_DEVICE where this build or machine has no such
 * device, MT_ERROR_MEMORY where the CPU has no address space to multiply in.
 *
 * A CPU device serves a child of fork as well. Once a process has opened a CUDA device, a child of
 * it can use none: whatever it asks of one is MT_ERROR_DEVICE, "auto" is the CPU, and closing the
 * parent's leaves it as it is. */
MT_API mt_status mt_device_open(const char *name, mt_device **device);
MT_API void mt_device_close(mt_device *device); /* NULL is allowed */

/* "cpu", "cuda:0"; owned by the device. */
MT_API const char *mt_device_name(const mt_device *device);

/* Waits for all work that was given to the device, and tells of what failed in it. */
MT_API mt_status mt_device_synchronize(mt_device *device);

/* Allows matrix products of MT_F32 to round their factors to TF32, on a device that has it, or
 * forbids it, as it is at first. */
MT_API mt_status mt_device_allow_tf32(mt_device *device, bool allowed);

/* NULL where the device multiplies MT_BF16 as such, faster than float32; else why it does not, in
 * words for a message. It works all the same: the CPU widens the factors to float32 first. NULL
 * without a device, too. */
MT_API const char *mt_device_lacks_bf16(const mt_device *device);

/* Memory of the device, for programs that call kernels on plain arrays (mixtape/wkv.h): aligned to
 * 64 bytes at least, its content unspecified. MT_ERROR_MEMORY with the size asked for. The caller
 * releases it, before the device is closed. Reading waits for the work that writes the memory. */
MT_API mt_status mt_device_allocate(mt_device *device, size_t bytes, void **memory);
MT_API void mt_device_release(mt_device *device, void *memory); /* NULL is allowed */
MT_API mt_status mt_device_write(mt_device *device, void *device_memory, const void *host_memory,
                                 size_t bytes);
MT_API mt_status mt_device_read(mt_device *device, void *host_memory, const void *device_memory,
                                size_t bytes);

/* Threads of the CPU device, for this process; 0 (the default) takes OMP_NUM_THREADS, else the
 * processors that the process is bound to, or fewer where its control group has a quota of less or
 * it shares them with others (mt_communicator_open).
 * What Mixtape's own kernels compute does not depend on it. Threads of the program may use devices
 * of their own at once, with a stack of 256 KiB or more each: one of them at a time has these
 * threads, the others do their work alone. A child of fork makes threads anew. */
MT_API void mt_cpu_set_threads(int threads);
MT_API int mt_cpu_threads(void);

/* The instruction set that the CPU device's kernels were chosen for: "avx512", "avx2" or
 * "baseline". The environment variable MIXTAPE_ISA, read when a CPU device is opened, names a lower
 * one. */
MT_API const char *mt_cpu_isa(void);

#ifdef __cplusplus
}
#endif

#endif
