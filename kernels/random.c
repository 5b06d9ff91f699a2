#include <mixtape/random.h>

#include "kernels/philox.h"

#include <math.h>

void mt_philox(uint64_t key, uint64_t counter_lo, uint64_t counter_hi, uint32_t out[4])
{
    mt_philox_rounds(key, counter_lo, counter_hi, out);
}

mt_random mt_random_make(uint64_t seed, uint64_t stream)
{
    return (mt_random){.seed = seed, .stream = stream, .position = 0};
}

uint32_t mt_random_u32(mt_random *random)
{
    uint32_t words[4];
    mt_philox_rounds(random->seed, random->position / 4, random->stream, words);
    return words[random->position++ % 4];
}

static uint64_t random_u64(mt_random *random)
{
    uint64_t high = mt_random_u32(random);
    return high << 32 | mt_random_u32(random);
}

double mt_random_uniform(mt_random *random)
{
    return (double)(random_u64(random) >> 11) * 0x1p-53;
}

double mt_random_normal(mt_random *random)
{
    const double two_pi = 6.283185307179586;
    double radius = sqrt(-2.0 * log1p(-mt_random_uniform(random)));
    return radius * cos(two_pi * mt_random_uniform(random));
}

uint64_t mt_random_below(mt_random *random, uint64_t bound)
{
    /* Numbers at or above the largest multiple of `bound` would favour the small remainders. */
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t number;
    do {
        number = random_u64(random);
    } while (number >= limit);
    return number % bound;
}
