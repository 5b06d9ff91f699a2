/* Functions of one number, written so that compilers vectorise a loop over them. Internal. The
 * exponential has no branch, no table, no call.
 *
 * e^x = 2^n e^r with n the integer nearest to x / ln 2 and r = x - n ln 2 in (-0.35, 0.35). e^r is
 * 1 plus r times the polynomial that meets (e^r - 1) / r at Chebyshev's nodes: of the degree at
 * which its error, 5e-9 in float32 and 8e-18 in float64, vanishes in that of rounding. The result
 * is within one unit in the last place. */
#ifndef MT_KERNELS_CPU_MATH_H
#define MT_KERNELS_CPU_MATH_H

#include "real.h"

#include <math.h>

#if MT_REAL == 64
#define EXP_ROUNDER  0x1.8p52 /* adding it leaves the nearest integer in the low bits */
#define EXP_LN2_HIGH 0x1.62e42fefap-1
#define EXP_LN2_LOW  0x1.cf79abc9e3b39p-40
#define EXP_LOWEST   (-708.0) /* below, the result would not be a normal number */
#define EXP_HIGHEST  710.0    /* from here on, infinity */
#define EXP_BIAS     1023
#define EXP_SHIFT    52
#else
#define EXP_ROUNDER  0x1.8p23f
#define EXP_LN2_HIGH 0x1.62e4p-1f
#define EXP_LN2_LOW  0x1.7f7d1cp-20f
#define EXP_LOWEST   (-87.0f)
#define EXP_HIGHEST  89.0f
#define EXP_BIAS     127
#define EXP_SHIFT    23
#endif

typedef union real_or_bits {
    real value;
    real_bits bits;
} real_or_bits;

/* e^r - 1 = r + r^2 (...), in powers of r^2 with pairs of terms, which are independent of each
 * other: half the latency of one term after the other. */
static inline real exp_minus_one_series(real r)
{
    real square = r * r;
#if MT_REAL == 64
    real e = 2.51052063739570111e-08 * r + 2.76262563472414472e-07;
    e = e * square + (2.75572554257464343e-06 * r + 2.48015043469976873e-05);
    e = e * square + (1.98412698748004925e-04 * r + 1.38888889324885982e-03);
    e = e * square + (8.33333333332614088e-03 * r + 4.16666666665731426e-02);
    e = e * square + (1.66666666666666710e-01 * r + 5.00000000000000562e-01);
#else
    real e = 1.39336410319867e-03f;
    e = e * square + (8.36914849085635e-03f * r + 4.16664650060400e-02f);
    e = e * square + (1.66665052604081e-01f * r + 5.00000001345773e-01f);
#endif
    return e * square + r;
}

/* e^r - 1, with n in the low bits of *shifted. */
static inline real exp_minus_one_parts(real x, real_or_bits *shifted)
{
    shifted->value = x * (real)1.4426950408889634 + EXP_ROUNDER;
    real n = shifted->value - EXP_ROUNDER;
    return exp_minus_one_series((x - n * EXP_LN2_HIGH) - n * EXP_LN2_LOW);
}

/* e^r, with n in the low bits of *shifted. */
static inline real exp_parts(real x, real_or_bits *shifted)
{
    return exp_minus_one_parts(x, shifted) + (real)1.0;
}

/* The larger of two; b where one is not a number. */
static inline real real_max(real a, real b)
{
    return a > b ? a : b;
}

/* 2^n for n in -(EXP_BIAS - 1) .. EXP_BIAS. Bits of n beyond the exponent's own are shifted out. */
static inline real exp_power_of_two(real_bits n)
{
    real_or_bits power = {.bits = (real_bits)(((real_ubits)n + EXP_BIAS) << EXP_SHIFT)};
    return power.value;
}

/* e^x for any x; infinity above the largest real, 0 below the smallest normal one, NaN for NaN. */
static inline real real_exp(real x)
{
    const real_or_bits rounder = {.value = EXP_ROUNDER};
    real_or_bits shifted;
    real clamped = x > EXP_HIGHEST ? EXP_HIGHEST : x;
    clamped = clamped < EXP_LOWEST ? EXP_LOWEST : clamped;
    real series = exp_parts(clamped, &shifted);
    /* In two factors, since 2^n itself may be beyond the largest real when e^x is not. */
    real_bits n = shifted.bits - rounder.bits, half = n >> 1;
    real e = series * exp_power_of_two(half) * exp_power_of_two(n - half);
    return x < EXP_LOWEST ? (real)0.0 : e;
}

/* The same for x <= 0, or above by no more than rounding, at less cost: it never falls below
 * e^EXP_LOWEST, which beside 1 is as good as 0. The rounder's own bits are among those shifted out.
 */
static inline real real_exp_negative(real x)
{
    real_or_bits shifted;
    real series = exp_parts(real_max(EXP_LOWEST, x), &shifted);
    return series * exp_power_of_two(shifted.bits);
}

/* A function of the C library, for the real type. */
#if MT_REAL == 64
#define REAL_FUNCTION(name) name
#else
#define REAL_FUNCTION(name) name##f
#endif

static inline real real_abs(real x)
{
    return REAL_FUNCTION(fabs)(x);
}

/* |x| with the sign of `sign`. */
static inline real real_copysign(real x, real sign)
{
    return REAL_FUNCTION(copysign)(x, sign);
}

static inline real real_sqrt(real x)
{
    return REAL_FUNCTION(sqrt)(x);
}

static inline real real_log(real x)
{
    return REAL_FUNCTION(log)(x);
}

/* tanh |x| = (1 - e) / (1 + e) with e = e^(-2 |x|). 1 - e is put together from e^r - 1, which has
 * all its digits where x is small. */
static inline real real_tanh(real x)
{
    real_or_bits shifted;
    real minus_one = exp_minus_one_parts(real_max(EXP_LOWEST, (real)-2.0 * real_abs(x)), &shifted);
    real power = exp_power_of_two(shifted.bits);
    minus_one = power * minus_one + (power - (real)1.0); /* e - 1 */
    real t = -minus_one / ((real)2.0 + minus_one);
    return x == x ? real_copysign(t, x) : x;
}

/* The normal distribution, at 0 with variance 1: the share below x, and the density there. */
static inline real real_normal_cdf(real x)
{
    return (real)0.5 * REAL_FUNCTION(erfc)(x * (real)-0.70710678118654752);
}

static inline real real_normal_pdf(real x)
{
    return (real)0.39894228040143268 * real_exp((real)-0.5 * x * x);
}

/* 1 / (1 + e^-x), by an exponential of a negative number whatever the sign of x. */
static inline real real_sigmoid(real x)
{
    real e = real_exp_negative(-real_abs(x)), s = (real)1.0 / ((real)1.0 + e);
    return x >= (real)0.0 ? s : e * s;
}

#endif
