/* The configuration of a training run: the options of `mixtape train`, by the names that they have
 * on the command line, in config.yaml and in a checkpoint. train/command/options_table.c has the
 * table of them. */
#ifndef MT_TRAIN_RUN_CONFIG_H
#define MT_TRAIN_RUN_CONFIG_H

#include <mixtape/model.h>
#include <mixtape/schedule.h>
#include <mixtape/token_list.h>
#include <mixtape/trainer.h>

#include "io/token_ids.h"
#include "train/file_list.h"

#include <limits.h>

/* Every path that the system opens has room. */
enum { TEXT_MAX = PATH_MAX, DIGEST_MAX = 64 };

typedef enum run_switch { SWITCH_ON, SWITCH_OFF } run_switch;

typedef enum symbol_unit { UNIT_CHAR, UNIT_BYTE, UNIT_WORD } symbol_unit;

/* "char", "byte", "word", NULL for what is no unit. */
const char *symbol_unit_name(int unit);

/* What makes symbols of text in place of characters or bytes. */
typedef struct text_encoder {
    mt_status (*encode)(void *context, const char *bytes, size_t size, int32_t **ids,
                        int64_t *count); /* NULL: there is none */

    /* For labels of a token list: what it is without a file of one, and that of the symbols from
     * then on, as long as it stays. */
    mt_status (*make_tokens)(void *context, mt_token_list **tokens);
    mt_status (*take_tokens)(void *context, const mt_token_list *tokens);

    /* Of the pieces that were not in the list, the first few, in quotes; "": none is known. */
    const char *(*unknown_pieces)(void *context);
    void *context;
} text_encoder;

/* What is trained: the model, or what is beside it (mixtape/adapter.h). */
typedef enum run_tune { TUNE_ALL, TUNE_STATE, TUNE_LORA } run_tune;

typedef struct run_config {
    char task[TEXT_MAX];

    /* Of the model what the options say: a dropout below 0 is `dropout`, a context_size of 0 what
     * the task needs. The task has the rest. */
    mt_model_config model;
    double dropout;
    char init[TEXT_MAX];
    run_tune tune;
    int64_t lora_rank;
    double lora_alpha;
    char lora_on[TEXT_MAX]; /* mt_projections_parse */

    /* the data */
    file_list data, valid_data;
    char token_list[TEXT_MAX], tokenizer[TEXT_MAX];
    char data_digest[DIGEST_MAX], valid_digest[DIGEST_MAX]; /* of the files; "": not known */
    file_list nlsyms;                                       /* the symbols themselves */
    file_list tokens; /* no option: those of ESPnet's configuration, where a run begins */
    symbol_unit unit;
    double most_unknown; /* the largest share of <unk>; below 0: what suits the token list */
    mt_ids_raw ids_type;
    double valid_share;
    text_encoder encoder; /* no option: the program's, while it opens the data */
    int64_t vocab_size;   /* 0: the model's, or the largest id + 1 */
    int64_t length, symbols, pairs, delay;
    bool carry;             /* windows follow one another, and a state is carried through them; */
    int64_t carry_gradient; /* gradients flow through so many */

    bool dry; /* no option: its memory is counted, and nothing trained (kernels/dry.h) */

    /* the run */
    int64_t batch, steps, warmup, accumulate, eval_every, eval_batches, save_every, log_every,
        patience, seed;
    double max_minutes;
    int64_t keep, keep_best;
    double lr, lr_final, clip, weight_decay, label_smoothing;
    mt_schedule_kind schedule;
    double beta1, beta2, adam_eps, l2wrap;
    char rates[TEXT_MAX]; /* train/command/rates.h */
    mt_bad_step on_bad_step;
    int64_t bad_steps;
    bool tensorboard, histograms, plot;

    /* where and with what it runs: not part of what is computed */
    char device[TEXT_MAX], out[TEXT_MAX];
    mt_dtype dtype;
    int64_t threads;
    run_switch cuda_graph;
    bool tf32, split_optimizer;
} run_config;

/* A copy with lists of its own; after a failure, which is MT_ERROR_MEMORY, it has none. */
mt_status run_config_copy(const run_config *config, run_config *copy);
void run_config_clear(run_config *config);

#endif
