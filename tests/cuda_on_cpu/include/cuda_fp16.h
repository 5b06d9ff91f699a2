/* CUDA's float16 for the host's compiler, as far as kernels/cuda uses it. For tests alone. */
#ifndef CUDA_ON_CPU_CUDA_FP16_H
#define CUDA_ON_CPU_CUDA_FP16_H

#include "kernels/float16.h"

typedef mt_f16 __half;

inline float __half2float(__half x)
{
    return mt_f16_value(x);
}

inline __half __float2half_rn(float x)
{
    return mt_f16_rounded(x);
}

#endif
