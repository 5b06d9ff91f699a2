/* tokens: the next label of a transcript, as the prediction network of an ESPnet transducer sees
 * it: the input is the blank (0) and the labels before, the target the label itself; there is no
 * end symbol, and padding is not counted. Batches hold transcripts of like length, in an order that
 * is drawn anew for each epoch. */
#include "io/utf8.h"
#include "train/transcript_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct task_data {
    transcript_data transcripts;
    bool is_split, cut_into_characters; /* by a tokenizer; by us */
};

static void close_tokens(task_data *data)
{
    if (data != NULL) {
        transcript_data_free(&data->transcripts);
        free(data);
    }
}

static mt_status open_tokens(const run_config *config, const mt_token_list *tokens, bool may_grow,
                             task_data **data)
{
    *data = NULL;
    bool has_data = config->data.count > 0 || config->valid_data.count > 0;
    if (!has_data) {
        return mt_fail(MT_ERROR_INVALID, "tokens: no transcripts (give them with --data)");
    }
    bool is_split = config->encoder.encode != NULL;
    bool has_list = config->token_list[0] != '\0' || config->tokens.count > 0;
    if (!has_list && tokens == NULL && !is_split) {
        return mt_fail(MT_ERROR_INVALID, "tokens: no token list (give one with --token-list, or "
                                         "--bpemodel, of which one is made)");
    }
    if (config->unit == UNIT_BYTE) {
        return mt_fail(MT_ERROR_INVALID, "--unit byte: tokens has char and word");
    }
    if (config->unit == UNIT_WORD && config->nlsyms.count > 0) {
        return mt_fail(MT_ERROR_INVALID, "--nlsyms: words are whole anyway (--unit char)");
    }
    if (is_split && config->nlsyms.count > 0) {
        return mt_fail(MT_ERROR_INVALID, "--nlsyms: what stays whole the tokenizer tells itself "
                                         "(spm_train --user_defined_symbols)");
    }
    task_data *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "tokens: no memory for %zu bytes", sizeof *made);
    }
    made->is_split = is_split;
    made->cut_into_characters = config->unit == UNIT_CHAR && !is_split;
    mt_status status = transcript_data_load(config, tokens, may_grow, &made->transcripts);
    if (status != MT_OK) {
        close_tokens(made);
        return status;
    }
    *data = made;
    return MT_OK;
}

static const char *digest(const task_data *data, task_split split)
{
    return data->transcripts.digests[split];
}

static void sizes(const run_config *config, const task_data *data, mt_model_config *model)
{
    (void)config;
    model->vocab_size = model->output_size = data->transcripts.tokens->count;
}

static int64_t longest(const run_config *config, const task_data *data)
{
    (void)config;
    return data->transcripts.longest;
}

static void defaults(run_config *config)
{
    config->model.num_blocks = 4;
    config->model.block_size = 256;
    config->batch = 32;
    config->lr = 1e-3;
    config->warmup = 100;
    config->eval_every = 250;
    config->eval_batches = 1000;
}

/* Tells of tokens that no character is. */
static void describe_symbols(const mt_token_list *tokens, char *text, size_t size)
{
    static const char *const marks[] = {"<blank>", "<unk>", "<space>", "<sos/eos>",
                                        "<sos>",   "<eos>", "<s>",     "</s>"};
    enum { SHOWN = 4 };
    int32_t found = 0;
    for (int32_t i = 0; i < tokens->count; i++) {
        const char *token = tokens->tokens[i];
        bool is_symbol = mt_utf8_characters(token) > 1;
        for (size_t j = 0; j < sizeof marks / sizeof *marks && is_symbol; j++) {
            is_symbol = strcmp(token, marks[j]) != 0;
        }
        found += is_symbol;
        if (is_symbol && found <= SHOWN) {
            size_t used = strlen(text);
            snprintf(text + used, size - used, "%s'%.16s'",
                     found == 1 ? "; of several characters: " : ", ", token);
        }
    }
    if (found > 0) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s (kept whole in brackets alone, without --nlsyms)",
                 found > SHOWN ? ", ..." : "");
    }
}

static const char *doubt(const task_data *task)
{
    return task->is_split ? ": are the token list and --bpemodel those of the transcripts?"
                          : ": are the token list and --unit those of the transcripts?";
}

static void describe(const task_data *task, char *text, size_t size)
{
    const transcript_data *data = &task->transcripts;
    double share = (double)data->unknown / (double)data->labels;
    const char *first = data->tokens->tokens[BLANK];
    int length = snprintf(text, size,
                          "%" PRId64 " transcript%s to train on, %" PRId64
                          " to validate on, %" PRId64 " labels, %.2f %% of them <unk>%s",
                          data->splits[TRAIN].count, data->splits[TRAIN].count == 1 ? "" : "s",
                          data->splits[VALID].count, data->labels, 100.0 * share,
                          share > 0.05 ? doubt(task) : "");
    if (strcmp(first, "<blank>") != 0 && length > 0 && (size_t)length < size) {
        snprintf(text + length, size - (size_t)length,
                 "; for want of <blank>, each begins behind label 0, '%.32s'", first);
    }
    if (task->cut_into_characters && data->tokens->whole_count == 0) {
        describe_symbols(data->tokens, text, size);
    }
}

static const mt_token_list *tokens_of(const task_data *data)
{
    return data->transcripts.tokens;
}

static int64_t valid_batches(const run_config *config, const task_data *data)
{
    return task_batches_of_rows(config, data->transcripts.splits[VALID].count);
}

/* Which of the sorted batches the index-th of training is: every epoch has an order of its own. */
static mt_status shuffled(const run_config *config, int64_t batches, int64_t index, int64_t *number)
{
    int64_t *order = malloc((size_t)batches * sizeof *order);
    if (order == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "tokens: no memory for an order of %" PRId64 " batches",
                       batches);
    }
    mt_random random = task_random(config, TRAIN, index / batches);
    for (int64_t i = 0; i < batches; i++) {
        int64_t j = (int64_t)mt_random_below(&random, (uint64_t)(i + 1));
        order[i] = i;
        order[i] = order[j];
        order[j] = i;
    }
    *number = order[index % batches];
    free(order);
    return MT_OK;
}

static mt_status fill(const run_config *config, const sorted_transcripts *sorted, mt_tape *tape,
                      int64_t number, mt_batch *batch)
{
    int64_t B = config->batch, first = number * B;
    int64_t rows = sorted->count - first < B ? sorted->count - first : B;
    int64_t T = sorted->items[first + rows - 1]->length;
    int32_t *input = malloc((size_t)(2 * B * T) * sizeof *input);
    if (input == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "tokens: no memory for a batch");
    }
    int32_t *target = input + B * T;
    for (int64_t b = 0; b < B; b++) {
        const mt_transcript *item = b < rows ? sorted->items[first + b] : NULL;
        int64_t length = item != NULL ? item->length : 0;
        for (int64_t t = 0; t < T; t++) {
            input[b * T + t] = t > 0 && t < length ? item->labels[t - 1] : BLANK;
            target[b * T + t] = t < length ? item->labels[t] : IGNORED;
        }
    }
    mt_status status = task_batch_of_labels(tape, B, T, input, target, batch);
    free(input);
    return status;
}

static mt_status make(const run_config *config, const task_data *data, mt_tape *tape,
                      task_split split, int64_t index, mt_batch *batch)
{
    int64_t number = index, rows = data->transcripts.splits[split].count;
    int64_t batches = (rows - 1) / config->batch + 1;
    mt_status status = split == TRAIN ? shuffled(config, batches, index, &number) : MT_OK;
    return status == MT_OK ? fill(config, &data->transcripts.splits[split], tape, number, batch)
                           : status;
}

const train_task task_tokens = {
    .name = "tokens",
    .help = "the next label of the transcripts in --data, with --token-list",
    .transcripts = true,
    .language = true,
    .rows_apart = true,
    .defaults = defaults,
    .open = open_tokens,
    .close = close_tokens,
    .describe = describe,
    .digest = digest,
    .sizes = sizes,
    .longest = longest,
    .tokens = tokens_of,
    .valid_batches = valid_batches,
    .make = make,
};
