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

/* a b + c in one rounding, on the CPU where its instruction set has that. CUDA's files are compiled
 * so that nothing is fused by itself. */
#ifdef __cplusplus
#define MT_FUSED(a, b, c) fma(a, b, c)
#else
#define MT_FUSED(a, b, c) ((a) * (b) + (c))
#endif

#endif
