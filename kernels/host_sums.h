/* Sums over the ranks of a transport, of arrays on a device. Where the device's memory is the
 * host's they may be made by a thread, beside what else is done. Internal.
 *
 * A sum is made piece by piece: each rank gets its part of a piece from all ranks, adds them in the
 * order of ranks, and gives the sum to all. So every rank sends and gets twice the array's bytes,
 * less what stays, whatever their number; each element is added once, in one place, so that all
 * have the same bits. */
#ifndef MT_KERNELS_HOST_SUMS_H
#define MT_KERNELS_HOST_SUMS_H

#include <mixtape/device.h>
#include <mixtape/dtype.h>
#include <mixtape/error.h>

#include "kernels/transport.h"

typedef struct mt_host_sums mt_host_sums;

/* The transport outlives it. */
mt_status mt_host_sums_create(const mt_transport *transport, mt_host_sums **sums);
void mt_host_sums_destroy(mt_host_sums *sums); /* NULL is allowed */

/* mt_communicator_begin_sum and mt_communicator_end_sums. */
mt_status mt_host_sums_begin(mt_host_sums *sums, mt_device *device, mt_dtype dtype, int64_t n,
                             void *values);
mt_status mt_host_sums_end(mt_host_sums *sums);

#endif
