#include "train/data_sum.h"

#include "io/fnv.h"

#include <inttypes.h>
#include <stdio.h>

data_sum data_sum_begin(void)
{
    return (data_sum){.sum = mt_fnv_begin};
}

void data_sum_add(data_sum *sum, const void *bytes, size_t count)
{
    sum->sum = mt_fnv_add(sum->sum, bytes, count);
    sum->size += count;
}

void data_sum_next_file(data_sum *sum)
{
    sum->sum = mt_fnv_add(sum->sum, &sum->size, sizeof sum->size);
}

void data_sum_text(const data_sum *sum, char text[DIGEST_MAX])
{
    snprintf(text, DIGEST_MAX, "%" PRIu64 "-%016" PRIx64, sum->size, sum->sum);
}
