/* What cross-entropy (mixtape/kernels/cross_entropy.h) does with the numbers of a row and of all
 * rows, for the CPU and CUDA alike. Internal: a file of kernels/cpu includes real.h first. */
#ifndef MT_KERNELS_CROSS_ENTROPY_FORMULAS_H
#define MT_KERNELS_CROSS_ENTROPY_FORMULAS_H

#include "kernels/everywhere.h"

/* A row's loss from the log of its sum of exponentials, the target's logit and `spread`, smoothing
 * times the mean logit: 1 - smoothing of the distribution to be met is the target's, the rest is
 * spread evenly. */
MT_EVERYWHERE double mt_cross_entropy_loss(double lse, double chosen, double spread,
                                           double smoothing)
{
    return lse - (1.0 - smoothing) * chosen - spread;
}

/* The mean of the `counted` rows that were not ignored, 0 without any. */
MT_EVERYWHERE double mt_cross_entropy_mean(double sum, double counted)
{
    return counted > 0.0 ? sum / counted : 0.0;
}

/* The gradient of a row's loss that one of the mean is. */
MT_OF_REALS MT_EVERYWHERE real mt_cross_entropy_factor(real dloss, real counted)
{
    return counted > (real)0 ? dloss / counted : (real)0;
}

/* A logit's gradient before the target's own share, factor (1 - smoothing), is taken off; `spread`
 * is smoothing / V. */
MT_OF_REALS MT_EVERYWHERE real mt_cross_entropy_grad(real factor, real probability, real spread)
{
    return factor * (probability - spread);
}

/* What L2Wrap adds to the gradient of a row's largest logit. */
MT_OF_REALS MT_EVERYWHERE real mt_cross_entropy_l2wrap(real factor, real l2wrap, real largest)
{
    return factor * (l2wrap * largest);
}

#endif
