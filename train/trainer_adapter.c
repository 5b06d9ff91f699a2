/* A trainer whose parameters are an adapter's: what its checkpoints say of the model. */
#include "train/trainer_adapter.h"

#include "kernels/communicator.h"
#include "kernels/null.h"
#include "train/trainer_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Takes a copy of the path. */
static mt_status take_model(mt_trainer *trainer, const char *path, int64_t print)
{
    char *copy = strdup(path);
    if (copy == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", path);
    }
    free((char *)(uintptr_t)trainer->adapter.model);
    trainer->adapter.model = copy;
    trainer->adapter.weights = print;
    return MT_OK;
}

/* Refuses ranks that train beside other weights than rank 0. */
static mt_status compare_models(const mt_trainer *trainer)
{
    int64_t first = trainer->adapter.weights;
    if (!trainer_shares(trainer)) {
        return MT_OK;
    }
    mt_communicator *communicator = trainer->config.communicator;
    mt_status status = mt_communicator_broadcast(communicator, sizeof first, &first);
    if (status == MT_OK && first != trainer->adapter.weights) {
        status = mt_fail(MT_ERROR_INVALID, "%s: it has other weights than on rank 0",
                         trainer->adapter.model);
    }
    return mt_communicator_agree(communicator, status);
}

mt_status trainer_describe_adapter(mt_trainer *trainer, const mt_model *model, const char *path,
                                   int64_t print, const mt_token_list *tokens,
                                   const char *run_config)
{
    mt_status status = MT_OK;
    if (model->adapter == NULL || model->adapter->parameters != trainer->parameters) {
        status = mt_fail(MT_ERROR_INVALID, "trainer: its parameters are not the model's adapter");
    } else {
        trainer->adapter.config = model->adapter->config;
        trainer->adapter.of = mt_model_config_resolved(&model->config);
        trainer->tokens = tokens;
        trainer->run_config = run_config;
        status = take_model(trainer, path, print);
    }
    status = trainer_agree(trainer, status);
    return status == MT_OK ? compare_models(trainer) : status;
}

mt_status mt_trainer_describe_adapter(mt_trainer *trainer, const mt_model *model,
                                      const mt_weights *weights, const mt_token_list *tokens,
                                      const char *run_config)
{
    char *path;
    int64_t print;
    if (trainer == NULL || model == NULL || weights == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = trainer_agree(trainer, mt_weights_note(weights, &path, &print));
    if (status == MT_OK) {
        status = trainer_describe_adapter(trainer, model, path, print, tokens, run_config);
    }
    free(path);
    return status;
}

mt_status trainer_check_adapter(const mt_trainer *trainer, const mt_checkpoint *checkpoint)
{
    const mt_adapter_config *own = &trainer->adapter.config, *found = checkpoint->weights->adapter;
    bool both = trainer->adapter.model != NULL && found != NULL && own->kind == MT_ADAPT_LORA &&
                found->kind == MT_ADAPT_LORA; /* others have other parameters */
    return !both || own->alpha == found->alpha
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "%s: its alpha is %g, the trainer's %g",
                         checkpoint->weights->file->path, found->alpha, own->alpha);
}
