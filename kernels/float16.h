/* float16, IEEE 754's binary16: a sign, 5 bits of exponent and 10 of fraction. For the CPU, where
 * loops over these functions are vectorised; CUDA has instructions of its own. Internal. */
#ifndef MT_KERNELS_FLOAT16_H
#define MT_KERNELS_FLOAT16_H

#include <stdint.h>
#include <string.h>

/* A structure, so that no compiler takes it for an integer. */
typedef struct mt_f16 {
    uint16_t bits;
} mt_f16;

static inline uint32_t mt_f16_bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float mt_f16_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Exponents are 15 more than they stand for, and 127 more in float32. No number on the way is below
 * float32's normal ones, which a processor may be told to take for 0. What has no sign is compared
 * as if it had one: for that the oldest processors have instructions. */
static inline float mt_f16_value(mt_f16 x)
{
    const uint32_t bias = (127u - 15u) << 23;
    uint32_t magnitude = x.bits & 0x7FFFu, sign = (uint32_t)(x.bits & 0x8000u) << 16;
    uint32_t normal = (magnitude << 13) + bias;
    uint32_t subnormal = mt_f16_bits_of((float)(int32_t)magnitude * 0x1p-24f);
    uint32_t bits = (int32_t)magnitude < 0x0400 ? subnormal : normal;
    bits = (int32_t)magnitude >= 0x7C00 ? normal + bias : bits; /* infinite, or not a number */
    return mt_f16_of_bits(bits | sign);
}

/* The bits of the nearest, of two the even one, to the float32 of these bits, both without their
 * signs. Of what is too large, or no number, those of infinity or more. */
static inline uint32_t mt_f16_nearest(uint32_t magnitude)
{
    const uint32_t bias = (127u - 15u) << 23;
    /* Beside 1/2 a float32's last bit is 2^-24, of which a subnormal number has some. */
    uint32_t subnormal = mt_f16_bits_of(mt_f16_of_bits(magnitude) + 0.5f) - mt_f16_bits_of(0.5f);
    /* Half of the last bit that is kept, or a bit less where that is even. */
    uint32_t normal = (magnitude - bias + 0x0FFFu + (magnitude >> 13 & 1u)) >> 13;
    return (int32_t)magnitude < 0x38800000 ? subnormal : normal; /* 2^-14 */
}

/* The nearest; infinity where it is too large. */
static inline mt_f16 mt_f16_rounded(float value)
{
    uint32_t bits = mt_f16_bits_of(value), magnitude = bits & 0x7FFFFFFFu;
    uint32_t nearest = mt_f16_nearest(magnitude), infinity = 0x7C00u;
    uint32_t quiet_nan = infinity | 0x0200u | (magnitude >> 13 & 0x01FFu);
    nearest = (int32_t)magnitude >= 0x47800000 ? infinity : nearest; /* 2^16 */
    nearest = (int32_t)magnitude > 0x7F800000 ? quiet_nan : nearest;
    mt_f16 x;
    x.bits = (uint16_t)(nearest | (bits >> 16 & 0x8000u));
    return x;
}

#endif
