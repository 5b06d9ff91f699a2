/* Functions of the CPU's kernels and of CUDA's at once. Internal. */
#ifndef MT_KERNELS_EVERYWHERE_H
#define MT_KERNELS_EVERYWHERE_H

#ifdef __CUDACC__
#define MT_EVERYWHERE __host__ __device__ static inline
#else
#define MT_EVERYWHERE static inline
#endif

/* Before a function of reals: its type is a template's parameter in CUDA, and the one that a file
 * of kernels/cpu is compiled for. */
#ifdef __cplusplus
#define MT_OF_REALS template <typename real>
#else
#define MT_OF_REALS
#endif

#endif
