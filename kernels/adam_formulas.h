/* The numbers that an Adam update has for all elements (mixtape/kernels/adam.h), for the CPU and
 * CUDA alike. Internal. */
#ifndef MT_KERNELS_ADAM_FORMULAS_H
#define MT_KERNELS_ADAM_FORMULAS_H

#include <mixtape/kernels/adam.h>

#include "kernels/everywhere.h"

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

#endif
