#include "train/transcript_data.h"

#include "io/token_pieces.h"
#include "io/token_unknown.h"
#include "io/transcripts_files.h"
#include "train/data_files.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HELD_OUT = 10 };

void transcript_data_free(transcript_data *data)
{
    mt_token_list_destroy(data->tokens);
    mt_transcripts_destroy(data->train_file);
    mt_transcripts_destroy(data->valid_file);
    free(data->splits[TRAIN].items);
    free(data->splits[VALID].items);
    *data = (transcript_data){.tokens = NULL};
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
static bool held_out(const transcript_data *data, int64_t i)
{
    return data->valid_file == NULL && i % HELD_OUT == HELD_OUT - 1;
}

static mt_status sort_split(transcript_data *data, task_split split, const mt_transcripts *file)
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
    return config->token_list[0] != '\0' ? config->token_list
           : config->tokens.count > 0    ? "the configuration's token list"
                                         : "the model's token list";
}

/* Pieces that the tokenizer made. */
static mt_status refuse_pieces(const run_config *config, const char *name, double share)
{
    const char *pieces = config->encoder.unknown_pieces(config->encoder.context);
    bool has_list = config->token_list[0] != '\0';
    return mt_fail(MT_ERROR_INVALID,
                   "%s: %.1f %% of its pieces are not in %s%s%s (is the model of SentencePiece "
                   "theirs?%s or allow it by --most-unknown)",
                   name, 100.0 * share, has_list ? config->token_list : "the list of the model",
                   pieces[0] != '\0' ? ", as " : "", pieces,
                   has_list ? " its own list is taken without --token-list;" : "");
}

static mt_status refuse_unknown(const run_config *config, const char *name, double share,
                                bool subwords)
{
    if (config->encoder.encode != NULL) {
        return refuse_pieces(config, name, share);
    }
    return subwords ? mt_fail(MT_ERROR_INVALID,
                              "%s: %.1f %% of its labels are not in %s, a list of sub-words: name "
                              "their model of SentencePiece (--bpemodel), or split the transcripts "
                              "before and take --unit word (or allow it by --most-unknown)",
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
                             const mt_transcripts *file, transcript_data *data)
{
    int64_t labels = 0, unknown = 0;
    for (int64_t i = 0; file != NULL && i < file->count; i++) {
        const mt_transcript *item = &file->items[i];
        labels += item->length;
        unknown += mt_token_count_unknown(data->tokens, item->labels, item->length);
    }
    data->labels += labels;
    data->unknown += unknown;
    bool subwords = config->encoder.encode != NULL || mt_token_list_has_pieces(data->tokens);
    double most =
        config->most_unknown >= 0.0 ? config->most_unknown : mt_token_most_unknown(subwords);
    double share = labels > 0 ? (double)unknown / (double)labels : 0.0;
    return share <= most ? MT_OK : refuse_unknown(config, names->names[0], share, subwords);
}

static mt_status sort_all(const run_config *config, transcript_data *data)
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

/* The list of a configuration, or the file's or, where none is named or it is gone, that of the
 * model which the run begins with or goes on from, or else what the tokenizer makes. */
static mt_status load_tokens(const run_config *config, const mt_token_list *known,
                             transcript_data *data)
{
    if (config->tokens.count > 0) {
        mt_status status =
            mt_token_list_create((int32_t)config->tokens.count,
                                 (const char *const *)config->tokens.names, &data->tokens);
        return status == MT_ERROR_INVALID
                   ? mt_fail(MT_ERROR_FORMAT, "the configuration's %s", mt_error_message())
                   : status;
    }
    if (known != NULL && access(config->token_list, F_OK) != 0) {
        return mt_token_list_create(known->count, (const char *const *)known->tokens,
                                    &data->tokens);
    }
    const text_encoder *encoder = &config->encoder;
    return config->token_list[0] == '\0' ? encoder->make_tokens(encoder->context, &data->tokens)
                                         : mt_token_list_load(config->token_list, &data->tokens);
}

/* An encoder that counts texts, and those with marks of pieces. */
typedef struct counted_texts {
    const text_encoder *encoder;
    int64_t count, with_marks;
} counted_texts;

static mt_status encode_counted(void *context, const char *text, size_t size, int32_t **labels,
                                int64_t *count)
{
    counted_texts *texts = context;
    texts->count++;
    texts->with_marks += mt_text_has_piece_mark(text, size);
    return texts->encoder->encode(texts->encoder->context, text, size, labels, count);
}

/* What is split already would be split once more, into pieces that no other text has. */
static mt_status check_unsplit(const file_list *names, const counted_texts *texts)
{
    return 2 * texts->with_marks <= texts->count
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "%s: %" PRId64 " of %" PRId64 " transcripts have '" MT_PIECE_MARK
                         "', so they are split into pieces already (--unit word, without "
                         "--bpemodel)",
                         names->names[0], texts->with_marks, texts->count);
}

/* Reads the transcripts of all the files. */
static mt_status load_transcripts(const run_config *config, const file_list *names,
                                  const mt_token_list *tokens, mt_transcripts **transcripts,
                                  char digest[DIGEST_MAX])
{
    counted_texts texts = {.encoder = &config->encoder};
    const mt_transcript_labels labels = {
        .tokens = tokens,
        .unit = config->unit == UNIT_WORD ? MT_TOKEN_WORD : MT_TOKEN_CHAR,
        .encode = config->encoder.encode != NULL ? encode_counted : NULL,
        .context = &texts};
    data_files files;
    mt_status status = data_files_read(names, &files);
    if (status == MT_OK) {
        status = mt_transcripts_read(files.files, files.count, &labels, transcripts);
    }
    memcpy(digest, files.digest, DIGEST_MAX);
    data_files_free(&files);
    return status == MT_OK ? check_unsplit(names, &texts) : status;
}

static mt_status load(const run_config *config, const mt_token_list *known, transcript_data *data)
{
    mt_status status = load_tokens(config, known, data);
    if (status == MT_OK) {
        status = mt_token_list_keep_whole(data->tokens, (int32_t)config->nlsyms.count,
                                          (const char *const *)config->nlsyms.names);
    }
    if (status == MT_OK && config->encoder.encode != NULL) {
        status = config->encoder.take_tokens(config->encoder.context, data->tokens);
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
static mt_status check_same_tokens(const run_config *config, const transcript_data *data,
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

mt_status transcript_data_load(const run_config *config, const mt_token_list *known, bool may_grow,
                               transcript_data *data)
{
    *data = (transcript_data){.tokens = NULL};
    mt_status status = load(config, known, data);
    if (status == MT_OK) {
        status = check_same_tokens(config, data, known, may_grow);
    }
    if (status == MT_OK) {
        status = check_known(config, &config->data, data->train_file, data);
    }
    if (status == MT_OK) {
        status = check_known(config, &config->valid_data, data->valid_file, data);
    }
    if (status != MT_OK) {
        transcript_data_free(data);
    }
    return status;
}
