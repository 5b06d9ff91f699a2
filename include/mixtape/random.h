/* Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
 * easy as 1, 2, 3"). The number at (key, counter) is a pure function, so a mask is the same on
 * every device and for any number of threads, and a generator's whole state is two integers. */
#ifndef MIXTAPE_RANDOM_H
#define MIXTAPE_RANDOM_H

#include <mixtape/api.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The four 32-bit words of counter (lo, hi) under `key`. */
MT_API void mt_philox(uint64_t key, uint64_t counter_lo, uint64_t counter_hi, uint32_t out[4]);

/* A stream of numbers on the host, for initial values, data and sampling. Plain data: copy it,
 * store it. `stream` separates uses of one seed that must not share numbers. */
typedef struct mt_random {
    uint64_t seed, stream, position;
} mt_random;

MT_API mt_random mt_random_make(uint64_t seed, uint64_t stream);
MT_API uint32_t mt_random_u32(mt_random *random);
MT_API double mt_random_uniform(mt_random *random); /* [0, 1), 53 bits */
MT_API double mt_random_normal(mt_random *random);  /* mean 0, variance 1 (Box-Muller) */
MT_API uint64_t mt_random_below(mt_random *random,
                                uint64_t bound); /* 0 .. bound-1, unbiased; bound > 0 */

#ifdef __cplusplus
}
#endif

#endif
