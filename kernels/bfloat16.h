/* bfloat16, the upper half of a float32, for the CPU and CUDA alike. Internal. */
#ifndef MT_KERNELS_BFLOAT16_H
#define MT_KERNELS_BFLOAT16_H

#include "kernels/everywhere.h"

#include <stdint.h>
#include <string.h>

/* A structure, so that no compiler takes it for an integer. */
typedef struct mt_bf16 {
    uint16_t bits;
} mt_bf16;

MT_EVERYWHERE float mt_bf16_value(mt_bf16 x)
{
    uint32_t bits = (uint32_t)x.bits << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The nearest, of two the even one; beyond the largest, infinity. */
MT_EVERYWHERE mt_bf16 mt_bf16_rounded(float value)
{
    const uint32_t infinity = 0x7F800000u, quiet = 0x00400000u;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t nearest = bits + 0x7FFFu + ((bits >> 16) & 1u);
    uint32_t kept = (bits & 0x7FFFFFFFu) > infinity ? bits | quiet : nearest;
    mt_bf16 x;
    x.bits = (uint16_t)(kept >> 16);
    return x;
}

#endif
