#include "train/data_sum.h"

#include <inttypes.h>
#include <stdio.h>

/* FNV-1a (Fowler, Noll and Vo), of 64 bits: it tells files apart that nobody made alike. */
static uint64_t add_bytes(uint64_t sum, const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

data_sum data_sum_begin(void)
{
    return (data_sum){.sum = UINT64_C(0xcbf29ce484222325)};
}

void data_sum_add(data_sum *sum, const void *bytes, size_t count)
{
    sum->sum = add_bytes(sum->sum, bytes, count);
    sum->size += count;
}

void data_sum_next_file(data_sum *sum)
{
    sum->sum = add_bytes(sum->sum, (const unsigned char *)&sum->size, sizeof sum->size);
}

void data_sum_text(const data_sum *sum, char text[DIGEST_MAX])
{
    snprintf(text, DIGEST_MAX, "%" PRIu64 "-%016" PRIx64, sum->size, sum->sum);
}
