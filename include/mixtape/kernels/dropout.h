/* The contract of dropout, which every device implements. */
#ifndef MIXTAPE_KERNELS_DROPOUT_H
#define MIXTAPE_KERNELS_DROPOUT_H

#include <stdint.h>

/* y[i] = x[i] / (1 - p) where number j = first + i is kept, else 0. It is kept when word j mod 4 of
 * mt_philox(seed, j / 4, 2^24 step + place) is at least p 2^32. Backward is the same function of
 * dy. `seed` is the run's, `place` the operator's within the step, so no two masks are related; x
 * are the elements from `first` on of an array that several processes share. The step is read from
 * device memory, so that recorded work can be replayed for another one. */
typedef struct mt_dropout_args {
    int64_t n;
    double p; /* 0 <= p < 1 */
    uint64_t seed, place;
    const uint64_t *step; /* (1), on the device */
    const void *x;
    void *y;       /* may be x */
    int64_t first; /* 0 or more */
} mt_dropout_args;

#endif
