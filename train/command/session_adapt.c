/* Runs that train something beside a model which stays as it is. */
#include "io/adapter_file.h"
#include "layers/layer.h"
#include "train/command/rates.h"
#include "train/command/session.h"
#include "train/stream_internal.h"
#include "train/trainer_adapter.h"

#include <inttypes.h>

mt_parameters *session_trained(const train_session *session)
{
    const mt_model *model = session->model;
    return model->adapter != NULL ? model->adapter->parameters : model->parameters;
}

/* What a model lacks would be drawn, and stay so. */
static mt_status check_whole(const train_session *session)
{
    if (session->new_head) {
        return mt_fail(MT_ERROR_INVALID,
                       "--init %s: it has no head, which --tune would leave untrained",
                       session->config.init);
    }
    return session->first_new_token < 0
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "--init %s: the data has symbols that it lacks, which --tune would leave "
                         "untrained (the first is number %" PRId32 ")",
                         session->config.init, session->first_new_token);
}

/* The adapter of a run, beside a model whose values are in place. `drawn`: it begins with initial
 * values. */
static mt_status add_adapter(train_session *session, bool drawn)
{
    const run_config *config = &session->config;
    mt_adapter_config adapter = {.kind =
                                     config->tune == TUNE_STATE ? MT_ADAPT_STATE : MT_ADAPT_LORA,
                                 .rank = config->lora_rank,
                                 .alpha = config->lora_alpha};
    mt_status status = check_whole(session);
    if (status == MT_OK) {
        status = mt_projections_parse(config->lora_on, &adapter.on);
    }
    if (status == MT_OK) {
        status = drawn ? mt_model_adapt(session->model, &adapter, (uint64_t)config->seed)
                       : mt_model_reserve_adapter(session->model, &adapter);
        status = status == MT_OK ? MT_OK : mt_fail(status, "%s (--lora-rank)", mt_error_message());
    }
    return status == MT_OK ? rates_set(config->rates, session_trained(session)) : status;
}

/* The model that a run which goes on is beside. */
static mt_status restore_model(const mt_checkpoint *checkpoint, train_session *session)
{
    const mt_weights *model = checkpoint->weights->file->model;
    return model != NULL ? mt_weights_begin_new(model, session->model, 0, false)
                         : mt_fail(MT_ERROR_INVALID, "%s: it holds no adapter",
                                   checkpoint->weights->file->path);
}

mt_status session_adapt(const mt_checkpoint *checkpoint, const mt_checkpoint *init,
                        train_session *session)
{
    mt_status status = checkpoint != NULL ? restore_model(checkpoint, session) : MT_OK;
    if (status == MT_OK) {
        const mt_weights *model =
            checkpoint != NULL ? checkpoint->weights->file->model : init->weights;
        status = mt_weights_note(model, &session->adapted, &session->adapted_print);
    }
    return status == MT_OK ? add_adapter(session, checkpoint == NULL && !session->config.dry)
                           : status;
}

mt_status session_describe(const train_session *session, mt_trainer *trainer, const char *config)
{
    mt_model *model = session->model;
    const mt_token_list *tokens = session->task->tokens(session->data);
    return model->adapter == NULL
               ? mt_trainer_describe(trainer, model, tokens, config)
               : trainer_describe_adapter(trainer, model, session->adapted, session->adapted_print,
                                          tokens, config);
}

mt_status session_save_state(const mt_checkpoint *checkpoint, const char *path)
{
    const mt_weights *weights = checkpoint->weights;
    const mt_stream_end end = {NULL, 0};
    train_session session;
    mt_stream *stream;
    if (weights->adapter == NULL || weights->adapter->kind != MT_ADAPT_STATE) {
        return mt_fail(MT_ERROR_INVALID, "%s: no state was tuned there (--tune state)",
                       weights->file->path);
    }
    mt_status status =
        session_open_apart(checkpoint, weights->file->model->dtype, "cpu", 0, &session);
    if (status != MT_OK) {
        return status;
    }
    status = mt_weights_begin_tuned(weights, session.model);
    if (status == MT_OK) {
        status =
            mt_stream_create(session.model, stream_least_rows(&session.model->config), &stream);
    }
    if (status == MT_OK) {
        status = mt_stream_save_file(stream, 0, &end, path);
        mt_stream_destroy(stream);
    }
    session_close(&session);
    return status;
}
