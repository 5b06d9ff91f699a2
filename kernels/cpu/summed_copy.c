/* Of n numbers, number i (from 0 on) is in n - i of Fletcher's first sums: so those of a stretch
 * are a sum of products, which are independent of each other. */
#include "kernels/cpu/summed_copy.h"

#include "kernels/cpu/lanes.h"

#include <float.h>
#include <string.h>

/* Of a stretch of lowered numbers, the sum of products is at most 32768 STRETCH (STRETCH + 1) / 2
 * in size, below 2^31. Its memory is asked for AHEAD bytes before, since the hardware alone asks
 * too late. */
enum { STRETCH = 256, MODULUS = 65535, LOWERED = 32768, AHEAD = 8192, LINE = 64 };
enum { STRETCH_BYTES = STRETCH * sizeof(uint16_t), STRETCH_REALS = STRETCH_BYTES / sizeof(real) };

#if MT_REAL == 64
static const real greatest = DBL_MAX;
#else
static const real greatest = FLT_MAX;
#endif

/* Bytes that need not be aligned, as reals and as numbers. */
typedef real any_real __attribute__((may_alias, aligned(1)));
typedef uint16_t any_number __attribute__((may_alias, aligned(1)));

mt_summed_copy KERNEL(summed_copy);

/* Without a branch for each, so that several are compared at once. */
static inline int outside(const any_real *reals, int n, real least)
{
    int found = 0;
    for (int i = 0; i < n; i++) {
        found |= !((reals[i] >= least) & (reals[i] <= greatest));
    }
    return found;
}

/* The sums of a stretch: of the numbers, and of each times how many are left with it. Numbers are
 * lowered to what 16 bits with a sign hold, of which processors add up products in pairs. */
static inline void sum_stretch(const any_number *numbers, const int16_t *times, uint64_t *sum,
                               uint64_t *products)
{
    int32_t sum_lowered = 0, products_lowered = 0;
    for (int i = 0; i < STRETCH; i++) {
        int16_t number = (int16_t)(numbers[i] ^ LOWERED);
        sum_lowered += number;
        products_lowered += (int32_t)number * times[i];
    }
    *sum = (uint64_t)((int64_t)sum_lowered + (int64_t)LOWERED * STRETCH);
    *products =
        (uint64_t)((int64_t)products_lowered + (int64_t)LOWERED * (STRETCH * (STRETCH + 1) / 2));
}

/* The same modulo 65535, below 2^49, and 0 for 0 alone. */
static inline uint64_t folded(uint64_t sum)
{
    return (sum & MODULUS) + (sum >> 16);
}

/* ---- past the caches, which would read what is written over first ---- */

static inline void put_stretch(unsigned char *to, const unsigned char *from, bool past)
{
#ifdef __AVX2__
    for (int i = 0; i < STRETCH_BYTES && past; i += LANE_BYTES) {
#ifdef __AVX512F__
        _mm512_stream_si512((void *)(to + i), _mm512_loadu_si512(from + i));
#else
        _mm256_stream_si256((void *)(to + i), _mm256_loadu_si256((const void *)(from + i)));
#endif
    }
    if (past) {
        return;
    }
#else
    (void)past;
#endif
    memcpy(to, from, STRETCH_BYTES);
}

static inline void end_stretches(void)
{
#ifdef __AVX2__
    _mm_sfence();
#endif
}

/* Fletcher's sums of what was walked through. */
typedef struct both_sums {
    uint64_t first, second;
} both_sums;

/* Whole stretches; returns how many bytes they are. A function of its own is made of it for each
 * `summed`. */
static inline size_t walk_stretches(size_t bytes, const unsigned char *from, unsigned char *to,
                                    real least, int *wrong, bool summed, both_sums *sums)
{
    const bool past = (uintptr_t)to % LINE == 0;
    int16_t times[STRETCH];
    size_t at = 0;
    for (int i = 0; i < STRETCH; i++) {
        times[i] = (int16_t)(STRETCH - i);
    }
    for (; bytes - at >= STRETCH_BYTES; at += STRETCH_BYTES) {
        for (size_t line = 0; line < STRETCH_BYTES; line += LINE) {
            __builtin_prefetch((const void *)((uintptr_t)from + at + AHEAD + line));
        }
        *wrong |= outside((const void *)(from + at), STRETCH_REALS, least);
        if (summed) {
            uint64_t sum, products;
            sum_stretch((const void *)(from + at), times, &sum, &products);
            sums->second = folded(sums->second + STRETCH * sums->first + products);
            sums->first = folded(sums->first + sum);
        }
        if (to != NULL) {
            put_stretch(to + at, from + at, past);
        }
    }
    end_stretches();
    return at;
}

/* What is left, of less than a stretch. */
static void walk_rest(size_t bytes, const unsigned char *from, unsigned char *to, real least,
                      int *wrong, both_sums *sums)
{
    *wrong |= outside((const void *)from, (int)(bytes / sizeof(real)), least);
    for (size_t at = 0; at < bytes; at += 2) {
        uint64_t high = at + 1 < bytes ? from[at + 1] : 0;
        sums->first = folded(sums->first + from[at] + 256 * high);
        sums->second = folded(sums->second + sums->first);
    }
    if (to != NULL) {
        memcpy(to, from, bytes);
    }
}

bool KERNEL(summed_copy)(size_t bytes, const void *from, void *to, double least, uint64_t sums[2])
{
    const real bound = least < -greatest ? -greatest : (real)least;
    unsigned char *copy = to != from ? to : NULL;
    both_sums both = {0, 0};
    int wrong = 0;
    size_t at = sums != NULL ? walk_stretches(bytes, from, copy, bound, &wrong, true, &both)
                             : walk_stretches(bytes, from, copy, bound, &wrong, false, &both);
    walk_rest(bytes - at, (const unsigned char *)from + at, copy != NULL ? copy + at : NULL, bound,
              &wrong, &both);
    if (sums != NULL) {
        sums[0] = mt_fletcher_reduced(both.first);
        sums[1] = mt_fletcher_reduced(both.second);
    }
    return wrong == 0;
}
