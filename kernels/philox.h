/* The Philox 4x32-10 function, inline for the kernels that draw many numbers. Internal; random.h
 * tells what it is. */
#ifndef MT_KERNELS_PHILOX_H
#define MT_KERNELS_PHILOX_H

#include "kernels/everywhere.h"

#include <stdint.h>

/* The counter's upper half for the mask at this place of this step. */
MT_EVERYWHERE uint64_t mt_dropout_sequence(uint64_t step, uint64_t place)
{
    enum { MASKS_PER_STEP_BITS = 24 };
    return (step << MASKS_PER_STEP_BITS) + place;
}

MT_EVERYWHERE void mt_philox_rounds(uint64_t key, uint64_t counter_lo, uint64_t counter_hi,
                                    uint32_t out[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t x0 = (uint32_t)counter_lo, x1 = (uint32_t)(counter_lo >> 32);
    uint32_t x2 = (uint32_t)counter_hi, x3 = (uint32_t)(counter_hi >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x0, p1 = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)p1;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

#endif
