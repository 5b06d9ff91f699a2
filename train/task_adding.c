/* adding: a sequence of (value, marker) with values in [0, 1) and two markers of 1; after the last
 * step the model gives the sum of the two marked values (Hochreiter and Schmidhuber 1997).
 * Regression, on real-valued input. */
#include "train/task.h"

#include <inttypes.h>
#include <stdlib.h>

enum { FEATURES = 2 };

static void sizes(const run_config *config, const task_data *data, mt_model_config *model)
{
    (void)config;
    (void)data;
    model->vocab_size = 0;
    model->input_size = FEATURES;
    model->output_size = 1;
    model->padding_index = -1;
}

static int64_t longest(const run_config *config, const task_data *data)
{
    (void)data;
    return config->length;
}

static void defaults(run_config *config)
{
    config->length = 16;
    config->steps = 1500;
}

static mt_status open_adding(const run_config *config, const mt_token_list *tokens, bool may_grow,
                             task_data **data)
{
    (void)tokens;
    (void)may_grow;
    *data = NULL;
    return config->length >= 2
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "--length %" PRId64 ": adding needs two steps at least",
                         config->length);
}

/* One number into an array of the run's type. */
static void put(void *array, int64_t at, bool wide, double value)
{
    if (wide) {
        ((double *)array)[at] = value;
    } else {
        ((float *)array)[at] = (float)value;
    }
}

static void fill(const run_config *config, mt_random *random, bool wide, void *input, void *target)
{
    int64_t T = config->length;
    for (int64_t b = 0; b < config->batch; b++) {
        int64_t first = (int64_t)mt_random_below(random, (uint64_t)T);
        int64_t second = (first + 1 + (int64_t)mt_random_below(random, (uint64_t)(T - 1))) % T;
        double sum = 0.0;
        for (int64_t t = 0; t < T; t++) {
            double value = (double)mt_random_u32(random) / 4294967296.0;
            bool marked = t == first || t == second;
            sum += marked ? value : 0.0;
            put(input, (b * T + t) * FEATURES, wide, value);
            put(input, (b * T + t) * FEATURES + 1, wide, marked ? 1.0 : 0.0);
        }
        put(target, b, wide, sum);
    }
}

static mt_status make(const run_config *config, const task_data *data, mt_tape *tape,
                      task_split split, int64_t index, mt_batch *batch)
{
    (void)data;
    int64_t B = config->batch, T = config->length;
    mt_dtype dtype = mt_dtype_wide(config->dtype);
    bool wide = dtype == MT_F64;
    mt_random random = task_random(config, split, index);
    double *input = malloc((size_t)(B * T * FEATURES + B) * sizeof *input);
    if (input == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "adding: no memory for a batch");
    }
    double *target = input + B * T * FEATURES;
    fill(config, &random, wide, input, target);
    *batch = (mt_batch){
        .input = mt_tape_sequence(tape, dtype, B, T, FEATURES, input),
        .target = mt_tape_rows(tape, dtype, B, 1, target),
    };
    free(input);
    return mt_tape_status(tape);
}

const train_task task_adding = {
    .name = "adding",
    .help = "the sum of two marked values (regression)",
    .regression = true,
    .goal = 0.001,
    .defaults = defaults,
    .open = open_adding,
    .close = task_close_nothing,
    .sizes = sizes,
    .longest = longest,
    .tokens = task_no_tokens,
    .valid_batches = task_some_batches,
    .make = make,
};
