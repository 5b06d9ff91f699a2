#include <mixtape/model_fields.h>
#include <mixtape/wkv.h>

#include "io/kept_tokenizer.h"
#include "io/weights_file.h"
#include "kernels/dry.h"
#include "layers/layer.h"
#include "train/command/options.h"
#include "train/command/ranks.h"
#include "train/command/rates.h"
#include "train/command/session.h"
#include "train/command/tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Any of the session's parts may still be NULL. */
void session_close(train_session *session)
{
    mt_model_destroy(session->model);
    mt_tape_destroy(session->tape);
    if (session->task != NULL) {
        session->task->close(session->data);
    }
    mt_device_close(session->device);
    mt_device_close(session->like);
    mt_carried_free(&session->carried);
    free(session->adapted);
    run_config_clear(&session->config);
    mt_tokenizer_free(&session->tokenizer);
    memset(session, 0, sizeof *session);
}

static mt_model_config model_config(const train_session *session)
{
    const run_config *config = &session->config;
    mt_model_config model = config->model;
    double *rates[] = {&model.embed_dropout, &model.att_dropout, &model.ffn_dropout};
    for (int i = 0; i < 3; i++) {
        *rates[i] = *rates[i] >= 0.0 ? *rates[i] : config->dropout;
    }
    model.head_bias = model.bias;
    session->task->sizes(config, session->data, &model);
    model.embed_bound = config->lr;
    if (model.context_size == 0) {
        model.context_size = session->task->longest(config, session->data);
    }
    return model;
}

/* Refuses what cannot work, with the option to change, before memory is asked for. */
static mt_status check_model(const train_session *session, const mt_model_config *model)
{
    const run_config *config = &session->config;
    mt_model_config resolved = mt_model_config_resolved(model);
    mt_status status = mt_model_config_check(model);
    if (status != MT_OK) {
        return mt_fail(status,
                       "%s (--size, --attention-size, --linear-size, --norm-eps, --norm-partial, "
                       "--symbols, --tokenizer, --embed-pad)",
                       mt_error_message());
    }
    int64_t T = session->task->longest(config, session->data), A = resolved.attention_size;
    status = mt_wkv_check(config->batch / ranks_count(), T, A, resolved.context_size);
    if (status != MT_OK) { /* of the length, the message itself names the option */
        return T > resolved.context_size
                   ? status
                   : mt_fail(status, "%s (--batch, --attention-size)", mt_error_message());
    }
    const int64_t most_values = INT64_C(1) << 38, most_steps = INT64_C(1) << 34;
    if (mt_model_config_size(model) > most_values) {
        return mt_fail(MT_ERROR_INVALID,
                       "a model of %" PRId64
                       " values is too large (--size, --linear-size, --blocks)",
                       mt_model_config_size(model));
    }
    if (config->batch > most_steps / T / resolved.linear_size) {
        return mt_fail(MT_ERROR_INVALID,
                       "a batch of %" PRId64 " by %" PRId64 " steps of width %" PRId64
                       " is too large (--batch, --length, --linear-size)",
                       config->batch, T, resolved.linear_size);
    }
    return MT_OK;
}

static mt_status open_device(const char *name, int threads, bool dry, train_session *session)
{
    mt_cpu_set_threads(threads);
    mt_communicator *communicator = ranks_communicator();
    mt_status status = communicator != NULL
                           ? mt_communicator_open_device(communicator, name, &session->device)
                           : mt_device_open(name, &session->device);
    if (status == MT_OK && dry) {
        session->like = session->device;
        status = mt_dry_open(session->like, &session->device);
    }
    return status == MT_OK ? mt_tape_create(session->device, &session->tape) : status;
}

static mt_status copy_tokenizer(const mt_tokenizer_file *file, mt_tokenizer_file *copy)
{
    if (file->bytes == NULL) {
        return MT_OK;
    }
    copy->bytes = malloc(file->size + 1);
    if (copy->bytes == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes of a tokenizer", file->size);
    }
    memcpy(copy->bytes, file->bytes, file->size + 1);
    copy->size = file->size;
    return MT_OK;
}

/* Tells if a task's text is made symbols of by a tokenizer, where there is one: of transcripts,
 * unless they are split already. */
static bool is_encoded(const train_task *task, const run_config *config)
{
    return task->encodes || (task->transcripts && config->unit != UNIT_WORD);
}

static mt_status check_tokenizer_asked(const mt_checkpoint *source, const train_session *session,
                                       const text_tokenizer *tokenizer)
{
    const mt_token_list *tokens = source->weights->tokens;
    mt_status status =
        session->task->transcripts ? MT_OK : tokenizer_check_tokens(tokenizer, tokens);
    if (status == MT_OK) {
        tokenizer_tell_other(tokenizer, &session->tokenizer, &source->weights->tokenizer);
    }
    return status;
}

/* A run that goes on keeps its tokenizer; one that begins has what is asked for, or that of the
 * model that it begins with. It is opened where its size or its work is needed. */
static mt_status take_tokenizer(const mt_checkpoint *source, bool goes_on, train_session *session,
                                text_tokenizer **tokenizer)
{
    const run_config *config = &session->config;
    mt_tokenizer_file *file = &session->tokenizer;
    bool is_asked = config->tokenizer[0] != '\0' && !goes_on;
    const train_task *task = session->task;
    bool has_one = source != NULL && (task->numbers || task->encodes ||
                                      (task->transcripts && source->weights->tokens != NULL));
    mt_status status = is_asked  ? mt_tokenizer_load(config->tokenizer, file)
                       : has_one ? copy_tokenizer(&source->weights->tokenizer, file)
                                 : MT_OK;
    if (status != MT_OK || file->bytes == NULL || !(is_asked || is_encoded(task, config))) {
        return status;
    }
    status = tokenizer_open(is_asked ? config->tokenizer : "the model's tokenizer", file->bytes,
                            file->size, tokenizer);
    if (status == MT_OK && task->transcripts) {
        status = tokenizer_check_splits(*tokenizer);
    } else if (status == MT_OK) {
        session->tokenizer_size = tokenizer_size(*tokenizer);
    }
    if (status == MT_OK && is_asked) {
        tokenizer_tell_note(*tokenizer);
    }
    return status == MT_OK && is_asked && source != NULL
               ? check_tokenizer_asked(source, session, *tokenizer)
               : status;
}

static mt_status encode_text(void *tokenizer, const char *bytes, size_t size, int32_t **ids,
                             int64_t *count)
{
    return tokenizer_encode(tokenizer, bytes, size, ids, count);
}

static mt_status make_tokens(void *tokenizer, mt_token_list **tokens)
{
    return tokenizer_make_tokens(tokenizer, tokens);
}

static mt_status take_tokens(void *tokenizer, const mt_token_list *tokens)
{
    return tokenizer_take_tokens(tokenizer, tokens);
}

static const char *unknown_pieces_of(void *tokenizer)
{
    return tokenizer_unknown_pieces(tokenizer);
}

/* How many symbols a task has that takes them for numbers, where no option says it. */
static void take_vocabulary(const mt_checkpoint *source, train_session *session)
{
    run_config *config = &session->config;
    bool counts = session->task->numbers || session->tokenizer_size > 0;
    if (counts && config->vocab_size == 0) {
        config->vocab_size =
            source != NULL ? source->weights->config.vocab_size : session->tokenizer_size;
    }
}

/* Before the data are read: ids of the tokenizer that are beyond the vocabulary are its fault. */
static mt_status check_tokenizer(const train_session *session)
{
    const run_config *config = &session->config;
    return session->tokenizer_size <= config->vocab_size
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "--tokenizer %s: it has %" PRId64
                         " ids, the model a vocabulary of %" PRId64,
                         config->tokenizer, session->tokenizer_size, config->vocab_size);
}

/* `source` is the model that the run begins with, which may grow, or else goes on from; or NULL. */
static mt_status open_data(const mt_checkpoint *source, bool may_grow, train_session *session)
{
    run_config *config = &session->config;
    text_tokenizer *tokenizer = NULL;
    mt_status status = task_find(config->task, &session->task);
    if (status == MT_OK) {
        status = take_tokenizer(source, source != NULL && !may_grow, session, &tokenizer);
    }
    if (status == MT_OK) {
        take_vocabulary(source, session);
        status = check_tokenizer(session);
    }
    if (status == MT_OK) {
        if (tokenizer != NULL) {
            config->encoder =
                (text_encoder){encode_text, make_tokens, take_tokens, unknown_pieces_of, tokenizer};
        }
        status = session->task->open(config, source != NULL ? source->weights->tokens : NULL,
                                     may_grow, &session->data);
        config->encoder = (text_encoder){0};
    }
    tokenizer_close(tokenizer);
    return status;
}

/* A model beside which something is trained needs no gradients. */
static mt_status make_model(const mt_checkpoint *source, const mt_model_config *model,
                            train_session *session)
{
    const run_config *config = &session->config;
    if (config->tune != TUNE_ALL) {
        return mt_model_reserve_frozen(session->device, config->dtype, model, &session->model);
    }
    mt_status status =
        source != NULL || config->dry
            ? mt_model_reserve(session->device, config->dtype, model, &session->model)
            : mt_model_create(session->device, config->dtype, model, (uint64_t)config->seed,
                              &session->model);
    return status == MT_OK ? rates_set(config->rates, session->model->parameters) : status;
}

static mt_status open_parts(const mt_checkpoint *source, bool may_grow, train_session *session)
{
    const run_config *config = &session->config;
    mt_status status = open_data(source, may_grow, session);
    if (status != MT_OK) {
        return status;
    }
    mt_model_config model = model_config(session);
    if (session->task->numbers) {
        session->config.vocab_size = model.vocab_size; /* a run that goes on keeps it */
    }
    status = check_model(session, &model);
    if (status == MT_OK) {
        status = open_device(config->device, (int)config->threads, config->dry, session);
    }
    if (status == MT_OK) {
        status = mt_device_allow_tf32(session->device, config->tf32);
    }
    if (status == MT_OK) {
        status = make_model(source, &model, session);
    }
    return status == MT_OK && config->carry
               ? mt_carried_of_model(session->model, config->batch, &session->carried)
               : status;
}

/* Says what to do about a vocabulary of another size, where it is clear what was meant. */
static mt_status check_vocabulary(const mt_weights *weights, const train_session *session)
{
    int64_t theirs = weights->config.vocab_size, own = session->model->config.vocab_size;
    if (theirs != own && session->task->numbers) {
        return mt_fail(MT_ERROR_INVALID,
                       "its vocabulary is of %" PRId64 ", and --vocab-size %" PRId64
                       " (leave that out, and it is the one of --init)",
                       theirs, own);
    }
    if (theirs != own && session->task->encodes && weights->tokens == NULL) {
        return mt_fail(MT_ERROR_INVALID,
                       "it does not tell its symbols, of which it has %" PRId64 ", and the text "
                       "%" PRId64 " (name the tokenizer that it was trained with, --tokenizer)",
                       theirs, own);
    }
    if (theirs != own && theirs > 0 && own > 0) {
        return mt_fail(MT_ERROR_INVALID,
                       "the vocabularies differ: %" PRId64 " symbols there, %" PRId64 " of %s (%s)",
                       theirs, own, session->task->name,
                       session->task->transcripts ? "name its own token list, --token-list"
                                                  : "begin with a model of that task");
    }
    return MT_OK;
}

/* Gives the model the weights; those of a vocabulary that has grown since, grown. */
static mt_status begin_with(const mt_weights *weights, train_session *session)
{
    const mt_token_list *before = weights->tokens, *now = session->task->tokens(session->data);
    bool grows = before != NULL && now != NULL && now->count > before->count;
    session->new_head = weights->config.output_size == 0;
    session->first_new_token = grows ? before->count : -1;
    mt_status status = grows ? MT_OK : check_vocabulary(weights, session);
    if (status == MT_OK) {
        status =
            mt_weights_begin_new(weights, session->model, (uint64_t)session->config.seed, grows);
    }
    return status == MT_OK
               ? MT_OK
               : mt_fail(status, "--init %s: %s", session->config.init, mt_error_message());
}

mt_status session_open(const run_config *config, const mt_checkpoint *checkpoint,
                       const mt_checkpoint *init, train_session *session)
{
    memset(session, 0, sizeof *session);
    session->first_new_token = -1;
    const mt_checkpoint *source = checkpoint != NULL ? checkpoint : init;
    mt_status status = run_config_copy(config, &session->config);
    if (status == MT_OK) {
        status = open_parts(source, checkpoint == NULL && init != NULL, session);
    }
    if (status == MT_OK && init != NULL) {
        status = begin_with(init->weights, session);
    }
    if (status == MT_OK && config->tune != TUNE_ALL) {
        status = session_adapt(checkpoint, init, session);
    }
    if (status != MT_OK) {
        session_close(session);
    }
    return status;
}

static mt_status open_model(const mt_weights *weights, const mt_adapter_config *apart,
                            mt_dtype dtype, const char *device, int threads, train_session *session)
{
    memset(session, 0, sizeof *session);
    mt_status status = open_device(device, threads, false, session);
    if (status == MT_OK && apart == NULL) {
        status = mt_weights_model_as(weights, session->device, dtype, &session->model);
    } else if (status == MT_OK) {
        const mt_weights *model = weights->file->model; /* to which nothing was added */
        status = mt_model_reserve_frozen(session->device, dtype, &weights->config, &session->model);
        status = status == MT_OK ? mt_weights_begin_new(model, session->model, 0, false) : status;
        status = status == MT_OK ? mt_model_reserve_adapter(session->model, apart) : status;
    }
    if (status != MT_OK) {
        session_close(session);
    }
    return status;
}

mt_status session_open_model(const mt_checkpoint *checkpoint, mt_dtype dtype, const char *device,
                             int threads, train_session *session)
{
    return open_model(checkpoint->weights, NULL, dtype, device, threads, session);
}

mt_status session_open_apart(const mt_checkpoint *checkpoint, mt_dtype dtype, const char *device,
                             int threads, train_session *session)
{
    const mt_weights *weights = checkpoint->weights;
    return open_model(weights, weights->adapter, dtype, device, threads, session);
}

void session_take_sizes(const mt_model_config *model, run_config *config)
{
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++) {
        if (field->of_weights) {
            mt_model_field_copy(field, model, &config->model);
        }
    }
}

static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    const session_batches *batches = context;
    const train_session *session = batches->session;
    mt_status status =
        session->task->make(&session->config, session->data, tape, TRAIN, index, batch);
    if (status != MT_OK) {
        mt_tape_fail(tape, status);
    }
}

mt_tensor *session_loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    const session_batches *batches = context;
    const train_session *session = batches->session;
    bool training = batches->split == TRAIN;
    mt_tensor *output =
        batch->carried != NULL
            ? mt_model_decode_carried(tape, session->model, batch->input, batch->carried, training)
            : mt_model_decode(tape, session->model, batch->input, NULL, training);
    if (session->task->regression) {
        mt_tensor *head = mt_model_head(tape, session->model, output);
        return mt_mean_square(tape, mt_last_step(tape, head), batch->target);
    }
    double smoothing = training ? session->config.label_smoothing : 0.0;
    return mt_model_cross_entropy_l2wrap(tape, session->model, output, batch->target, IGNORED,
                                         smoothing, session->config.l2wrap, counts);
}

mt_objective session_objective(train_session *session)
{
    session->training = (session_batches){session, TRAIN};
    return (mt_objective){put, session_loss, &session->training, session->carried};
}
