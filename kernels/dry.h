/* A device that only counts. It stands in the place of another: whatever runs on it, down to each
 * allocation, runs as there, but its memory is addresses alone, its kernels do nothing, and what is
 * read from it is zero. So the memory that a program takes of a device is known without taking it,
 * from the program's own code. Internal. */
#ifndef MT_KERNELS_DRY_H
#define MT_KERNELS_DRY_H

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opens one in the place of `like`, which outlives it, with its name. MT_ERROR_MEMORY. */
mt_status mt_dry_open(mt_device *like, mt_device **device);

/* The most bytes that were allocated on it at a time. Of what kernels and libraries of the other
 * device take for themselves, only the room is counted in which the CPU widens factors of
 * bfloat16 where it does not multiply them as such. */
size_t mt_dry_most(const mt_device *device);

#ifdef __cplusplus
}
#endif

#endif
