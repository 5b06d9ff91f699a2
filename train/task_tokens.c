/* tokens: the next label of a transcript, as the prediction network of an ESPnet transducer sees
 * it: the input is the blank (0) and the labels before, the target the label itself; there is no
 * end symbol, and padding is not counted. Batches hold transcripts of like length, in an order that
 * is drawn anew for each epoch. */
#include "io/token_pieces.h"
#include "io/transcripts_files.h"
#include "io/utf8.h"
#include "train/data_files.h"
#include "train/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLANK = 0, HELD_OUT = 10 };

/* Transcripts of one split, sorted by length; they belong to the files they were read from. */
typedef struct sorted_transcripts {
    int64_t count;
    const mt_transcript **items;
} sorted_transcripts;

struct task_data {
    mt_token_list *tokens;
    mt_transcripts *train_file; /* NULL where there is nothing to train on */
    mt_transcripts *valid_file; /* NULL: every tenth of train_file */
    bool cut_into_characters;
    char digests[2][DIGEST_MAX];      /* by task_split */
    sorted_transcripts splits[2];     /* by split */
    int64_t longest, labels, unknown; /* of both splits: how many labels, and how many <unk> */
};

static void close_tokens(task_data *data)
{
    if (data == NULL) {
        return;
    }
    mt_token_list_destroy(data->tokens);
    mt_transcripts_destroy(data->train_file);
    mt_transcripts_destroy(data->valid_file);
    free(data->splits[TRAIN].items);
    free(data->splits[VALID].items);
    free(data);
}

static int compare_lengths(const void *a, const void *b)
{
    const mt_transcript *left = *(const mt_transcript *const *)a,
                        *right = *(const mt_transcript *const *)b;
    if (left->length != right->length) {
        return left->length < right->length ? -1 : 1;
    }
    return strcmp(left->utterance,
                  right->utterance); /* the order is the same wherever it is made */
}

/* Tells if transcript i of the training file is held out, when there is no file to validate on. */
static bool held_out(const task_data *data, int64_t i)
{
    return data->valid_file == NULL && i % HELD_OUT == HELD_OUT - 1;
}

static mt_status sort_split(task_data *data, task_split split, const mt_transcripts *file)
{
    sorted_transcripts *sorted = &data->splits[split];
    if (file == NULL) {
        return MT_OK;
    }
    sorted->items = calloc((size_t)file->count, sizeof *sorted->items);
    if (sorted->items == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "tokens: no memory for %" PRId64 " transcripts",
                       file->count);
    }
    for (int64_t i = 0; i < file->count; i++) {
        bool wanted = file == data->valid_file || held_out(data, i) == (split == VALID);
        if (wanted) {
            sorted->items[sorted->count++] = &file->items[i];
        }
    }
    qsort(sorted->items, (size_t)sorted->count, sizeof(const mt_transcript *), compare_lengths);
    return MT_OK;
}

static const char *list_name(const run_config *config)
{
    return config->token_list[0] != '\0' ? config->token_list : "the model's token list";
}

/* Of a list of sub-words hardly anything is unknown in a text that is split into them; that is
 * most of one that is not, cut into characters, of which the list has many, too. */
static mt_status refuse_unknown(const run_config *config, const char *name, double share,
                                bool subwords)
{
    return subwords ? mt_fail(MT_ERROR_INVALID,
                              "%s: %.1f %% of its labels are not in %s, a list of sub-words: split "
                              "the transcripts into them (spm_encode) and take --unit word (or "
                              "allow it by --most-unknown)",
                              name, 100.0 * share, list_name(config))
                    : mt_fail(MT_ERROR_INVALID,
                              "%s: %.1f %% of its labels are not in %s (are they cut as --unit %s? "
                              "or allow it by --most-unknown)",
                              name, 100.0 * share, list_name(config),
                              symbol_unit_name((int)config->unit));
}

/* Counts a file's labels. Transcripts that mostly are not in the token list are of another one, or
 * cut in another way; a model of them would look excellent. */
static mt_status check_known(const run_config *config, const file_list *names,
                             const mt_transcripts *file, task_data *data)
{
    int32_t unk = mt_token_find(data->tokens, "<unk>", strlen("<unk>"));
    int64_t labels = 0, unknown = 0;
    for (int64_t i = 0; file != NULL && i < file->count; i++) {
        labels += file->items[i].length;
        for (int64_t t = 0; t < file->items[i].length; t++) {
            unknown += file->items[i].labels[t] == unk;
        }
    }
    data->labels += labels;
    data->unknown += unknown;
    const double of_subwords = 0.01, of_others = 0.5;
    bool subwords = mt_token_list_has_pieces(data->tokens);
    double most = config->most_unknown >= 0.0 ? config->most_unknown
                  : subwords                  ? of_subwords
                                              : of_others;
    double share = labels > 0 ? (double)unknown / (double)labels : 0.0;
    return share <= most ? MT_OK : refuse_unknown(config, names->names[0], share, subwords);
}

static mt_status sort_all(const run_config *config, task_data *data)
{
    const mt_transcripts *valid = data->valid_file != NULL ? data->valid_file : data->train_file;
    mt_status status = sort_split(data, TRAIN, data->train_file);
    if (status == MT_OK) {
        status = sort_split(data, VALID, valid);
    }
    if (status == MT_OK && data->splits[VALID].count == 0) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: %" PRId64
                       " transcripts leave none to validate on (at least %d, or --valid-data)",
                       config->data.names[0], data->train_file->count, HELD_OUT);
    }
    for (int s = data->train_file != NULL ? TRAIN : VALID; s <= VALID && status == MT_OK; s++) {
        const mt_transcript *last = data->splits[s].items[data->splits[s].count - 1];
        data->longest = last->length > data->longest ? last->length : data->longest;
        if (config->model.context_size > 0 && last->length > config->model.context_size) {
            status = mt_fail(MT_ERROR_INVALID,
                             "utterance %s: %" PRId64 " labels exceed --context-size %" PRId64,
                             last->utterance, last->length, config->model.context_size);
        }
    }
    return status;
}

/* The file's list or, where none is named or the file is gone, that of the model which the run
 * begins with or goes on from. */
static mt_status load_tokens(const run_config *config, const mt_token_list *known, task_data *data)
{
    if (known != NULL && access(config->token_list, F_OK) != 0) {
        return mt_token_list_create(known->count, (const char *const *)known->tokens,
                                    &data->tokens);
    }
    return mt_token_list_load(config->token_list, &data->tokens);
}

/* Reads the transcripts of all the files. */
static mt_status load_transcripts(const run_config *config, const file_list *names,
                                  const mt_token_list *tokens, mt_transcripts **transcripts,
                                  char digest[DIGEST_MAX])
{
    mt_token_unit unit = config->unit == UNIT_WORD ? MT_TOKEN_WORD : MT_TOKEN_CHAR;
    data_files files;
    mt_status status = data_files_read(names, &files);
    if (status == MT_OK) {
        status = mt_transcripts_read(files.files, files.count, tokens, unit, transcripts);
    }
    memcpy(digest, files.digest, DIGEST_MAX);
    data_files_free(&files);
    return status;
}

static mt_status load(const run_config *config, const mt_token_list *known, task_data *data)
{
    mt_status status = load_tokens(config, known, data);
    if (status == MT_OK) {
        status = mt_token_list_keep_whole(data->tokens, (int32_t)config->nlsyms.count,
                                          (const char *const *)config->nlsyms.names);
    }
    bool has_blank = status == MT_OK && strcmp(data->tokens->tokens[BLANK], "<blank>") == 0;
    if (status == MT_OK && !has_blank && config->model.padding_index == BLANK) {
        status = mt_fail(MT_ERROR_INVALID,
                         "%s: the first token is '%s', not <blank>, which a transducer needs there "
                         "(--embed-pad -1: a label like others)",
                         list_name(config), data->tokens->tokens[BLANK]);
    }
    if (status == MT_OK && config->data.count > 0) {
        status = load_transcripts(config, &config->data, data->tokens, &data->train_file,
                                  data->digests[TRAIN]);
    }
    if (status == MT_OK && config->valid_data.count > 0) {
        status = load_transcripts(config, &config->valid_data, data->tokens, &data->valid_file,
                                  data->digests[VALID]);
    }
    return status == MT_OK ? sort_all(config, data) : status;
}

/* The list must be the one that the model was trained with, to which new tokens may be added behind
 * the last. */
static mt_status check_same_tokens(const run_config *config, const task_data *data,
                                   const mt_token_list *known, bool may_grow)
{
    const mt_token_list *now = data->tokens;
    for (int32_t i = 0; known != NULL && i < known->count && i < now->count; i++) {
        const char *token = now->tokens[i];
        if (strcmp(known->tokens[i], token) != 0) {
            return mt_fail(MT_ERROR_INVALID,
                           "%s: not the token list that the model was trained with: token %" PRId32
                           " is '%s', there '%s'",
                           config->token_list, i, token, known->tokens[i]);
        }
    }
    return known == NULL || now->count == known->count || (may_grow && now->count > known->count)
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "%s: not the token list that the model was trained with: %" PRId32
                         " tokens, there %" PRId32,
                         config->token_list, now->count, known->count);
}

static mt_status open_tokens(const run_config *config, const mt_token_list *tokens, bool may_grow,
                             task_data **data)
{
    *data = NULL;
    bool has_data = config->data.count > 0 || config->valid_data.count > 0;
    if (!has_data) {
        return mt_fail(MT_ERROR_INVALID, "tokens: no transcripts (give them with --data)");
    }
    if (config->token_list[0] == '\0' && tokens == NULL) {
        return mt_fail(MT_ERROR_INVALID, "tokens: no token list (give one with --token-list)");
    }
    if (config->unit == UNIT_BYTE) {
        return mt_fail(MT_ERROR_INVALID, "--unit byte: tokens has char and word");
    }
    if (config->unit == UNIT_WORD && config->nlsyms.count > 0) {
        return mt_fail(MT_ERROR_INVALID, "--nlsyms: words are whole anyway (--unit char)");
    }
    task_data *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "tokens: no memory for %zu bytes", sizeof *made);
    }
    made->cut_into_characters = config->unit == UNIT_CHAR;
    mt_status status = load(config, tokens, made);
    if (status == MT_OK) {
        status = check_same_tokens(config, made, tokens, may_grow);
    }
    if (status == MT_OK) {
        status = check_known(config, &config->data, made->train_file, made);
    }
    if (status == MT_OK) {
        status = check_known(config, &config->valid_data, made->valid_file, made);
    }
    if (status != MT_OK) {
        close_tokens(made);
        return status;
    }
    *data = made;
    return MT_OK;
}

static const char *digest(const task_data *data, task_split split)
{
    return data->digests[split];
}

static void sizes(const run_config *config, const task_data *data, mt_model_config *model)
{
    (void)config;
    model->vocab_size = model->output_size = data->tokens->count;
}

static int64_t longest(const run_config *config, const task_data *data)
{
    (void)config;
    return data->longest;
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

static void describe(const task_data *data, char *text, size_t size)
{
    double share = (double)data->unknown / (double)data->labels;
    const char *first = data->tokens->tokens[BLANK];
    int length =
        snprintf(text, size,
                 "%" PRId64 " transcript%s to train on, %" PRId64 " to validate on, %" PRId64
                 " labels, %.2f %% of them <unk>%s",
                 data->splits[TRAIN].count, data->splits[TRAIN].count == 1 ? "" : "s",
                 data->splits[VALID].count, data->labels, 100.0 * share,
                 share > 0.05 ? ": are the token list and --unit those of the transcripts?" : "");
    if (strcmp(first, "<blank>") != 0 && length > 0 && (size_t)length < size) {
        snprintf(text + length, size - (size_t)length,
                 "; for want of <blank>, each begins behind label 0, '%.32s'", first);
    }
    if (data->cut_into_characters && data->tokens->whole_count == 0) {
        describe_symbols(data->tokens, text, size);
    }
}

static const mt_token_list *tokens_of(const task_data *data)
{
    return data->tokens;
}

static int64_t split_batches(const run_config *config, const task_data *data, task_split split)
{
    return (data->splits[split].count + config->batch - 1) / config->batch;
}

static int64_t valid_batches(const run_config *config, const task_data *data)
{
    int64_t batches = split_batches(config, data, VALID);
    return batches < config->eval_batches ? batches : config->eval_batches;
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
    int64_t number = index;
    mt_status status = split == TRAIN
                           ? shuffled(config, split_batches(config, data, TRAIN), index, &number)
                           : MT_OK;
    return status == MT_OK ? fill(config, &data->splits[split], tape, number, batch) : status;
}

const train_task task_tokens = {
    .name = "tokens",
    .help = "the next label of the transcripts in --data, with --token-list",
    .transcripts = true,
    .language = true,
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
