/* recall: `pairs` of a key and a value, then one of the keys: the model has to give its value
 * (associative recall). Labels: 0 separator, 1 .. symbols the keys, which differ within a sequence,
 * symbols + 1 .. 2 symbols the values. */
#include "train/task.h"

#include <inttypes.h>
#include <stdlib.h>

static void sizes(const run_config *config, const task_data *data, mt_model_config *model)
{
    (void)data;
    model->vocab_size = model->output_size = 2 * config->symbols + 1;
    model->padding_index = -1;
}

static int64_t longest(const run_config *config, const task_data *data)
{
    (void)data;
    return 2 * config->pairs + 2;
}

static void defaults(run_config *config)
{
    config->steps = 1500;
}

static mt_status open_recall(const run_config *config, const mt_token_list *tokens, bool may_grow,
                             task_data **data)
{
    (void)may_grow;
    (void)tokens;
    *data = NULL;
    return config->pairs <= config->symbols
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "--pairs %" PRId64 ": there are only --symbols %" PRId64 " different keys",
                         config->pairs, config->symbols);
}

/* The first `count` of a random order of 1 .. n, in `keys` (n). */
static void draw_keys(mt_random *random, int64_t n, int64_t count, int32_t *keys)
{
    for (int64_t i = 0; i < n; i++) {
        keys[i] = (int32_t)(i + 1);
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t j = i + (int64_t)mt_random_below(random, (uint64_t)(n - i));
        int32_t key = keys[i];
        keys[i] = keys[j];
        keys[j] = key;
    }
}

static mt_status make(const run_config *config, const task_data *data, mt_tape *tape,
                      task_split split, int64_t index, mt_batch *batch)
{
    (void)data;
    int64_t B = config->batch, P = config->pairs, N = config->symbols, T = 2 * P + 2;
    mt_random random = task_random(config, split, index);
    int32_t *input = malloc((size_t)(2 * B * T + N) * sizeof *input);
    if (input == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "recall: no memory for a batch");
    }
    int32_t *target = input + B * T, *keys = target + B * T;
    for (int64_t b = 0; b < B; b++) {
        int32_t *x = input + b * T, *y = target + b * T;
        draw_keys(&random, N, P, keys);
        for (int64_t i = 0; i < P; i++) {
            x[2 * i] = keys[i];
            x[2 * i + 1] = (int32_t)(1 + N + (int64_t)mt_random_below(&random, (uint64_t)N));
        }
        int64_t asked = (int64_t)mt_random_below(&random, (uint64_t)P);
        x[T - 2] = 0;
        x[T - 1] = x[2 * asked];
        for (int64_t t = 0; t < T; t++) {
            y[t] = IGNORED;
        }
        y[T - 1] = x[2 * asked + 1];
    }
    mt_status status = task_batch_of_labels(tape, B, T, input, target, batch);
    free(input);
    return status;
}

const train_task task_recall = {
    .name = "recall",
    .help = "give the value of one of --pairs keys",
    .goal = 0.99,
    .defaults = defaults,
    .open = open_recall,
    .close = task_close_nothing,
    .sizes = sizes,
    .longest = longest,
    .tokens = task_no_tokens,
    .valid_batches = task_some_batches,
    .make = make,
};
