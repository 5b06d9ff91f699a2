/* A float16 in memory, of which there are kernels for WKV. Internal. */
#ifndef MT_KERNELS_CUDA_FLOAT16_CUH
#define MT_KERNELS_CUDA_FLOAT16_CUH

#include "kernels/cuda/cuda.cuh"

#include <cuda_fp16.h>

namespace mt_cuda
{

/* Kernels read and write it as they do a bfloat16 (cuda.cuh). Numbers below its normal ones are
 * kept even where those of float32 are not. */
struct float16 {
    __half number;
    __device__ operator float() const
    {
        return __half2float(number);
    }
    __device__ float16 &operator=(float value)
    {
        number = __float2half_rn(value);
        return *this;
    }
};

template <> struct computed<float16> {
    typedef float type;
};

} // namespace mt_cuda

#endif
