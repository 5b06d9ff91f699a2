/* The configuration of a training run: the options of `mixtape train`, by the names that they have
 * on the command line, in config.yaml and in a checkpoint. options.c has the table of them. */
#ifndef MT_TRAIN_RUN_CONFIG_H
#define MT_TRAIN_RUN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

enum { TEXT_MAX = 1024 };

typedef struct run_config {
    char task[TEXT_MAX];

    /* the model */
    int64_t blocks, size, attention_size, linear_size, context_size;
    char norm[TEXT_MAX], time_first[TEXT_MAX];
    double norm_eps, norm_partial, dropout;
    double embed_dropout, att_dropout, ffn_dropout; /* below 0: dropout */
    int64_t embed_pad;
    bool no_bias;
    char init[TEXT_MAX];

    /* the data */
    char data[TEXT_MAX], valid_data[TEXT_MAX], token_list[TEXT_MAX], unit[TEXT_MAX];
    int64_t length, symbols, pairs, delay;

    /* the run */
    int64_t batch, steps, warmup, accumulate, eval_every, eval_batches, save_every, log_every,
        patience, seed;
    double lr, lr_final, clip, weight_decay, label_smoothing;
    char schedule[TEXT_MAX];
    bool recompute;

    /* where and with what it runs: not part of what is computed */
    char device[TEXT_MAX], dtype[TEXT_MAX], cuda_graph[TEXT_MAX], out[TEXT_MAX];
    int64_t threads;
    bool tf32;
} run_config;

#endif
