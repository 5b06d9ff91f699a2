/* text: the next character, or byte, of files. It is trained on in random windows, or with --carry
 * in lanes (train/lanes.h), and validated in consecutive ones on other files or, where there are
 * none, on the last 10 % of all, which are then not trained on. Each file is a document: no window
 * reaches from one into the next, and a document that is shorter than a window is one by itself,
 * padded. */
#include "io/text_files.h"
#include "io/utf8.h"
#include "train/data_files.h"
#include "train/text_windows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The symbols of the files that an option names. */
typedef struct loaded_texts {
    int64_t count, symbols;
    mt_text *texts;
    char digest[DIGEST_MAX];
} loaded_texts;

struct task_data {
    loaded_texts texts, valid_texts; /* no valid_texts where a part of `texts` is held out */
    mt_token_list *tokens;           /* NULL: a tokenizer's */
    int64_t vocabulary;
    text_split splits[2]; /* by task_split */
};

static mt_text_unit unit_of(const run_config *config)
{
    return config->unit == UNIT_BYTE ? MT_TEXT_BYTE : MT_TEXT_CHAR;
}

static void free_texts(loaded_texts *texts)
{
    for (int64_t i = 0; i < texts->count; i++) {
        mt_text_destroy(&texts->texts[i]);
    }
    free(texts->texts);
}

static void close_text(task_data *data)
{
    if (data != NULL) {
        free_texts(&data->texts);
        free_texts(&data->valid_texts);
        mt_token_list_destroy(data->tokens);
        text_split_free(&data->splits[TRAIN]);
        text_split_free(&data->splits[VALID]);
        free(data);
    }
}

/* What a tokenizer makes of a file, without a byte order mark. */
static mt_status tokenize_file(const mt_file_bytes *file, const text_encoder *encoder,
                               mt_text *text)
{
    size_t mark = mt_utf8_mark(file->bytes, file->size);
    mt_status status = encoder->encode(encoder->context, file->bytes + mark, file->size - mark,
                                       &text->ids, &text->length);
    return status == MT_OK ? MT_OK : mt_fail(status, "%s: %s", file->name, mt_error_message());
}

/* Encodes the files, and frees their bytes one by one. */
static mt_status encode_files(const data_files *files, const run_config *config,
                              const mt_token_list *tokens, loaded_texts *texts)
{
    mt_status status = MT_OK;
    texts->texts = calloc((size_t)files->count, sizeof *texts->texts);
    if (texts->texts == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "text: no memory for %" PRId64 " files", files->count);
    }
    for (int64_t i = 0; i < files->count && status == MT_OK; i++) {
        mt_text *text = &texts->texts[texts->count++];
        status = config->encoder.encode != NULL
                     ? tokenize_file(&files->files[i], &config->encoder, text)
                     : mt_text_encode_file(&files->files[i], unit_of(config), tokens, text);
        texts->symbols += text->length;
        free(files->files[i].bytes);
        files->files[i].bytes = NULL;
    }
    if (status == MT_OK && texts->symbols == 0) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: the file is empty%s", files->files[0].name,
                         files->count > 1 ? ", as the others are" : "");
    }
    return status;
}

/* Reads the files that are named, with the vocabulary that is known, which may grow, or their
 * own. */
static mt_status load_texts(const file_list *names, const run_config *config,
                            mt_token_list **tokens, bool may_grow, loaded_texts *texts)
{
    data_files files;
    mt_status status = data_files_read(names, &files);
    if (status == MT_OK && config->encoder.encode == NULL && (*tokens == NULL || may_grow)) {
        status = mt_text_vocabulary(files.files, files.count, unit_of(config), tokens);
    }
    if (status == MT_OK) {
        status = encode_files(&files, config, *tokens, texts);
    }
    memcpy(texts->digest, files.digest, sizeof texts->digest);
    data_files_free(&files);
    return status;
}

static mt_status split_texts(const run_config *config, task_data *data)
{
    const loaded_texts *texts = &data->texts, *valid = &data->valid_texts;
    int64_t N = texts->symbols, T = config->length;
    int64_t trained = valid->count > 0 ? N : N / 10 * 9 + N % 10 * 9 / 10;
    mt_status status =
        text_split_make(texts->texts, texts->count, 0, trained, T, TRAIN, &data->splits[TRAIN]);
    if (status != MT_OK) {
        return status;
    }
    return valid->count > 0 ? text_split_make(valid->texts, valid->count, 0, valid->symbols, T,
                                              VALID, &data->splits[VALID])
                            : text_split_make(texts->texts, texts->count, trained, N, T, VALID,
                                              &data->splits[VALID]);
}

/* Refuses a split in which every window would have to be padded. */
static mt_status check_split(const run_config *config, const task_data *data, task_split which)
{
    const text_split *split = &data->splits[which];
    const file_list *names =
        which == VALID && config->valid_data.count > 0 ? &config->valid_data : &config->data;
    int64_t longest = 0;
    for (int64_t i = 0; i < split->count; i++) {
        longest = split->documents[i].length > longest ? split->documents[i].length : longest;
    }
    return longest > config->length
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "%s: %" PRId64 " symbols to %s on are too few for --length %" PRId64,
                         names->names[0], longest, which == TRAIN ? "train" : "validate",
                         config->length);
}

static mt_status load(const run_config *config, const mt_token_list *tokens, bool may_grow,
                      task_data *data)
{
    mt_status status = MT_OK;
    if (tokens != NULL && config->encoder.encode == NULL) {
        status =
            mt_token_list_create(tokens->count, (const char *const *)tokens->tokens, &data->tokens);
    }
    if (status == MT_OK && config->data.count > 0) {
        status = load_texts(&config->data, config, &data->tokens, may_grow, &data->texts);
    }
    if (status == MT_OK && config->valid_data.count > 0) {
        status = load_texts(&config->valid_data, config, &data->tokens, false, &data->valid_texts);
    }
    if (status == MT_OK) {
        data->vocabulary = data->tokens != NULL ? data->tokens->count : config->vocab_size;
        status = split_texts(config, data);
    }
    int first = config->data.count > 0 ? TRAIN : VALID;
    for (int split = VALID; split >= first && status == MT_OK; split--) {
        status = check_split(config, data, (task_split)split);
        if (status == MT_OK && config->carry) {
            status = text_split_lay(config, &data->splits[split]);
        }
    }
    return status;
}

static mt_status open_text(const run_config *config, const mt_token_list *tokens, bool may_grow,
                           task_data **data)
{
    *data = NULL;
    if (config->data.count == 0 && config->valid_data.count == 0) {
        return mt_fail(MT_ERROR_INVALID, "text: no file to train on (give one with --data)");
    }
    if (config->unit == UNIT_WORD) {
        return mt_fail(MT_ERROR_INVALID, "--unit word: text has char and byte");
    }
    if (may_grow && config->unit == UNIT_CHAR && tokens != NULL && mt_text_is_of_bytes(tokens)) {
        return mt_fail(MT_ERROR_INVALID, "--init %s: its symbols are bytes (--unit byte)",
                       config->init);
    }
    task_data *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "text: no memory for %zu bytes", sizeof *made);
    }
    mt_status status = load(config, tokens, may_grow, made);
    if (status != MT_OK) {
        close_text(made);
        return status;
    }
    *data = made;
    return MT_OK;
}

static const char *digest(const task_data *data, task_split split)
{
    return split == TRAIN ? data->texts.digest : data->valid_texts.digest;
}

static void sizes(const run_config *config, const task_data *data, mt_model_config *model)
{
    (void)config;
    model->vocab_size = model->output_size = data->vocabulary;
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

/* A tokenizer's vocabulary is larger than what the text has of it. */
static void describe(const task_data *data, char *text, size_t size)
{
    bool is_tokenizers = data->tokens == NULL;
    snprintf(text, size,
             "%" PRId64 " symbols to train on, %" PRId64 " to validate on%s%" PRId64 "%s",
             data->splits[TRAIN].symbols, data->splits[VALID].symbols,
             is_tokenizers ? "; a vocabulary of " : ", ", data->vocabulary,
             is_tokenizers ? "" : " different");
}

static const mt_token_list *tokens_of(const task_data *data)
{
    return data->tokens;
}

static int64_t valid_batches(const run_config *config, const task_data *data)
{
    return task_batches_of_rows(config, data->splits[VALID].windows);
}

static mt_status make(const run_config *config, const task_data *data, mt_tape *tape,
                      task_split which, int64_t index, mt_batch *batch)
{
    int64_t B = config->batch, T = config->length;
    const text_split *split = &data->splits[which];
    mt_random random = task_random(config, which, index);
    int32_t *input = malloc((size_t)(2 * B * T) * sizeof *input);
    if (input == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "text: no memory for a batch");
    }
    int32_t *target = input + B * T;
    for (int64_t b = 0; b < B; b++) {
        text_split_fill(config, split, index, b, &random, input + b * T, target + b * T);
    }
    mt_status status = task_batch_of_labels(tape, B, T, input, target, batch);
    batch->begins = split->lanes != NULL ? lanes_begins(split->lanes) : NULL;
    free(input);
    return status;
}

const train_task task_text = {
    .name = "text",
    .help = "the next character or byte of --data, or token of --tokenizer",
    .language = true,
    .rows_apart = true,
    .encodes = true,
    .defaults = defaults,
    .open = open_text,
    .close = close_text,
    .describe = describe,
    .digest = digest,
    .sizes = sizes,
    .longest = longest,
    .tokens = tokens_of,
    .valid_batches = valid_batches,
    .make = make,
};
