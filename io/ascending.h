/* A place found among ascending numbers. Internal. */
#ifndef MT_IO_ASCENDING_H
#define MT_IO_ASCENDING_H

#include <stdint.h>

/* The last of `count` ascending numbers that is at most `value`; the first is. */
int64_t mt_find_last(const int64_t *numbers, int64_t count, int64_t value);

#endif
