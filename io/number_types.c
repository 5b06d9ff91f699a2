#include "io/number_types.h"

#include "io/arrays.h"
#include "kernels/bfloat16.h"
#include "kernels/float16.h"

#include <math.h>
#include <string.h>

/* ---- read ---- */

static void read_f32(const char *from, int64_t count, void *to)
{
    memmove(to, from, (size_t)count * sizeof(float));
}

static void read_f64(const char *from, int64_t count, void *to)
{
    memmove(to, from, (size_t)count * sizeof(double));
}

static void read_f16(const char *from, int64_t count, void *to)
{
    for (int64_t i = 0; i < count; i++) {
        mt_f16 half;
        memcpy(&half, from + 2 * i, sizeof half);
        ((float *)to)[i] = mt_f16_value(half);
    }
}

static void read_bf16(const char *from, int64_t count, void *to)
{
    for (int64_t i = 0; i < count; i++) {
        mt_bf16 half;
        memcpy(&half, from + 2 * i, sizeof half);
        ((float *)to)[i] = mt_bf16_value(half);
    }
}

/* ---- written ---- */

/* The bits, without the sign, of a number that is finite, in a format of IEEE 754's kind; those of
 * the infinite where it is too large. */
static unsigned narrow(double magnitude, int fraction_bits, int bias)
{
    int exponent;
    double part = frexp(magnitude, &exponent);     /* in [1/2, 1) */
    if (exponent < 2 - bias || magnitude == 0.0) { /* so many of the smallest number */
        return (unsigned)nearbyint(ldexp(magnitude, bias - 1 + fraction_bits));
    }
    if (exponent > bias + 1) {
        return (2u * (unsigned)bias + 1) << fraction_bits;
    }
    /* The part's leading bit is not kept: it adds one to the exponent, and so may rounding. */
    return ((unsigned)(exponent + bias - 2) << fraction_bits) +
           (unsigned)nearbyint(ldexp(part, fraction_bits + 1));
}

static int64_t write_halves(mt_dtype dtype, const void *from, int64_t count, int fraction_bits,
                            int bias, char *to)
{
    const unsigned infinite = (2u * (unsigned)bias + 1) << fraction_bits;
    for (int64_t i = 0; i < count; i++) {
        double value = mt_real_at(dtype, from, i);
        unsigned bits = narrow(fabs(value), fraction_bits, bias);
        if (bits >= infinite) {
            return i;
        }
        uint16_t half = (uint16_t)(bits | (signbit(value) ? 1u << 15 : 0u));
        memcpy(to + (size_t)i * sizeof half, &half, sizeof half);
    }
    return -1;
}

/* The same of float32, whose bits are rounded as they are, without a branch: several at once. Each
 * function returns the largest magnitude that it has written. */
enum { BLOCK = 4096 };

static uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint32_t write_f16_block(const float *from, int64_t count, uint16_t *to)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = bits_of_float(from[i]), half = mt_f16_nearest(bits & 0x7FFFFFFFu);
        largest = half > largest ? half : largest;
        to[i] = (uint16_t)(half | bits >> 31 << 15);
    }
    return largest;
}

static uint32_t write_bf16_block(const float *from, int64_t count, uint16_t *to)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        /* Half of the last bit that is kept, or a bit less where that is even. */
        uint32_t bits = bits_of_float(from[i]), magnitude = bits & 0x7FFFFFFFu;
        uint32_t half = (magnitude + 0x7FFFu + (magnitude >> 16 & 1u)) >> 16;
        largest = half > largest ? half : largest;
        to[i] = (uint16_t)(half | bits >> 31 << 15);
    }
    return largest;
}

typedef uint32_t write_block(const float *from, int64_t count, uint16_t *to);

/* A block with a number that is too large is gone through again, for its place. */
static int64_t write_blocks(write_block *write, const float *from, int64_t count, int fraction_bits,
                            int bias, char *to)
{
    const unsigned infinite = (2u * (unsigned)bias + 1) << fraction_bits;
    uint16_t block[BLOCK];
    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t some = count - first < BLOCK ? count - first : BLOCK;
        if (write(from + first, some, block) >= infinite) {
            return first + write_halves(MT_F32, from + first, some, fraction_bits, bias,
                                        to + (size_t)first * sizeof *block);
        }
        memcpy(to + (size_t)first * sizeof *block, block, (size_t)some * sizeof *block);
    }
    return -1;
}

static int64_t write_f16(mt_dtype dtype, const void *from, int64_t count, char *to)
{
    return dtype == MT_F32 ? write_blocks(write_f16_block, from, count, 10, 15, to)
                           : write_halves(dtype, from, count, 10, 15, to);
}

static int64_t write_bf16(mt_dtype dtype, const void *from, int64_t count, char *to)
{
    return dtype == MT_F32 ? write_blocks(write_bf16_block, from, count, 7, 127, to)
                           : write_halves(dtype, from, count, 7, 127, to);
}

static int64_t write_f32(mt_dtype dtype, const void *from, int64_t count, char *to)
{
    double value;
    mt_convert_reals(dtype, from, MT_F32, to, count);
    return mt_first_not_finite(MT_F32, to, count, &value);
}

static int64_t write_f64(mt_dtype dtype, const void *from, int64_t count, char *to)
{
    mt_convert_reals(dtype, from, MT_F64, to, count);
    return -1;
}

/* ---- the table ---- */

static const mt_number_type types[] = {
    {"F32", "float32", 4, MT_F32, read_f32, write_f32},
    {"F64", "float64", 8, MT_F64, read_f64, write_f64},
    {"F16", "float16", 2, MT_F32, read_f16, write_f16},
    {"BF16", "bfloat16", 2, MT_F32, read_bf16, write_bf16},
};
enum { TYPES = sizeof types / sizeof *types };

const mt_number_type *mt_number_type_named(const char *name)
{
    for (int i = 0; i < TYPES; i++) {
        if (strcmp(types[i].name, name) == 0) {
            return &types[i];
        }
    }
    return NULL;
}

const mt_number_type *mt_number_type_of(mt_stored_type stored, mt_dtype dtype)
{
    static const char *const names[] = {
        [MT_STORED_F32] = "F32", [MT_STORED_F16] = "F16", [MT_STORED_BF16] = "BF16"};
    const char *as_it_is = dtype == MT_F64 ? "F64" : "F32";
    return mt_number_type_named(stored != MT_STORED_AS_IS ? names[stored] : as_it_is);
}
