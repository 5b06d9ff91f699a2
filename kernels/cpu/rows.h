/* Rows of numbers in memory, as the reals that loops compute with. Where both are of one type a row
 * is itself; else it is widened into `room`, or rounded from there. A loop that does so number by
 * number would not use the processor's instructions for float16, which compilers do not find of
 * themselves. Internal. */
#ifndef MT_KERNELS_CPU_ROWS_H
#define MT_KERNELS_CPU_ROWS_H

#include "real.h"

#if MT_REAL != 16

/* The numbers of a row, to be read. */
static inline const real *read_row(const stored *row, int count, real *room)
{
    (void)count;
    (void)room;
    return row;
}

/* Where the numbers of a row are to be written before write_row. */
static inline real *row_to_write(stored *row, real *room)
{
    (void)room;
    return row;
}

static inline void write_row(const real *numbers, int count, stored *row)
{
    (void)numbers;
    (void)count;
    (void)row;
}

#else

/* A register's numbers at once; they are those of value and rounded (real.h). */
#if defined(MT_BINARY16) && defined(__F16C__)
#include <immintrin.h>
#define TO_VECTORISE /* it is */
#ifdef __AVX512F__
enum { AT_ONCE = 16 };
static inline void widen_some(const stored *from, real *to)
{
    _mm512_storeu_ps(to, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)from)));
}

static inline void round_some(const real *from, stored *to)
{
    _mm256_storeu_si256((void *)to,
                        _mm512_cvtps_ph(_mm512_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}
#else
enum { AT_ONCE = 8 };
static inline void widen_some(const stored *from, real *to)
{
    _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128((const void *)from)));
}

static inline void round_some(const real *from, stored *to)
{
    _mm_storeu_si128((void *)to, _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}
#endif
#else
enum { AT_ONCE = 1 };
#define TO_VECTORISE _Pragma("omp simd")
static inline void widen_some(const stored *from, real *to)
{
    *to = value(*from);
}

static inline void round_some(const real *from, stored *to)
{
    *to = rounded(*from);
}
#endif

/* Not inlined: a row is long beside a call, and the loops that need them are many. */
__attribute__((noinline)) static void widen_row(const stored *restrict row, int count,
                                                real *restrict to)
{
    int whole = count - count % AT_ONCE;
    TO_VECTORISE
    for (int i = 0; i < whole; i += AT_ONCE) {
        widen_some(row + i, to + i);
    }
    for (int i = whole; i < count; i++) {
        to[i] = value(row[i]);
    }
}

__attribute__((noinline)) static void round_row(const real *restrict numbers, int count,
                                                stored *restrict row)
{
    int whole = count - count % AT_ONCE;
    TO_VECTORISE
    for (int i = 0; i < whole; i += AT_ONCE) {
        round_some(numbers + i, row + i);
    }
    for (int i = whole; i < count; i++) {
        row[i] = rounded(numbers[i]);
    }
}

static inline const real *read_row(const stored *row, int count, real *room)
{
    widen_row(row, count, room);
    return room;
}

static inline real *row_to_write(stored *row, real *room)
{
    (void)row;
    return room;
}

static inline void write_row(const real *numbers, int count, stored *row)
{
    round_row(numbers, count, row);
}

#undef TO_VECTORISE

#endif

#endif
