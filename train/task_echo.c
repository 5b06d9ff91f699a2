/* echo: a stream of random symbols, to be repeated `delay` steps later. Labels: 0 .. symbols -
 * 1. */
#include "train/task.h"

#include <inttypes.h>
#include <stdlib.h>

static void sizes(const run_config *config, const task_data *data, mt_model_config *model)
{
    (void)data;
    model->vocab_size = model->output_size = config->symbols;
    model->padding_index = -1;
}

static int64_t longest(const run_config *config, const task_data *data)
{
    (void)data;
    return config->length;
}

static void defaults(run_config *config)
{
    config->length = 24;
    config->steps = 1500;
}

static mt_status open_echo(const run_config *config, const mt_token_list *tokens, bool may_grow,
                           task_data **data)
{
    (void)may_grow;
    (void)tokens;
    *data = NULL;
    return config->delay < config->length
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "--delay %" PRId64
                         ": nothing is echoed in a sequence of --length %" PRId64,
                         config->delay, config->length);
}

static mt_status make(const run_config *config, const task_data *data, mt_tape *tape,
                      task_split split, int64_t index, mt_batch *batch)
{
    (void)data;
    int64_t B = config->batch, T = config->length;
    mt_random random = task_random(config, split, index);
    int32_t *input = malloc((size_t)(2 * B * T) * sizeof *input);
    if (input == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "echo: no memory for a batch");
    }
    int32_t *target = input + B * T;
    for (int64_t i = 0; i < B * T; i++) {
        input[i] = (int32_t)mt_random_below(&random, (uint64_t)config->symbols);
        target[i] = i % T < config->delay ? IGNORED : input[i - config->delay];
    }
    mt_status status = task_batch_of_labels(tape, B, T, input, target, batch);
    free(input);
    return status;
}

const train_task task_echo = {
    .name = "echo",
    .help = "repeat a stream --delay steps later",
    .goal = 0.99,
    .defaults = defaults,
    .open = open_echo,
    .close = task_close_nothing,
    .sizes = sizes,
    .longest = longest,
    .tokens = task_no_tokens,
    .valid_batches = task_some_batches,
    .make = make,
};
