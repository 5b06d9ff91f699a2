/* The Fletcher-32 checksum, as HDF5's filter of that name has it. Internal. */
#ifndef MT_IO_FLETCHER32_H
#define MT_IO_FLETCHER32_H

#include <stddef.h>
#include <stdint.h>

/* Of bytes as numbers of 16 bits, the first byte of each the higher; behind an odd last byte comes
 * a zero. On at most so many of the CPU's threads. */
uint32_t mt_fletcher32(int threads, const void *bytes, size_t size);

/* The same as a file has it behind a chunk: its lowest byte first. */
enum { MT_CHECKSUM_BYTES = 4 };
void mt_fletcher32_bytes(int threads, const void *bytes, size_t size, char sum[MT_CHECKSUM_BYTES]);

#endif
