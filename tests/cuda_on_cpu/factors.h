/* Factors of products, for the stand-ins of cuBLAS and cuBLASLt. For tests alone. */
#ifndef CUDA_ON_CPU_FACTORS_H
#define CUDA_ON_CPU_FACTORS_H

#include <cublas_v2.h>
#include <math.h>

extern "C" {
#include <cblas.h>
}

namespace cuda_on_cpu
{

inline CBLAS_TRANSPOSE transpose(cublasOperation_t op)
{
    return op == CUBLAS_OP_T ? CblasTrans : CblasNoTrans;
}

/* What TF32 makes of a number: rounded to the 10 bits of its mantissa. */
inline float in_tf32(float number)
{
    int exponent;
    float fraction = frexpf(number, &exponent);
    return ldexpf(rintf(ldexpf(fraction, 11)), exponent - 11);
}

} // namespace cuda_on_cpu

#endif
