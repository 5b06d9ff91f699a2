/* The numbers that an Adam update has for all elements (mixtape/kernels/adam.h), for the CPU and
 * CUDA alike. Internal. */
#ifndef MT_KERNELS_ADAM_FORMULAS_H
#define MT_KERNELS_ADAM_FORMULAS_H

#include <mixtape/kernels/adam.h>

#include "kernels/everywhere.h"

#include <math.h>
#include <stdbool.h>

typedef struct mt_adam_factors {
    double grad;       /* what a gradient is multiplied by: its scale, and clipping */
    double decayed;    /* what a parameter that decays keeps */
    double rate;       /* lr / (1 - beta1^t) */
    double correction; /* 1 / sqrt(1 - beta2^t) */
} mt_adam_factors;

/* False where the gradient's norm is not finite, and nothing is to be changed. `rates` is what
 * args->rates points to, and `squares` what args->norm_squared does, or 0 where that is NULL. */
MT_EVERYWHERE bool mt_adam_find_factors(const mt_adam_args *args, mt_adam_rates rates,
                                        double squares, mt_adam_factors *factors)
{
    double norm = args->grad_scale * sqrt(squares);
    bool clips = args->clip > 0.0 && norm > args->clip;
    factors->grad = clips ? args->grad_scale * (args->clip / norm) : args->grad_scale;
    factors->decayed = 1.0 - rates.lr * args->weight_decay;
    factors->rate = rates.lr / rates.bias1;
    factors->correction = 1.0 / sqrt(rates.bias2);
    return isfinite(norm);
}

#endif
