#include "io/checkpoint.h"

#include "io/arrays.h"
#include "io/file.h"
#include "io/foreign.h"
#include "io/model_attributes.h"
#include "io/model_file.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

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
    return status == MT_OK ? mt_model_file_write_block(archive, name, adam->parameters, moments)
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

mt_status mt_checkpoint_save(const char *path, const mt_model *model, const mt_adam *adam,
                             const mt_train_state *state, const char *run_config,
                             const mt_token_list *tokens)
{
    mt_archive *archive;
    mt_status status = mt_model_file_create(path, MT_CHECKPOINT_FILE, tokens, &archive);
    if (status != MT_OK) {
        return status;
    }
    status = mt_archive_write_group(archive, "/model");
    if (status == MT_OK) {
        status =
            mt_model_attributes_write(archive, "/model", &model->config, model->parameters->dtype);
    }
    if (status == MT_OK) {
        status = mt_model_file_write_block(archive, "/model", model->parameters,
                                           model->parameters->data);
    }
    if (status == MT_OK && adam != NULL) {
        status = write_adam(archive, adam);
    }
    if (status == MT_OK) {
        status = write_state(archive, state, run_config);
    }
    return mt_model_file_finish(archive, status);
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
        status = mt_model_file_read_block(archive, "/optimizer/m", checkpoint->described, NULL,
                                          &checkpoint->m);
    }
    return status == MT_OK ? mt_model_file_read_block(archive, "/optimizer/v",
                                                      checkpoint->described, NULL, &checkpoint->v)
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

static mt_status load_checkpoint(mt_archive *archive, mt_checkpoint *checkpoint)
{
    static const char *const groups[] = {"model", "optimizer", "train", NULL};
    bool has_optimizer = false;
    mt_status status = mt_model_file_expect_groups(archive, "/", groups);
    if (status == MT_OK) {
        status =
            mt_model_attributes_read(archive, "/model", &checkpoint->config, &checkpoint->dtype);
    }
    if (status == MT_OK) {
        status = mt_model_describe(&checkpoint->config, checkpoint->dtype, &checkpoint->described);
    }
    if (status == MT_OK) {
        status = mt_model_file_read_block(archive, "/model", checkpoint->described, NULL,
                                          &checkpoint->data);
    }
    if (status == MT_OK) {
        status = mt_archive_find(archive, "optimizer", &has_optimizer);
    }
    if (status == MT_OK && has_optimizer) {
        status = load_adam(archive, checkpoint);
    }
    return status == MT_OK ? load_state(archive, checkpoint) : status;
}

static mt_status load_exchange(mt_archive *archive, mt_checkpoint *checkpoint)
{
    char *layout;
    mt_status status = mt_archive_read_text(archive, "/", "layout", &layout);
    if (status != MT_OK) {
        return status;
    }
    if (mt_layout_parse(layout, &checkpoint->layout) != MT_OK) {
        status = mt_archive_fail(archive, "/", "%s", mt_error_message());
    }
    free(layout);
    if (status == MT_OK) {
        status = mt_model_attributes_read(archive, "/", &checkpoint->config, &checkpoint->dtype);
    }
    if (status == MT_OK) {
        checkpoint->config = mt_layout_kept(checkpoint->layout, &checkpoint->config);
        status = mt_model_describe(&checkpoint->config, checkpoint->dtype, &checkpoint->described);
    }
    return status == MT_OK ? mt_model_file_read_block(archive, "/", checkpoint->described,
                                                      checkpoint->layout, &checkpoint->data)
                           : status;
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
    status = kind == MT_CHECKPOINT_FILE ? load_checkpoint(archive, checkpoint)
                                        : load_exchange(archive, checkpoint);
    if (status == MT_OK) {
        status =
            mt_model_file_read_tokens(archive, checkpoint->config.vocab_size, &checkpoint->tokens);
    }
    mt_archive_close(archive);
    return status;
}

mt_status mt_checkpoint_load(const char *path, mt_checkpoint **checkpoint)
{
    *checkpoint = NULL;
    mt_checkpoint *read = calloc(1, sizeof *read);
    if (read == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *read);
    }
    mt_status status =
        mt_is_safetensors(path) ? mt_foreign_load(path, read) : load_archive(path, read);
    if (status != MT_OK) {
        mt_checkpoint_destroy(read);
        return status;
    }
    *checkpoint = read;
    return MT_OK;
}

/* Whether a model has just the parameters that were read. */
static bool fits(const mt_checkpoint *checkpoint, const mt_parameters *parameters)
{
    const mt_parameters *described = checkpoint->described;
    if (parameters->dtype != checkpoint->dtype || parameters->count != described->count) {
        return false;
    }
    for (int i = 0; i < described->count; i++) {
        const mt_parameter *a = described->items[i], *b = parameters->items[i];
        if (strcmp(a->name, b->name) != 0 || a->offset != b->offset ||
            mt_tensor_count(&a->tensor) != mt_tensor_count(&b->tensor)) {
            return false;
        }
    }
    return true;
}

mt_status mt_checkpoint_restore(const mt_checkpoint *checkpoint, mt_model *model, mt_adam *adam)
{
    mt_parameters *parameters = model->parameters;
    mt_device *device = parameters->device;
    size_t bytes = (size_t)parameters->total * mt_dtype_size(parameters->dtype);
    if (!fits(checkpoint, parameters)) {
        return mt_fail(
            MT_ERROR_INVALID,
            "checkpoint: it is of %lld blocks of size %lld, %lld parameters and type "
            "%s; the model is of %lld, %lld, %lld and %s",
            (long long)checkpoint->config.num_blocks, (long long)checkpoint->config.block_size,
            (long long)mt_parameters_size(checkpoint->described), mt_dtype_name(checkpoint->dtype),
            (long long)model->config.num_blocks, (long long)model->config.block_size,
            (long long)mt_parameters_size(parameters), mt_dtype_name(parameters->dtype));
    }
    if (adam != NULL && checkpoint->m == NULL) {
        return mt_fail(MT_ERROR_INVALID, "checkpoint: it has no optimiser state to go on from");
    }
    mt_status status = device->write(device, parameters->data, checkpoint->data, bytes);
    if (status == MT_OK && adam != NULL) {
        status = device->write(device, adam->m, checkpoint->m, bytes);
    }
    if (status == MT_OK && adam != NULL) {
        status = device->write(device, adam->v, checkpoint->v, bytes);
        adam->step = checkpoint->adam_step;
    }
    return status;
}

static mt_status check_begins(const mt_checkpoint *checkpoint, const mt_parameters *parameters)
{
    const mt_parameters *described = checkpoint->described;
    for (int i = 0; i < parameters->count; i++) {
        const mt_parameter *to = parameters->items[i];
        const mt_parameter *from = mt_parameters_find(described, to->name);
        char found[96], expected[96];
        if (from == NULL && strncmp(to->name, "head.", 5) != 0) {
            return mt_fail(MT_ERROR_INVALID, "%s is not in the file", to->name);
        }
        if (from != NULL && !mt_tensor_same_shape(&from->tensor, &to->tensor)) {
            return mt_fail(MT_ERROR_INVALID, "%s has shape %s in the file, the model has %s",
                           to->name, mt_tensor_shape_text(&from->tensor, found, sizeof found),
                           mt_tensor_shape_text(&to->tensor, expected, sizeof expected));
        }
    }
    for (int i = 0; i < described->count; i++) {
        const char *name = described->items[i]->name;
        if (mt_parameters_find(parameters, name) == NULL) {
            return mt_fail(MT_ERROR_INVALID, "the model has no %s, which is in the file", name);
        }
    }
    return MT_OK;
}

static mt_status write_values(const mt_checkpoint *checkpoint, const mt_parameter *from,
                              mt_parameter *to)
{
    const char *values =
        (const char *)checkpoint->data + from->offset * mt_dtype_size(checkpoint->dtype);
    return mt_tensor_write_reals(&to->tensor, checkpoint->dtype, values);
}

mt_status mt_checkpoint_begin_with(const mt_checkpoint *checkpoint, mt_model *model)
{
    mt_parameters *parameters = model->parameters;
    mt_status status = check_begins(checkpoint, parameters);
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *from =
            mt_parameters_find(checkpoint->described, parameters->items[i]->name);
        status = from != NULL ? write_values(checkpoint, from, parameters->items[i]) : MT_OK;
    }
    return status;
}
