/* Arrays that a contract lets a caller leave out. */
#ifndef MT_KERNELS_REFERENCE_OPTIONAL_H
#define MT_KERNELS_REFERENCE_OPTIONAL_H

#include <stddef.h>
#include <stdint.h>

/* array[i], or `absent` where there is no array. */
static inline double get(const void *array, int64_t i, double absent)
{
    return array != NULL ? ((const double *)array)[i] : absent;
}

/* array[i] = value, if the array is wanted. */
static inline void put(void *array, int64_t i, double value)
{
    if (array != NULL) {
        ((double *)array)[i] = value;
    }
}

/* array[i] += value, if the array is wanted. */
static inline void add(void *array, int64_t i, double value)
{
    put(array, i, get(array, i, 0.0) + value);
}

#endif
