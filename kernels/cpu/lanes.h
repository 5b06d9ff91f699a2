/* LANES reals side by side, as many as a register of the build's instruction set holds, in the
 * vector extension of GCC and clang: + and * are lane by lane. For loops that the compiler does not
 * make fast of itself. Internal. */
#ifndef MT_KERNELS_CPU_LANES_H
#define MT_KERNELS_CPU_LANES_H

#include "real.h"

#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { LANE_BYTES = 64 };
#elif defined(__AVX2__)
enum { LANE_BYTES = 32 };
#else
enum { LANE_BYTES = 16 };
#endif

enum { LANES = LANE_BYTES / sizeof(real) };
typedef real lanes __attribute__((vector_size(LANE_BYTES)));

#if MT_REAL != 64
static inline lanes lanes_of_bf16(const mt_bf16 *at)
{
    typedef uint16_t halves __attribute__((vector_size(LANE_BYTES / 2)));
    typedef uint32_t words __attribute__((vector_size(LANE_BYTES)));
    halves upper;
    memcpy(&upper, at, sizeof upper);
    return (lanes)(__builtin_convertvector(upper, words) << 16);
}
#endif

/* Where a build is sure to have instructions that widen integers. GCC 12 needs to be told which,
 * and takes a dozen otherwise. */
#if MT_REAL != 64 && defined(__AVX2__)
#define MT_LANES_OF_I8
static inline lanes lanes_of_i8(const int8_t *at)
{
#ifdef __AVX512F__
    return (lanes)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)at)));
#else
    return (lanes)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)at)));
#endif
}
#endif

static inline lanes lanes_of(const stored *at)
{
#if MT_REAL == 16
    return lanes_of_bf16(at);
#else
    lanes read;
    memcpy(&read, at, sizeof read);
    return read;
#endif
}

static inline real lanes_sum(lanes x)
{
    real each[LANES], sum = (real)0.0;
    memcpy(each, &x, sizeof each);
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < LANES; i++) {
        sum += each[i];
    }
    return sum;
}

#endif
