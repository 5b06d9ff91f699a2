/* A trainer whose parameters are an adapter's: what its checkpoints say of the model. */
#include "io/adapter_file.h"
#include "kernels/communicator.h"
#include "kernels/null.h"
#include "train/trainer_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static mt_status read_model(mt_trainer *trainer, const char *path)
{
    mt_weights *weights;
    char *absolute = realpath(path, NULL);
    if (absolute == NULL) {
        return mt_fail(errno == ENOMEM ? MT_ERROR_MEMORY : MT_ERROR_IO, "%s: %s", path,
                       strerror(errno));
    }
    mt_status status = mt_weights_open_model(absolute, &weights);
    if (status == MT_OK) {
        status = mt_weights_fingerprint(weights, &trainer->adapter.weights);
        mt_weights_close(weights);
    }
    if (status != MT_OK) {
        free(absolute);
        return status;
    }
    free((char *)(uintptr_t)trainer->adapter.model);
    trainer->adapter.model = absolute;
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

mt_status mt_trainer_describe_adapter(mt_trainer *trainer, const mt_model *model, const char *path,
                                      const mt_token_list *tokens, const char *run_config)
{
    if (trainer == NULL || model == NULL || path == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = MT_OK;
    if (model->adapter == NULL || model->adapter->parameters != trainer->parameters) {
        status = mt_fail(MT_ERROR_INVALID, "trainer: its parameters are not the model's adapter");
    } else {
        trainer->adapter.config = model->adapter->config;
        trainer->adapter.of = mt_model_config_resolved(&model->config);
        trainer->run_config = run_config;
        trainer->tokens = tokens;
        status = read_model(trainer, path);
    }
    status = trainer_agree(trainer, status);
    return status == MT_OK ? compare_models(trainer) : status;
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
