/* FNV-1a (Fowler, Noll and Vo), of 64 bits: a sum that tells bytes apart that nobody made alike.
 * Internal. */
#ifndef MT_IO_FNV_H
#define MT_IO_FNV_H

#include <stddef.h>
#include <stdint.h>

static const uint64_t mt_fnv_begin = UINT64_C(0xcbf29ce484222325);

static inline uint64_t mt_fnv_add(uint64_t sum, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) {
        sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

#endif
