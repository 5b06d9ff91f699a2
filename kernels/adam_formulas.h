/* The numbers that an Adam update has for all elements (mixtape/kernels/adam.h), and an element's
 * moments, for the CPU and CUDA alike. Internal: a file of kernels/cpu includes real.h first. */
#ifndef MT_KERNELS_ADAM_FORMULAS_H
#define MT_KERNELS_ADAM_FORMULAS_H

#include <mixtape/kernels/adam.h>

#include "kernels/everywhere.h"

#include <float.h>
#include <math.h>

/* The number that gradients are multiplied by: their scale, and clipping by their norm, from
 * `squares`, the sum of their squares (0 where nobody has it). It is not a number where the norm is
 * not finite, and nothing is to be changed. */
MT_EVERYWHERE double mt_adam_grad_factor(double grad_scale, double squares, double clip)
{
    double norm = grad_scale * sqrt(squares);
    return !isfinite(norm)             ? (double)NAN
           : clip > 0.0 && norm > clip ? grad_scale * (clip / norm)
                                       : grad_scale;
}

/* The numbers of a range whose rate is factor lr. */
MT_EVERYWHERE mt_adam_rates mt_adam_rates_of(mt_adam_rates rates, double factor)
{
    rates.lr *= factor;
    return rates;
}

/* The share of a parameter that weight decay leaves. */
MT_EVERYWHERE double mt_adam_kept(mt_adam_rates rates, double weight_decay)
{
    return 1.0 - rates.lr * weight_decay;
}

/* lr / (1 - beta1^t), and 1 / sqrt(1 - beta2^t). */
MT_EVERYWHERE double mt_adam_rate(mt_adam_rates rates)
{
    return rates.lr / rates.bias1;
}

MT_EVERYWHERE double mt_adam_correction(mt_adam_rates rates)
{
    return 1.0 / sqrt(rates.bias2);
}

/* beta before + share now: a moment after a gradient's share, or its square's, came in. It is zero
 * below the smallest normal number. The moments of a parameter without gradients (the row of a
 * token that has become rare) decay to subnormal numbers and rounding would keep them there, where
 * each operation costs a CPU a hundred times what it should. */
MT_OF_REALS MT_EVERYWHERE real mt_adam_moment(real beta, real before, real share, real now)
{
    const real smallest = (real)(sizeof(real) == sizeof(float) ? FLT_MIN : DBL_MIN);
    real moment = MT_FUSED(beta, before, share * now);
    return moment > -smallest && moment < smallest ? (real)0 : moment;
}

#endif
