/* Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019), over one
 * contiguous range of parameters.
 *
 *     g = grad_scale clip_scale grad,  clip_scale = min(1, clip / (grad_scale sqrt(*norm_squared)))
 *     m = beta1 m + (1 - beta1) g
 *     v = beta2 v + (1 - beta2) g^2
 *     p = p - lr weight_decay p - lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps)
 *
 * m and v are set to zero where they are below the smallest normal number. Weight decay applies to
 * the first `decayed` parameters alone. Where there are ranges, lr is that of a parameter's range:
 * its factor times lr. All arrays are wide (kernels/list.h) but `narrow`. */
#ifndef MIXTAPE_KERNELS_ADAM_H
#define MIXTAPE_KERNELS_ADAM_H

#include <stdint.h>

/* The numbers that change from update to update. Kernels read them from device memory, so that
 * recorded work can be replayed for another one. */
typedef struct mt_adam_rates {
    double lr;
    double bias1, bias2; /* 1 - beta1^step, 1 - beta2^step; step is 1 for the first update */
} mt_adam_rates;

/* Parameters up to `end` (excluded), from the end of the range before on, whose rate is factor lr.
 * With a factor of 1 they have the bits that they have without ranges. */
typedef struct mt_adam_range {
    int64_t end; /* a multiple of 16 but for the last, as parameters begin */
    double factor;
} mt_adam_range;

typedef struct mt_adam_args {
    int64_t n, decayed;
    double beta1, beta2, eps, weight_decay;
    double grad_scale; /* 1 / number of accumulated backward passes */
    double clip;       /* largest global norm of grad_scale grad; 0: no clipping, clip_scale = 1 */
    const double *norm_squared;  /* (1), on the device: sum of grad^2 over all parameters, from
                                   sum_squares; the update does nothing at all if it is not finite.
                                   NULL: neither clipping nor that check */
    const mt_adam_rates *rates;  /* (1), on the device */
    const mt_adam_range *ranges; /* (range_count), on the device, up to n; NULL where it is 0 */
    int64_t range_count;         /* 0: all parameters have lr */
    void *parameter;             /* (n), updated */
    const void *grad;            /* (n) */
    void *m, *v;                 /* (n), updated; zero before step 1 */
    uint16_t *narrow;            /* (n), or NULL: written, the parameter rounded to bfloat16 */
} mt_adam_args;

#endif
