/* The Fletcher-32 checksum, as HDF5's filter of that name has it. Internal. */
#ifndef MT_IO_FLETCHER32_H
#define MT_IO_FLETCHER32_H

#include "kernels/cpu/summed_copy.h"

#include <stdatomic.h>

/* As a file has it behind a chunk: its lowest byte first. */
enum { MT_CHECKSUM_BYTES = 4 };

/* Of bytes as numbers of 16 bits, the first byte of each the higher; behind an odd last byte comes
 * a zero. */
void mt_fletcher32(const void *bytes, size_t size, char checksum[MT_CHECKSUM_BYTES]);

/* The same of a chunk's bytes in parts, each of which is added once, in whatever order, also by
 * several threads at once. */
typedef struct mt_chunk_sum {
    _Atomic uint64_t first, second; /* Fletcher's two sums, modulo 65535 at the end */
    size_t size;                    /* of the chunk */
    size_t taken;                   /* of its first bytes, which have all been added */
    mt_summed_copy *copy; /* that sums: found at the beginning, as it asks the environment */
} mt_chunk_sum;

void mt_fletcher32_begin(mt_chunk_sum *sum, size_t size);

/* Adds the bytes from `from` on: both numbers are even, but that the last part may be odd. */
void mt_fletcher32_add(mt_chunk_sum *sum, size_t from, const void *bytes, size_t size);

/* The same, where Fletcher's sums of the part are known (kernels/cpu/summed_copy.h). */
void mt_fletcher32_add_sums(mt_chunk_sum *sum, size_t from, size_t size, const uint64_t sums[2]);

/* Notes that the chunk's first bytes have been added, for who adds the rest. */
void mt_fletcher32_took(mt_chunk_sum *sum, size_t size);

/* Adds the rest of the chunk, and tells the checksum. */
void mt_fletcher32_end(mt_chunk_sum *sum, const void *chunk, char checksum[MT_CHECKSUM_BYTES]);

#endif
