/* A sum by which files are known again: of their bytes, one file behind the other. */
#ifndef MT_TRAIN_DATA_SUM_H
#define MT_TRAIN_DATA_SUM_H

#include "train/run_config.h"

#include <stddef.h>
#include <stdint.h>

typedef struct data_sum {
    uint64_t sum, size;
} data_sum;

data_sum data_sum_begin(void);
void data_sum_add(data_sum *sum, const void *bytes, size_t count);

/* Where one file ends and the next begins is part of the sum. */
void data_sum_next_file(data_sum *sum);

/* "BYTES-SUM" */
void data_sum_text(const data_sum *sum, char text[DIGEST_MAX]);

#endif
