/* Tells if the processor multiplies bfloat16 faster than float32. Internal. */
#ifndef MT_KERNELS_CPU_FAST_BF16_H
#define MT_KERNELS_CPU_FAST_BF16_H

/* NULL where it does, else what is lacking, in words. */
const char *mt_cpu_lacks_fast_bf16(void);

#endif
