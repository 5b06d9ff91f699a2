/* Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
 * easy as 1, 2, 3"). The number at (key, counter) is a pure function, so a mask is the same on
 * every device and for any number of threads, and a generator's whole state is two integers. */
#ifndef MT_KERNELS_RANDOM_H
#define MT_KERNELS_RANDOM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The four 32-bit words of counter (lo, hi) under `key`. */
void mt_philox(uint64_t key, uint64_t counter_lo, uint64_t counter_hi, uint32_t out[4]);

/* A stream of numbers on the host, for initial values, data and sampling. Plain data: copy it,
 * store it. `stream` separates uses of one seed that must not share numbers. */
typedef struct mt_random {
    uint64_t seed, stream, position;
} mt_random;

mt_random mt_random_make(uint64_t seed, uint64_t stream);
uint32_t mt_random_u32(mt_random *random);
double mt_random_uniform(mt_random *random);                 /* [0, 1), 53 bits */
double mt_random_normal(mt_random *random);                  /* mean 0, variance 1 (Box-Muller) */
uint64_t mt_random_below(mt_random *random, uint64_t bound); /* 0 .. bound-1, unbiased; bound > 0 */

/* Dropout: y[i] = x[i] / (1 - p) where the i-th number is kept, else 0. Element i is kept when word
 * i mod 4 of mt_philox(seed, i / 4, 2^24 step + place) is at least p 2^32. Backward is the same
 * function of dy. `seed` is the run's, `place` the operator's within the step, so no two masks are
 * related. The step is read from device memory, so that recorded work can be replayed for another
 * one (device.h). */
typedef struct mt_dropout_args {
    int64_t n;
    double p; /* 0 <= p < 1 */
    uint64_t seed, place;
    const uint64_t *step; /* (1), on the device */
    const void *x;
    void *y; /* may be x */
} mt_dropout_args;

#ifdef __cplusplus
}
#endif

#endif
