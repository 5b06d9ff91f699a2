/* The model that the seeds are made of, and the part of it that fuzz_part.c reads. */
#ifndef MT_TESTS_SMALL_MODEL_H
#define MT_TESTS_SMALL_MODEL_H

#include <mixtape/model.h>

#define SMALL_PART "rwkv_blocks.0.att"

enum { SMALL_VOCABULARY = 5 };

static inline mt_model_config small_model(void)
{
    mt_model_config config = mt_model_config_default(SMALL_VOCABULARY, 4);
    config.num_blocks = 1;
    config.context_size = 16;
    return config;
}

#endif
