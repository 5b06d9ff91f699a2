#include <mixtape/checkpoint.h>

#include "io/checkpoint_internal.h"
#include "io/exchange_internal.h"
#include "io/file.h"
#include "io/foreign.h"
#include "io/model_attributes.h"
#include "io/model_block.h"
#include "io/model_file.h"

#include <stddef.h>
#include <stdlib.h>

static const mt_archive_field state_fields[] = {
    {"step", MT_FIELD_COUNT, offsetof(mt_train_state, step)},
    {"best_step", MT_FIELD_COUNT, offsetof(mt_train_state, best_step)},
    {"bad_evals", MT_FIELD_COUNT, offsetof(mt_train_state, bad_evals)},
    {"symbols", MT_FIELD_COUNT, offsetof(mt_train_state, symbols)},
    {"best_loss", MT_FIELD_LOSS, offsetof(mt_train_state, best_loss)},
    {"seconds", MT_FIELD_REAL, offsetof(mt_train_state, seconds)},
    {NULL},
};

static const mt_archive_field adam_fields[] = {
    {"beta1", MT_FIELD_REAL, offsetof(mt_adam_config, beta1)},
    {"beta2", MT_FIELD_REAL, offsetof(mt_adam_config, beta2)},
    {"eps", MT_FIELD_REAL, offsetof(mt_adam_config, eps)},
    {"weight_decay", MT_FIELD_REAL, offsetof(mt_adam_config, weight_decay)},
    {"clip", MT_FIELD_REAL, offsetof(mt_adam_config, clip)},
    {NULL},
};

/* ---- writing ---- */

/* Adam's moments of every parameter, in the group `name`. */
static mt_status write_moments(mt_archive *archive, const char *name, const mt_adam *adam,
                               const void *moments)
{
    mt_status status = mt_archive_write_group(archive, name);
    return status == MT_OK ? mt_model_block_write(archive, name, adam->parameters, moments)
                           : status;
}

static mt_status write_adam(mt_archive *archive, const mt_adam *adam)
{
    mt_status status = mt_archive_write_group(archive, "/optimizer");
    if (status == MT_OK) {
        status = write_moments(archive, "/optimizer/m", adam, adam->m);
    }
    if (status == MT_OK) {
        status = write_moments(archive, "/optimizer/v", adam, adam->v);
    }
    if (status == MT_OK) {
        status = mt_archive_write_fields(archive, "/optimizer", adam_fields, &adam->config);
    }
    return status == MT_OK ? mt_archive_write_int(archive, "/optimizer", "step", adam->step)
                           : status;
}

static mt_status write_state(mt_archive *archive, const mt_train_state *state,
                             const char *run_config)
{
    mt_status status = mt_archive_write_group(archive, "/train");
    if (status == MT_OK) {
        status = mt_archive_write_fields(archive, "/train", state_fields, state);
    }
    if (status == MT_OK && run_config != NULL) {
        status = mt_archive_write_text(archive, "/train", "config", run_config);
    }
    return status;
}

static mt_status write_parameters(mt_archive *archive, const mt_parameters *parameters,
                                  const mt_model_config *config)
{
    mt_status status = mt_archive_write_group(archive, "/model");
    if (status == MT_OK && config != NULL) {
        status = mt_model_attributes_write(archive, "/model", config, parameters->dtype);
    }
    return status == MT_OK ? mt_model_block_write(archive, "/model", parameters, parameters->data)
                           : status;
}

mt_status mt_checkpoint_write(const char *path, const mt_parameters *parameters,
                              const mt_model_config *config, const mt_adam *adam,
                              const mt_train_state *state, const char *run_config,
                              const mt_token_list *tokens)
{
    mt_archive *archive;
    mt_status status = mt_model_file_create(path, MT_CHECKPOINT_FILE, tokens, &archive);
    if (status != MT_OK) {
        return status;
    }
    status = write_parameters(archive, parameters, config);
    if (status == MT_OK && adam != NULL) {
        status = write_adam(archive, adam);
    }
    if (status == MT_OK) {
        status = write_state(archive, state, run_config);
    }
    return mt_model_file_finish(archive, status);
}

mt_status mt_checkpoint_save(const char *path, const mt_model *model, const mt_adam *adam,
                             const mt_train_state *state, const char *run_config,
                             const mt_token_list *tokens)
{
    return mt_checkpoint_write(path, model->parameters, &model->config, adam, state, run_config,
                               tokens);
}

/* ---- reading ---- */

void mt_checkpoint_destroy(mt_checkpoint *checkpoint)
{
    if (checkpoint == NULL) {
        return;
    }
    mt_parameters_destroy(checkpoint->described);
    mt_token_list_destroy(checkpoint->tokens);
    free(checkpoint->data);
    free(checkpoint->m);
    free(checkpoint->v);
    free(checkpoint->run_config);
    free(checkpoint);
}

static mt_status load_adam(mt_archive *archive, mt_checkpoint *checkpoint)
{
    static const char *const groups[] = {"m", "v", NULL};
    mt_status status = mt_model_file_expect_groups(archive, "/optimizer", groups);
    if (status == MT_OK) {
        status = mt_archive_read_fields(archive, "/optimizer", adam_fields, &checkpoint->adam);
    }
    if (status == MT_OK) {
        status = mt_archive_read_int(archive, "/optimizer", "step", &checkpoint->adam_step);
    }
    if (status == MT_OK && checkpoint->adam_step < 0) {
        status =
            mt_archive_fail(archive, "/optimizer", "step %lld", (long long)checkpoint->adam_step);
    }
    if (status == MT_OK) {
        status = mt_model_block_read(archive, "/optimizer/m", checkpoint->described, NULL,
                                     &checkpoint->m);
    }
    return status == MT_OK ? mt_model_block_read(archive, "/optimizer/v", checkpoint->described,
                                                 NULL, &checkpoint->v)
                           : status;
}

static mt_status load_state(mt_archive *archive, mt_checkpoint *checkpoint)
{
    bool has_config = false;
    mt_status status = mt_archive_read_fields(archive, "/train", state_fields, &checkpoint->state);
    if (status == MT_OK) {
        status = mt_archive_find_attribute(archive, "/train", "config", &has_config);
    }
    if (status == MT_OK && has_config) {
        status = mt_archive_read_text(archive, "/train", "config", &checkpoint->run_config);
    }
    checkpoint->has_state = true;
    return status;
}

/* The names, shapes and places of parameters, without their memory. */
static mt_status describe_like(const mt_parameters *parameters, mt_parameters **described)
{
    mt_status status = mt_parameters_create(parameters->device, parameters->dtype, described);
    if (status != MT_OK) {
        return status;
    }
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        mt_parameters_add(*described, "", parameters->items[i]->name, tensor->rank, tensor->shape,
                          parameters->items[i]->initial);
        status = (*described)->status;
    }
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        (*described)->items[i]->offset = parameters->items[i]->offset;
    }
    (*described)->total = parameters->total;
    return status;
}

/* What the file must hold: `own`, or what its attributes say where that is NULL. */
static mt_status describe(mt_archive *archive, const mt_parameters *own, mt_checkpoint *checkpoint)
{
    if (own != NULL) {
        checkpoint->dtype = own->dtype;
        return describe_like(own, &checkpoint->described);
    }
    mt_status status =
        mt_model_attributes_read(archive, "/model", &checkpoint->config, &checkpoint->dtype);
    return status == MT_OK
               ? mt_model_describe(&checkpoint->config, checkpoint->dtype, &checkpoint->described)
               : status;
}

static mt_status load_checkpoint(mt_archive *archive, const mt_parameters *own,
                                 mt_checkpoint *checkpoint)
{
    static const char *const groups[] = {"model", "optimizer", "train", NULL};
    bool has_optimizer = false;
    mt_status status = mt_model_file_expect_groups(archive, "/", groups);
    if (status == MT_OK) {
        status = describe(archive, own, checkpoint);
    }
    if (status == MT_OK) {
        status =
            mt_model_block_read(archive, "/model", checkpoint->described, NULL, &checkpoint->data);
    }
    if (status == MT_OK) {
        status = mt_archive_find(archive, "optimizer", &has_optimizer);
    }
    if (status == MT_OK && has_optimizer) {
        status = load_adam(archive, checkpoint);
    }
    return status == MT_OK ? load_state(archive, checkpoint) : status;
}

static mt_status load_archive(const char *path, mt_checkpoint *checkpoint)
{
    mt_archive *archive;
    mt_model_file kind;
    mt_status status = mt_model_file_open(path, &kind, &archive);
    if (status != MT_OK) {
        return status;
    }
    if (kind == MT_FOREIGN_FILE) {
        mt_archive_close(archive);
        return mt_foreign_load(path, checkpoint);
    }
    status = kind == MT_CHECKPOINT_FILE ? load_checkpoint(archive, NULL, checkpoint)
                                        : mt_exchange_load(archive, checkpoint);
    if (status == MT_OK) {
        status =
            mt_model_file_read_tokens(archive, checkpoint->config.vocab_size, &checkpoint->tokens);
    }
    mt_archive_close(archive);
    return status;
}

static mt_status load_own(const char *path, const mt_parameters *own, mt_checkpoint *checkpoint)
{
    mt_archive *archive;
    mt_model_file kind;
    mt_status status = mt_model_file_open(path, &kind, &archive);
    if (status != MT_OK) {
        return status;
    }
    status = kind == MT_CHECKPOINT_FILE ? load_checkpoint(archive, own, checkpoint)
                                        : mt_archive_fail(archive, "/", "it is no checkpoint");
    mt_archive_close(archive);
    return status;
}

/* `own` as for `describe`. */
static mt_status load(const char *path, const mt_parameters *own, mt_checkpoint **checkpoint)
{
    *checkpoint = NULL;
    mt_checkpoint *read = calloc(1, sizeof *read);
    if (read == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *read);
    }
    mt_status status = own != NULL               ? load_own(path, own, read)
                       : mt_is_safetensors(path) ? mt_foreign_load(path, read)
                                                 : load_archive(path, read);
    if (status != MT_OK) {
        mt_checkpoint_destroy(read);
        return status;
    }
    *checkpoint = read;
    return MT_OK;
}

mt_status mt_checkpoint_load(const char *path, mt_checkpoint **checkpoint)
{
    return load(path, NULL, checkpoint);
}

mt_status mt_checkpoint_read_for(const char *path, const mt_parameters *parameters,
                                 mt_checkpoint **checkpoint)
{
    return load(path, parameters, checkpoint);
}
