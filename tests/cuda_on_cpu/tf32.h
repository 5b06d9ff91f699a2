/* What TF32 makes of a number. For tests alone. */
#ifndef CUDA_ON_CPU_TF32_H
#define CUDA_ON_CPU_TF32_H

#include <math.h>

namespace cuda_on_cpu
{

/* Rounded to the 10 bits of its mantissa. */
inline float in_tf32(float number)
{
    int exponent;
    float fraction = frexpf(number, &exponent);
    return ldexpf(rintf(ldexpf(fraction, 11)), exponent - 11);
}

} // namespace cuda_on_cpu

#endif
