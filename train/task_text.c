/* text: the next character, or byte, of a file. It is trained on in random windows, and validated
 * in consecutive ones on another file or, where there is none, on its last 10 %, which are then not
 * trained on. */
#include <mixtape/text.h>

#include "train/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Consecutive symbols, of a text of task_data. */
typedef struct text_part {
    const int32_t *ids;
    int64_t length;
} text_part;

struct task_data {
    mt_text text, valid_text; /* valid_text is empty where a part of `text` is held out */
    mt_token_list *tokens;
    text_part parts[2]; /* by split */
};

static void close_text(task_data *data)
{
    if (data != NULL) {
        mt_text_destroy(&data->text);
        mt_text_destroy(&data->valid_text);
        mt_token_list_destroy(data->tokens);
        free(data);
    }
}

static void split_text(task_data *data)
{
    const mt_text *text = &data->text, *valid = &data->valid_text;
    int64_t trained =
        valid->ids != NULL ? text->length : text->length / 10 * 9 + text->length % 10 * 9 / 10;
    data->parts[TRAIN] = (text_part){text->ids, trained};
    data->parts[VALID] = valid->ids != NULL
                             ? (text_part){valid->ids, valid->length}
                             : (text_part){text->ids + trained, text->length - trained};
}

static mt_status load(const run_config *config, const mt_token_list *tokens, task_data *data)
{
    mt_text_unit unit = config->unit == UNIT_BYTE ? MT_TEXT_BYTE : MT_TEXT_CHAR;
    mt_status status = MT_OK;
    if (tokens != NULL) {
        status =
            mt_token_list_create(tokens->count, (const char *const *)tokens->tokens, &data->tokens);
    }
    if (status == MT_OK) {
        status = mt_text_load(config->data, unit, &data->tokens, &data->text);
    }
    if (status == MT_OK && config->valid_data[0] != '\0') {
        status = mt_text_load(config->valid_data, unit, &data->tokens, &data->valid_text);
    }
    if (status != MT_OK) {
        return status;
    }
    split_text(data);
    for (int part = VALID; part >= TRAIN; part--) {
        if (data->parts[part].length <= config->length) {
            const char *file =
                part == VALID && config->valid_data[0] != '\0' ? config->valid_data : config->data;
            return mt_fail(MT_ERROR_INVALID,
                           "%s: %" PRId64 " symbols to %s on are too few for --length %" PRId64,
                           file, data->parts[part].length, part == TRAIN ? "train" : "validate",
                           config->length);
        }
    }
    return MT_OK;
}

static mt_status open_text(const run_config *config, const mt_token_list *tokens, task_data **data)
{
    *data = NULL;
    if (config->data[0] == '\0') {
        return mt_fail(MT_ERROR_INVALID, "text: no file to train on (give one with --data)");
    }
    if (config->unit == UNIT_WORD) {
        return mt_fail(MT_ERROR_INVALID, "--unit word: text has char and byte");
    }
    task_data *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "text: no memory for %zu bytes", sizeof *made);
    }
    mt_status status = load(config, tokens, made);
    if (status != MT_OK) {
        close_text(made);
        return status;
    }
    *data = made;
    return MT_OK;
}

static void sizes(const run_config *config, const task_data *data, mt_model_config *model)
{
    (void)config;
    model->vocab_size = model->output_size = data->tokens->count;
    model->padding_index = -1;
}

static int64_t longest(const run_config *config, const task_data *data)
{
    (void)data;
    return config->length;
}

static void defaults(run_config *config)
{
    config->model.num_blocks = 4;
    config->model.block_size = 128;
    config->length = 64;
    config->model.context_size = 0;
    config->batch = 12;
    config->steps = 2000;
    config->lr = 1e-3;
    config->lr_final = 0.1;
    config->warmup = 100;
    config->eval_every = 250;
    config->eval_batches = 1000;
}

static void describe(const task_data *data, char *text, size_t size)
{
    snprintf(text, size,
             "%" PRId64 " symbols to train on, %" PRId64 " to validate on, %d different",
             data->parts[TRAIN].length, data->parts[VALID].length, data->tokens->count);
}

static const mt_token_list *tokens_of(const task_data *data)
{
    return data->tokens;
}

static int64_t valid_windows(const run_config *config, const task_data *data)
{
    return (data->parts[VALID].length - 1) / config->length;
}

static int64_t valid_batches(const run_config *config, const task_data *data)
{
    int64_t batches = (valid_windows(config, data) + config->batch - 1) / config->batch;
    return batches < config->eval_batches ? batches : config->eval_batches;
}

/* Finds where row b of a batch begins in its part, or -1 for a row of the last validation batch
 * that is beyond the text. */
static int64_t window(const run_config *config, const task_data *data, task_split split,
                      int64_t index, int64_t b, mt_random *random)
{
    int64_t T = config->length;
    if (split == TRAIN) {
        return (int64_t)mt_random_below(random, (uint64_t)(data->parts[TRAIN].length - T));
    }
    int64_t number = index * config->batch + b;
    return number < valid_windows(config, data) ? number * T : -1;
}

static mt_status make(const run_config *config, const task_data *data, mt_tape *tape,
                      task_split split, int64_t index, mt_batch *batch)
{
    int64_t B = config->batch, T = config->length;
    mt_random random = task_random(config, split, index);
    int32_t *input = malloc((size_t)(2 * B * T) * sizeof *input);
    if (input == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "text: no memory for a batch");
    }
    int32_t *target = input + B * T;
    const int32_t *ids = data->parts[split].ids;
    for (int64_t b = 0; b < B; b++) {
        int64_t start = window(config, data, split, index, b, &random);
        for (int64_t t = 0; t < T; t++) {
            input[b * T + t] = start >= 0 ? ids[start + t] : 0;
            target[b * T + t] = start >= 0 ? ids[start + t + 1] : IGNORED;
        }
    }
    mt_status status = task_batch_of_labels(tape, B, T, input, target, batch);
    free(input);
    return status;
}

const train_task task_text = {
    .name = "text",
    .help = "the next character or byte of --data",
    .language = true,
    .defaults = defaults,
    .open = open_text,
    .close = close_text,
    .describe = describe,
    .sizes = sizes,
    .longest = longest,
    .tokens = tokens_of,
    .valid_batches = valid_batches,
    .make = make,
};
