/* Copies of reals that are looked through and summed on the way, on the host: memory is slower than
 * all three. Internal. */
#ifndef MT_KERNELS_CPU_SUMMED_COPY_H
#define MT_KERNELS_CPU_SUMMED_COPY_H

#include <mixtape/tensor.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies `bytes` bytes to `to`, unless that is NULL or where they are; where it is aligned to 64
 * bytes, past the caches, if the instruction set can. Tells if all reals among them are finite, and
 * none is below `least`. Writes, unless `sums` is NULL, Fletcher's sums of the bytes as numbers of
 * 16 bits, the lower byte first and a zero behind an odd one (io/fletcher32.h): modulo 65535, and 0
 * for zeros alone. */
typedef bool mt_summed_copy(size_t bytes, const void *from, void *to, double least,
                            uint64_t sums[2]);

/* The function for reals of a type, MT_F32 or MT_F64, in the build of the kernels at hand: the best
 * one where the environment names none that is to be had. */
mt_summed_copy *mt_cpu_summed_copy(mt_dtype dtype);

/* A sum modulo 65535, and 0 for 0 alone. */
static inline uint64_t mt_fletcher_reduced(uint64_t sum)
{
    return sum > 0 ? (sum - 1) % 65535 + 1 : 0;
}

#endif
