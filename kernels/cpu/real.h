/* One source, many builds: CMake compiles each kernel file of this folder once for every
 * instruction set and type, with MT_ISA (baseline, avx2, avx512) and MT_REAL (16, 32, 64) defined;
 * 16 is bfloat16, or float16 with MT_BINARY16, which WKV's files alone are compiled for. `real` is
 * the type that a kernel computes with, and that of wide arrays (mixtape/kernels/list.h); `stored`
 * is the type of all others: it is read by value(x[i]) and written by y[i] = rounded(number), and
 * where it is `real` these do nothing. KERNEL(wkv_forward) names this build's function:
 * wkv_forward_avx512_f32. kernels.c gathers each build's functions into its table. */
#ifndef MT_KERNELS_CPU_REAL_H
#define MT_KERNELS_CPU_REAL_H

#include "kernels/bfloat16.h"
#include "kernels/device.h"
#include "kernels/float16.h"

#include <stdint.h>

#if MT_REAL == 64
typedef double real, stored;
typedef int64_t real_bits; /* an integer as wide as a real, for exponents */
typedef uint64_t real_ubits;
#define REAL_NAME f64
#elif MT_REAL == 32
typedef float real, stored;
#define REAL_NAME f32
#elif MT_REAL == 16 && defined(MT_BINARY16)
typedef float real;
typedef mt_f16 stored;
#define REAL_NAME f16
#elif MT_REAL == 16
typedef float real;
typedef mt_bf16 stored;
#define REAL_NAME bf16
#else
#error "MT_REAL must be 16, 32 or 64"
#endif

#if MT_REAL != 64
typedef int32_t real_bits;
typedef uint32_t real_ubits;
#endif

static inline real value(stored x)
{
#if MT_REAL == 16 && defined(MT_BINARY16)
    return mt_f16_value(x);
#elif MT_REAL == 16
    return mt_bf16_value(x);
#else
    return x;
#endif
}

static inline stored rounded(real x)
{
#if MT_REAL == 16 && defined(MT_BINARY16)
    return mt_f16_rounded(x);
#elif MT_REAL == 16
    return mt_bf16_rounded(x);
#else
    return x;
#endif
}

#define KERNEL_PASTE(name, isa, type)  mt_cpu_##name##_##isa##_##type
#define KERNEL_EXPAND(name, isa, type) KERNEL_PASTE(name, isa, type)
#define KERNEL(name)                   KERNEL_EXPAND(name, MT_ISA, REAL_NAME)

#endif
