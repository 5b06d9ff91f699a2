/* Functions of the CPU's kernels and of CUDA's at once. Internal. */
#ifndef MT_KERNELS_EVERYWHERE_H
#define MT_KERNELS_EVERYWHERE_H

#ifdef __CUDACC__
#define MT_EVERYWHERE __host__ __device__ static inline
#else
#define MT_EVERYWHERE static inline
#endif

#endif
