/* Sums over the GPUs of ranks, and what these give one another, by NCCL (kernels/nccl.h). Internal.
 *
 * A rank that ends leaves the others' GPUs waiting for ever, and what waits for a GPU too. So a
 * thread looks after the other ranks and after NCCL: where either fails it ends the sums at work.
 * Their values are lost then, and whoever goes on has to ask first: mt_nccl_sums_check. */
#ifndef MT_KERNELS_NCCL_SUMS_H
#define MT_KERNELS_NCCL_SUMS_H

#include <mixtape/communicator.h>

#include "kernels/nccl.h"

typedef struct mt_nccl_sums mt_nccl_sums;

/* MT_ERROR_DEVICE with why NCCL is not to be had. */
mt_status mt_nccl_load(mt_nccl *nccl);

/* Connects the device with those of all ranks, by all of them. After a failure `sums` is NULL, and
 * where all ranks know of it (mt_communicator_has_agreed) the communicator is as before: the
 * message tells why, of the lowest rank that failed. */
mt_status mt_nccl_sums_open(mt_communicator *communicator, mt_device *device, mt_nccl_sums **sums);

/* The device may be closed from then on, once what it was given has been waited for. */
void mt_nccl_sums_leave_device(mt_nccl_sums *sums);

/* Waits for all ranks, and closes; NULL is allowed. MT_ERROR_DEVICE where sums were ended, which
 * the other ranks need not know of, or the device failed. */
mt_status mt_nccl_sums_close(mt_nccl_sums *sums);

/* Tells if they are of that device's memory. */
bool mt_nccl_sums_are_of(const mt_nccl_sums *sums, const mt_device *device);

/* mt_communicator_begin_sum and mt_communicator_end_sums. */
mt_status mt_nccl_sums_begin(mt_nccl_sums *sums, mt_dtype dtype, int64_t n, void *values);
mt_status mt_nccl_sums_end(mt_nccl_sums *sums);

/* As a sum is begun, and ended by the same function. All ranks get each one's part of the memory,
 * rank r's being the `part` bytes from r part on; or the bytes of the rank `root`. */
mt_status mt_nccl_sums_begin_gather(mt_nccl_sums *sums, size_t part, void *memory);
mt_status mt_nccl_sums_begin_broadcast(mt_nccl_sums *sums, int root, size_t bytes, void *memory);

/* MT_OK, or MT_ERROR_DEVICE with why sums were ended. Once what a device was given has been waited
 * for, MT_OK means that its sums are those of all ranks. NULL is allowed. */
mt_status mt_nccl_sums_check(mt_nccl_sums *sums);

/* 22803: 2.28.3 */
int mt_nccl_sums_version(const mt_nccl_sums *sums);

#endif
