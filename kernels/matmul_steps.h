/* What a matrix product's arguments leave unsaid, for every device. Internal. */
#ifndef MT_KERNELS_MATMUL_STEPS_H
#define MT_KERNELS_MATMUL_STEPS_H

#include <mixtape/kernels/matmul.h>

/* The same products with a batch of one at least, all steps, and the beta that a bias has. */
static inline mt_matmul_args mt_matmul_spelled_out(const mt_matmul_args *args)
{
    mt_matmul_args of = *args;
    of.batch = of.batch > 0 ? of.batch : 1;
    of.a_step = of.a_step != 0 ? of.a_step : of.M * of.K;
    of.b_step = of.b_step != 0 ? of.b_step : of.K * of.N;
    of.c_step = of.c_step != 0 ? of.c_step : of.M * of.N;
    of.bias_step = of.bias_step != 0 ? of.bias_step : of.N;
    of.beta = of.bias != NULL ? 1.0 : of.beta;
    return of;
}

/* How many numbers the factors have, and a result that is narrow: so many are widened to float32
 * where bfloat16 is not multiplied as such. The arguments are spelled out. */
static inline int64_t mt_matmul_widened(const mt_matmul_args *args)
{
    int64_t result = args->wide ? 0 : args->M * args->N;
    return args->batch * (args->M * args->K + args->K * args->N + result);
}

#endif
