/* ids: the next token id of a text that another program's tokenizer cut. It is trained on in random
 * windows of --data, or with --carry in lanes (train/lanes.h), and validated in consecutive ones of
 * --valid-data or, where there is none, of the last --valid-share of it, which is then not trained
 * on. */
#include "train/id_files.h"
#include "train/id_windows.h"
#include "train/lanes.h"
#include "train/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The windows of a split that are carried through. */
typedef struct carried_windows {
    id_part part;
    int64_t T, first_document;
    lanes *lanes; /* NULL: nothing is carried */
} carried_windows;

struct task_data {
    mt_token_ids *ids, *valid_ids; /* valid_ids is NULL where a share of `ids` is held out */
    mt_token_list *tokens;         /* of the model that was begun with, or NULL */
    id_part train;
    id_windows valid;
    int64_t vocabulary;
    bool is_found;              /* the vocabulary is the largest id + 1 */
    carried_windows carried[2]; /* by task_split */
};

static void close_ids(task_data *data)
{
    if (data != NULL) {
        mt_token_ids_close(data->ids);
        mt_token_ids_close(data->valid_ids);
        mt_token_list_destroy(data->tokens);
        id_windows_free(&data->valid);
        lanes_free(data->carried[TRAIN].lanes);
        lanes_free(data->carried[VALID].lanes);
        free(data);
    }
}

static mt_status find_largest(mt_token_ids *ids, task_data *data)
{
    int64_t largest;
    mt_status status = mt_token_ids_largest(ids, &largest);
    if (status == MT_OK && largest >= data->vocabulary) {
        data->vocabulary = largest + 1;
    }
    return status;
}

/* What the options or the model say, or else the ids themselves. */
static mt_status find_vocabulary(const run_config *config, task_data *data)
{
    data->vocabulary = config->vocab_size;
    data->is_found = config->vocab_size == 0;
    mt_status status = data->is_found ? find_largest(data->ids, data) : MT_OK;
    return status == MT_OK && data->is_found && data->valid_ids != NULL
               ? find_largest(data->valid_ids, data)
               : status;
}

static mt_status check_part(const id_part *part, const char *use)
{
    const char *file = mt_token_ids_file(part->ids, 0);
    return id_part_has_window(part)
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "%s%s: none of the documents to %s on has two ids (a row is one, of an "
                         "array of several dimensions)",
                         file, mt_token_ids_file(part->ids, 1) != NULL ? " ..." : "", use);
}

static mt_status take_parts(const run_config *config, task_data *data)
{
    id_part valid;
    mt_status status = MT_OK;
    if (data->valid_ids != NULL) {
        data->train = (id_part){data->ids, 0, mt_token_ids_count(data->ids)};
        valid = (id_part){data->valid_ids, 0, mt_token_ids_count(data->valid_ids)};
    } else {
        status = id_part_split(data->ids, config->valid_share, &data->train, &valid);
    }
    if (status == MT_OK) {
        status = id_windows_make(&valid, config->length, &data->valid);
    }
    if (status == MT_OK) {
        status = check_part(&data->train, "train");
    }
    return status == MT_OK ? check_part(&data->valid.part, "validate") : status;
}

static int64_t windows_of(const void *context, int64_t document)
{
    const carried_windows *of = context;
    return id_part_windows(&of->part, of->T, of->first_document + document);
}

static mt_status lay(const run_config *config, const id_part *part, task_split split,
                     carried_windows *of)
{
    of->part = *part;
    of->T = config->length;
    of->first_document = mt_token_ids_find(part->ids, part->first);
    const lane_source source = {
        of, mt_token_ids_find(part->ids, part->end - 1) + 1 - of->first_document, windows_of};
    return split == TRAIN ? lanes_to_train(config, &source, &of->lanes)
                          : lanes_to_validate(config, &source, &of->lanes);
}

static mt_status lay_windows(const run_config *config, task_data *data)
{
    mt_status status =
        config->carry ? lay(config, &data->train, TRAIN, &data->carried[TRAIN]) : MT_OK;
    return status == MT_OK && config->carry
               ? lay(config, &data->valid.part, VALID, &data->carried[VALID])
               : status;
}

/* The model's, if they are of this vocabulary. */
static mt_status take_tokens(const mt_token_list *tokens, task_data *data)
{
    return tokens != NULL && tokens->count == data->vocabulary
               ? mt_token_list_create(tokens->count, (const char *const *)tokens->tokens,
                                      &data->tokens)
               : MT_OK;
}

/* Every validation reads the same windows: ids there that are beyond the vocabulary are told before
 * a step is made. */
static mt_status check_valid_ids(const run_config *config, const task_data *data)
{
    int64_t rows = task_batches_of_rows(config, data->valid.count) * config->batch;
    int32_t *values = malloc((size_t)(config->length + 1) * sizeof *values);
    if (values == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "ids: no memory for a window of %" PRId64 " ids",
                       config->length + 1);
    }
    mt_status status = MT_OK;
    for (int64_t i = 0; i < rows && i < data->valid.count && status == MT_OK; i++) {
        mt_ids_span window = id_windows_at(&data->valid, i);
        status = mt_token_ids_read(data->valid.part.ids, window.first, window.count,
                                   data->vocabulary, values);
    }
    free(values);
    return status;
}

static mt_status load(const run_config *config, const mt_token_list *tokens, task_data *data)
{
    mt_status status = id_files_open(&config->data, config->ids_type, &data->ids);
    if (status == MT_OK && config->valid_data.count > 0) {
        status = id_files_open(&config->valid_data, config->ids_type, &data->valid_ids);
    }
    if (status == MT_OK) {
        status = take_parts(config, data);
    }
    if (status == MT_OK) {
        status = lay_windows(config, data);
    }
    if (status == MT_OK) {
        status = find_vocabulary(config, data);
    }
    if (status == MT_OK && !data->is_found) {
        status = check_valid_ids(config, data);
    }
    return status == MT_OK ? take_tokens(tokens, data) : status;
}

static mt_status open_ids(const run_config *config, const mt_token_list *tokens, bool may_grow,
                          task_data **data)
{
    (void)may_grow;
    *data = NULL;
    if (config->data.count == 0) {
        return mt_fail(MT_ERROR_INVALID, "ids: no files to train on (give some with --data)");
    }
    task_data *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "ids: no memory for %zu bytes", sizeof *made);
    }
    mt_status status = load(config, tokens, made);
    if (status != MT_OK) {
        close_ids(made);
        return status;
    }
    *data = made;
    return MT_OK;
}

static void sizes(const run_config *config, const task_data *data, mt_model_config *model)
{
    (void)config;
    model->vocab_size = model->output_size = data->vocabulary;
}

static int64_t longest(const run_config *config, const task_data *data)
{
    (void)data;
    return config->length;
}

/* Those of text. */
static void defaults(run_config *config)
{
    task_text.defaults(config);
    config->model.padding_index = -1;
}

static void describe(const task_data *data, char *text, size_t size)
{
    const id_part *valid = &data->valid.part;
    int64_t documents = mt_token_ids_documents(data->ids);
    snprintf(text, size,
             "%" PRId64 " ids to train on, %" PRId64 " to validate on, in %" PRId64
             " document%s; a vocabulary of %" PRId64 "%s",
             data->train.end - data->train.first, valid->end - valid->first,
             documents + (data->valid_ids != NULL ? mt_token_ids_documents(data->valid_ids) : 0),
             documents == 1 && data->valid_ids == NULL ? "" : "s", data->vocabulary,
             data->is_found ? ", from the largest id" : "");
}

static const mt_token_list *tokens_of(const task_data *data)
{
    return data->tokens;
}

static const char *file_of(const task_data *data, task_split split, int64_t i)
{
    const mt_token_ids *ids = split == TRAIN ? data->ids : data->valid_ids;
    return ids != NULL ? mt_token_ids_file(ids, i) : NULL;
}

static int64_t valid_batches(const run_config *config, const task_data *data)
{
    return task_batches_of_rows(config, data->valid.count);
}

/* Finds the window of row b of a batch, which is none in the rows behind the last one to validate
 * on. */
static mt_status find_window(const run_config *config, const task_data *data, task_split split,
                             int64_t number, mt_random *random, mt_ids_span *window)
{
    if (split == TRAIN) {
        return id_part_draw(&data->train, config->length, random, window);
    }
    *window = number < data->valid.count ? id_windows_at(&data->valid, number)
                                         : (mt_ids_span){.count = 0};
    return MT_OK;
}

/* The same where rows go on from batch to batch. */
static mt_ids_span carried_window(const carried_windows *of, int64_t index, int64_t b)
{
    lane_window at = lanes_at(of->lanes, index, b);
    return at.number >= 0
               ? id_part_window(&of->part, of->T, of->first_document + at.document, at.number)
               : (mt_ids_span){.count = 0};
}

/* Fills in a row, from ids that are read into `values`. */
static mt_status fill_row(const task_data *data, task_split split, mt_ids_span window, int64_t T,
                          int32_t *values, int32_t *input, int32_t *target)
{
    mt_token_ids *ids = split == TRAIN ? data->train.ids : data->valid.part.ids;
    mt_status status = mt_token_ids_read(ids, window.first, window.count, data->vocabulary, values);
    for (int64_t t = 0; t < T && status == MT_OK; t++) {
        bool counts = t + 1 < window.count;
        input[t] = counts ? values[t] : 0;
        target[t] = counts ? values[t + 1] : IGNORED;
    }
    return status;
}

static mt_status make(const run_config *config, const task_data *data, mt_tape *tape,
                      task_split split, int64_t index, mt_batch *batch)
{
    int64_t B = config->batch, T = config->length;
    mt_random random = task_random(config, split, index);
    int32_t *input = malloc((size_t)(2 * B * T + T + 1) * sizeof *input);
    if (input == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "ids: no memory for a batch");
    }
    int32_t *target = input + B * T, *values = target + B * T;
    const carried_windows *carried = &data->carried[split];
    mt_status status = MT_OK;
    for (int64_t b = 0; b < B && status == MT_OK; b++) {
        mt_ids_span window;
        if (carried->lanes != NULL) {
            window = carried_window(carried, index, b);
        } else {
            status = find_window(config, data, split, index * B + b, &random, &window);
        }
        if (status == MT_OK) {
            status = fill_row(data, split, window, T, values, input + b * T, target + b * T);
        }
    }
    if (status == MT_OK) {
        status = task_batch_of_labels(tape, B, T, input, target, batch);
    }
    batch->begins = carried->lanes != NULL ? lanes_begins(carried->lanes) : NULL;
    free(input);
    return status;
}

const train_task task_ids = {
    .name = "ids",
    .help = "the next token id of --data, which another program's tokenizer made",
    .language = true,
    .rows_apart = true,
    .numbers = true,
    .defaults = defaults,
    .open = open_ids,
    .close = close_ids,
    .describe = describe,
    .sizes = sizes,
    .longest = longest,
    .tokens = tokens_of,
    .file = file_of,
    .valid_batches = valid_batches,
    .make = make,
};
