/* copy and reverse: `length` random symbols, a separator, and then the same symbols again, forwards
 * or backwards, which the model has to produce from nothing but blanks. Labels: 0 blank, 1
 * separator, 2 .. symbols + 1. */
#include "train/task.h"

#include <stdlib.h>

enum { BLANK, SEPARATOR, FIRST_SYMBOL };

static void sizes(const run_config *config, const task_data *data, mt_model_config *model)
{
    (void)data;
    model->vocab_size = model->output_size = config->symbols + FIRST_SYMBOL;
    model->padding_index = -1;
}

static int64_t longest(const run_config *config, const task_data *data)
{
    (void)data;
    return 2 * config->length + 1;
}

static void defaults(run_config *config)
{
    config->steps = 1000;
}

static mt_status make(const run_config *config, mt_tape *tape, task_split split, int64_t index,
                      bool backwards, mt_batch *batch)
{
    int64_t B = config->batch, L = config->length, T = 2 * L + 1;
    mt_random random = task_random(config, split, index);
    int32_t *input = malloc((size_t)(2 * B * T) * sizeof *input);
    if (input == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "copy: no memory for a batch");
    }
    int32_t *target = input + B * T;
    for (int64_t b = 0; b < B; b++) {
        int32_t *x = input + b * T, *y = target + b * T;
        for (int64_t t = 0; t < T; t++) {
            x[t] = t < L
                       ? FIRST_SYMBOL + (int32_t)mt_random_below(&random, (uint64_t)config->symbols)
                   : t == L ? SEPARATOR
                            : BLANK;
            y[t] = IGNORED;
        }
        /* The step of the separator already predicts the first symbol. */
        for (int64_t i = 0; i < L; i++) {
            y[L + i] = backwards ? x[L - 1 - i] : x[i];
        }
    }
    mt_status status = task_batch_of_labels(tape, B, T, input, target, batch);
    free(input);
    return status;
}

static mt_status make_copy(const run_config *config, const task_data *data, mt_tape *tape,
                           task_split split, int64_t index, mt_batch *batch)
{
    (void)data;
    return make(config, tape, split, index, false, batch);
}

static mt_status make_reverse(const run_config *config, const task_data *data, mt_tape *tape,
                              task_split split, int64_t index, mt_batch *batch)
{
    (void)data;
    return make(config, tape, split, index, true, batch);
}

const train_task task_copy = {
    .name = "copy",
    .help = "repeat --length symbols out of --symbols",
    .goal = 0.99,
    .defaults = defaults,
    .open = task_open_nothing,
    .close = task_close_nothing,
    .sizes = sizes,
    .longest = longest,
    .tokens = task_no_tokens,
    .valid_batches = task_some_batches,
    .make = make_copy,
};

const train_task task_reverse = {
    .name = "reverse",
    .help = "repeat --length symbols backwards",
    .goal = 0.99,
    .defaults = defaults,
    .open = task_open_nothing,
    .close = task_close_nothing,
    .sizes = sizes,
    .longest = longest,
    .tokens = task_no_tokens,
    .valid_batches = task_some_batches,
    .make = make_reverse,
};
