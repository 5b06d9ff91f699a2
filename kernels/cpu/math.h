/* Functions of one number, written so that compilers vectorise a loop over them. Internal. The
 * exponential has no branch, no table, no call.
 *
 * e^x = 2^n e^r with n the integer nearest to x / ln 2, r = x - n ln 2 in (-0.35, 0.35), and
 * Taylor's series for e^r, long enough that its rest is below half a unit in the last place. */
#ifndef MT_KERNELS_CPU_MATH_H
#define MT_KERNELS_CPU_MATH_H

#include "real.h"

#include <math.h>

#if MT_REAL == 64
#define EXP_ROUNDER  0x1.8p52 /* adding it leaves the nearest integer in the low bits */
#define EXP_LN2_HIGH 0x1.62e42fefap-1
#define EXP_LN2_LOW  0x1.cf79abc9e3b39p-40
#define EXP_LOWEST   (-708.0) /* below, the result would not be a normal number: 0 */
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

static inline real exp_series(real r)
{
#if MT_REAL == 64
    real e = (real)(1.0 / 6227020800.0);
    e = e * r + (real)(1.0 / 479001600.0);
    e = e * r + (real)(1.0 / 39916800.0);
    e = e * r + (real)(1.0 / 3628800.0);
    e = e * r + (real)(1.0 / 362880.0);
    e = e * r + (real)(1.0 / 40320.0);
    e = e * r + (real)(1.0 / 5040.0);
#else
    real e = (real)(1.0 / 5040.0);
#endif
    e = e * r + (real)(1.0 / 720.0);
    e = e * r + (real)(1.0 / 120.0);
    e = e * r + (real)(1.0 / 24.0);
    e = e * r + (real)(1.0 / 6.0);
    e = e * r + (real)0.5;
    e = e * r + (real)1.0;
    return e * r + (real)1.0;
}

/* 2^n for n in -(EXP_BIAS - 1) .. EXP_BIAS */
static inline real exp_power_of_two(real_bits n)
{
    real_or_bits power = {.bits = (real_bits)((real_ubits)(n + EXP_BIAS) << EXP_SHIFT)};
    return power.value;
}

/* e^x = scale * 2^n: the parts of the computation that both functions below share. */
static inline real exp_parts(real x, real_bits *n)
{
    const real_or_bits rounder = {.value = EXP_ROUNDER};
    real_or_bits shifted = {.value = x * (real)1.4426950408889634 + EXP_ROUNDER};
    real nearest = shifted.value - EXP_ROUNDER;
    *n = shifted.bits - rounder.bits;
    return exp_series((x - nearest * EXP_LN2_HIGH) - nearest * EXP_LN2_LOW);
}

/* e^x for any x; infinity above the largest real, 0 below the smallest normal one, NaN for NaN. */
static inline real real_exp(real x)
{
    real_bits n;
    real clamped = x > EXP_HIGHEST ? EXP_HIGHEST : x;
    clamped = clamped < EXP_LOWEST ? EXP_LOWEST : clamped;
    real series = exp_parts(clamped, &n);
    /* In two factors, since 2^n itself may be beyond the largest real when e^x is not. */
    real_bits half = n >> 1;
    real e = series * exp_power_of_two(half) * exp_power_of_two(n - half);
    return x < EXP_LOWEST ? (real)0.0 : e;
}

/* The same for x <= 0, or above by no more than rounding, at less cost. */
static inline real real_exp_negative(real x)
{
    real_bits n;
    real clamped = x < EXP_LOWEST ? EXP_LOWEST : x;
    real e = exp_parts(clamped, &n) * exp_power_of_two(n);
    return x < EXP_LOWEST ? (real)0.0 : e;
}

static inline real real_max(real a, real b)
{
    return a > b ? a : b;
}

static inline real real_abs(real x)
{
    return x < (real)0.0 ? -x : x;
}

static inline real real_sqrt(real x)
{
#if MT_REAL == 64
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

static inline real real_sigmoid(real x)
{
    return (real)1.0 / ((real)1.0 + real_exp(-x));
}

#endif
