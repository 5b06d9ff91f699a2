#include "io/checkpoint_file.h"

#include "io/adapter_file.h"
#include "io/carried.h"
#include "io/kept_batch.h"
#include "io/kept_tokenizer.h"
#include "io/weights_file.h"
#include "kernels/null.h"

#include <math.h>
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
    {"skipped", MT_FIELD_COUNT, offsetof(mt_train_state, skipped), true},
    {"spikes", MT_FIELD_COUNT, offsetof(mt_train_state, spikes), true},
    {"loss_average", MT_FIELD_REAL, offsetof(mt_train_state, loss_average), true},
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

/* Of each mt_moment. */
static const char *const moment_groups[] = {"/optimizer/m", "/optimizer/v"};

/* ---- writing ---- */

/* Every parameter's values from a source of our own names. */
static mt_status write_values(mt_archive *archive, const char *group, const mt_weights *weights,
                              bool never_negative)
{
    mt_arrays arrays = {0};
    mt_status status = MT_OK;
    for (int i = 0; i < weights->parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = weights->parameters->items[i];
        status = mt_weights_add(weights, parameter, parameter->name, &arrays);
        if (status == MT_OK) {
            mt_array *array = mt_arrays_last(&arrays);
            array->never_negative = never_negative;
            array->group = array->path == NULL ? group : array->group;
        }
    }
    if (status == MT_OK) {
        mt_archive_write_arrays(archive, group, &arrays);
    }
    mt_arrays_free(&arrays);
    return mt_archive_keep(archive, status);
}

/* Adam's moments of every parameter, in a group of their own. */
static void write_moments(mt_archive *archive, const mt_adam *adam, mt_moment which)
{
    const char *group = moment_groups[which];
    mt_weights weights = {.dtype = adam->parameters->dtype, .parameters = adam->parameters};
    mt_weights_file file = {.path = NULL};
    weights.file = &file;
    mt_archive_write_group(archive, group);
    mt_status status = mt_moments_source(adam, which, &file.source);
    if (status == MT_OK) {
        status = write_values(archive, group, &weights, which == MT_SECOND_MOMENT);
    }
    mt_archive_keep(archive, status);
    mt_weights_file_close(&file);
}

static void write_adam(mt_archive *archive, const mt_adam *adam)
{
    mt_archive_write_group(archive, "/optimizer");
    write_moments(archive, adam, MT_FIRST_MOMENT);
    write_moments(archive, adam, MT_SECOND_MOMENT);
    mt_archive_write_fields(archive, "/optimizer", adam_fields, &adam->config);
    mt_archive_write_int(archive, "/optimizer", "step", adam->step);
}

/* A model's, an adapter's, or a program's own. */
static void write_weights(mt_archive *archive, const mt_weights *weights,
                          const mt_checkpoint_parts *parts)
{
    const char *group = parts->adapter != NULL ? MT_ADAPTER_GROUP : "/model";
    mt_archive_write_group(archive, group);
    if (parts->adapter != NULL) {
        mt_adapter_attributes_write(archive, parts->adapter, weights->dtype);
    } else if (weights->config.num_blocks > 0) {
        mt_model_config config = mt_model_config_resolved(&weights->config);
        mt_model_attributes_write(archive, group, &config, weights->dtype);
    }
    write_values(archive, group, weights, false);
}

static mt_status write_checkpoint(const char *path, const mt_weights *weights,
                                  const mt_checkpoint_parts *parts, mt_saver *saver)
{
    mt_archive *archive;
    mt_status status =
        mt_native_create(path, parts->adapter != NULL ? MT_ADAPTER_FORMAT : MT_CHECKPOINT_FORMAT,
                         weights->tokens, &archive);
    if (status != MT_OK) {
        return status;
    }
    if (saver != NULL) {
        mt_archive_save_by(archive, saver);
    }
    write_weights(archive, weights, parts);
    if (parts->adam != NULL) {
        write_adam(archive, parts->adam);
    }
    mt_archive_write_group(archive, "/train");
    mt_archive_write_fields(archive, "/train", state_fields, parts->state);
    if (parts->run_config != NULL) {
        mt_archive_write_text(archive, "/train", "config", parts->run_config);
    }
    mt_tokenizer_write(archive, &weights->tokenizer);
    if (parts->carried.rows > 0) {
        mt_carried_write(archive, path, &parts->carried);
    }
    if (parts->batch != NULL) {
        mt_kept_batch_write(archive, parts->batch);
    }
    return mt_archive_close(archive);
}

mt_status mt_checkpoint_convert(const mt_weights *weights, const char *path,
                                const mt_train_state *state, const char *run_config)
{
    if (weights == NULL || state == NULL) {
        return mt_fail_null(__func__);
    }
    const mt_checkpoint_parts parts = {.state = state, .run_config = run_config};
    mt_status status = mt_weights_check_whole(weights, "a checkpoint of a model");
    return status == MT_OK ? write_checkpoint(path, weights, &parts, NULL) : status;
}

mt_status mt_checkpoint_write(const char *path, const mt_checkpoint_parts *parts, mt_saver *saver)
{
    mt_weights weights;
    mt_weights_file file;
    mt_status status =
        mt_weights_of(parts->parameters, parts->config, parts->tokens, &file, &weights);
    if (status == MT_OK) {
        weights.tokenizer = parts->tokenizer != NULL ? *parts->tokenizer : weights.tokenizer;
        status = write_checkpoint(path, &weights, parts, saver);
        mt_weights_file_close(&file);
    }
    return status;
}

mt_status mt_checkpoint_save(const char *path, const mt_model *model, const mt_adam *adam,
                             const mt_train_state *state, const char *run_config,
                             const mt_token_list *tokens)
{
    if (model == NULL || state == NULL) {
        return mt_fail_null(__func__);
    }
    const mt_checkpoint_parts parts = {.parameters = model->parameters,
                                       .config = &model->config,
                                       .adam = adam,
                                       .state = state,
                                       .run_config = run_config,
                                       .tokens = tokens};
    return mt_checkpoint_write(path, &parts, NULL);
}

/* ---- reading ---- */

/* What the file itself holds: of an adapter's it is not the model. */
static const mt_weights *held_by(const mt_checkpoint *checkpoint)
{
    const mt_weights *weights = checkpoint->weights;
    return weights->file->own != NULL ? weights->file->own : weights;
}

void mt_checkpoint_destroy(mt_checkpoint *checkpoint)
{
    if (checkpoint == NULL) {
        return;
    }
    mt_weights_close(checkpoint->weights);
    free(checkpoint->run_config);
    free(checkpoint);
}

/* An optimiser's moments of one kind, on their way from a file. */
typedef struct read_moments {
    const mt_adam *adam;
    mt_moment which;
} read_moments;

static mt_status put_moments(void *context, int64_t first, int64_t n, const void *values)
{
    const read_moments *to = context;
    return mt_adam_write_moments(to->adam, to->which, first, n, values);
}

/* Checks those of one kind and, where there is an optimiser for them, gives them to it. */
static mt_status read_kind(const mt_checkpoint *checkpoint, mt_moment which, const mt_adam *adam)
{
    const mt_weights *weights = held_by(checkpoint);
    const char *group = moment_groups[which];
    read_moments to = {adam, which};
    mt_values values = {.group = group, .never_negative = which == MT_SECOND_MOMENT};
    mt_status status = mt_archive_source(checkpoint->weights->file->archive, group, &values.source);
    if (status == MT_OK) {
        status = adam != NULL
                     ? mt_weights_hand_out(weights, &values, adam->parameters, put_moments, &to)
                     : mt_weights_check_values(weights, &values);
        mt_source_close(values.source);
    }
    return status;
}

static mt_status read_both(const mt_checkpoint *checkpoint, const mt_adam *adam)
{
    mt_status status = read_kind(checkpoint, MT_FIRST_MOMENT, adam);
    return status == MT_OK ? read_kind(checkpoint, MT_SECOND_MOMENT, adam) : status;
}

mt_status mt_checkpoint_check(const mt_checkpoint *checkpoint)
{
    if (checkpoint == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_weights_check(held_by(checkpoint));
    if (status == MT_OK && checkpoint->has_optimizer) {
        status = read_both(checkpoint, NULL);
    }
    return status == MT_OK ? mt_carried_check(checkpoint) : status;
}

static void expect_moments(mt_archive *archive, const char *name, void *context)
{
    (void)context;
    if (strcmp(name, "m") != 0 && strcmp(name, "v") != 0) {
        mt_archive_fail(archive, name, "unknown: no group of this file");
    }
}

/* More updates than anybody makes, each of which double precision counts. */
static const int64_t most_steps = INT64_C(1) << 53;

static mt_status read_adam(mt_archive *archive, mt_checkpoint *checkpoint)
{
    mt_archive_visit(archive, "/optimizer", expect_moments, NULL);
    mt_archive_read_fields(archive, "/optimizer", adam_fields, &checkpoint->adam);
    checkpoint->adam_step = mt_archive_read_int(archive, "/optimizer", "step");
    if (checkpoint->adam_step < 0 || checkpoint->adam_step > most_steps) {
        mt_archive_fail(archive, "/optimizer", "step %lld", (long long)checkpoint->adam_step);
    }
    if (mt_archive_status(archive) == MT_OK && mt_adam_config_check(&checkpoint->adam) != MT_OK) {
        mt_archive_fail(archive, "/optimizer", "%s", mt_error_message());
    }
    mt_status status = mt_archive_status(archive);
    const mt_parameters *parameters = held_by(checkpoint)->parameters;
    if (status == MT_OK) {
        status = mt_native_check(archive, moment_groups[MT_FIRST_MOMENT], parameters, NULL);
    }
    return status == MT_OK
               ? mt_native_check(archive, moment_groups[MT_SECOND_MOMENT], parameters, NULL)
               : status;
}

/* Reads what a checkpoint has beside weights. */
static mt_status read_progress(mt_checkpoint *checkpoint)
{
    mt_archive *archive = checkpoint->weights->file->archive;
    checkpoint->has_state = true;
    mt_archive_read_fields(archive, "/train", state_fields, &checkpoint->state);
    if (mt_archive_has_attribute(archive, "/train", "config")) {
        checkpoint->run_config = mt_archive_read_text(archive, "/train", "config");
    }
    mt_carried_describe(archive, checkpoint);
    checkpoint->has_optimizer = mt_archive_has(archive, "optimizer");
    return checkpoint->has_optimizer ? read_adam(archive, checkpoint) : mt_archive_status(archive);
}

/* `own`: the parameters that the file must hold; NULL: a model's. `model`: where that of an adapter
 * is; NULL: where the file says. */
static mt_status load(const char *path, const char *model, const mt_parameters *own,
                      mt_checkpoint **checkpoint)
{
    *checkpoint = NULL;
    mt_checkpoint *read = calloc(1, sizeof *read);
    if (read == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *read);
    }
    mt_status status = own != NULL ? mt_weights_open_own(path, own, &read->weights)
                                   : mt_weights_open_adapted(path, model, &read->weights);
    if (status == MT_OK && read->weights->layout == NULL) {
        status = read_progress(read);
    }
    if (status != MT_OK) {
        mt_checkpoint_destroy(read);
        return status;
    }
    *checkpoint = read;
    return MT_OK;
}

mt_status mt_checkpoint_load(const char *path, mt_checkpoint **checkpoint)
{
    return load(path, NULL, NULL, checkpoint);
}

mt_status mt_checkpoint_load_adapted(const char *path, const char *model,
                                     mt_checkpoint **checkpoint)
{
    return load(path, model, NULL, checkpoint);
}

mt_status mt_checkpoint_load_own(const char *path, const mt_parameters *parameters,
                                 mt_checkpoint **checkpoint)
{
    return load(path, NULL, parameters, checkpoint);
}

/* ---- into a model ---- */

/* An optimiser of another configuration would go on otherwise. */
static mt_status check_adam(const mt_checkpoint *checkpoint, const mt_adam *adam)
{
    const char *path = checkpoint->weights->file->path;
    if (!checkpoint->has_optimizer) {
        return mt_fail(MT_ERROR_INVALID, "%s: it has no optimiser state to go on from", path);
    }
    for (const mt_archive_field *field = adam_fields; field->name != NULL; field++) {
        double value = *(const double *)((const char *)&checkpoint->adam + field->offset);
        double own = *(const double *)((const char *)&adam->config + field->offset);
        if (value != own) {
            return mt_fail(MT_ERROR_INVALID, "%s: its optimiser has %s %g, this one %g", path,
                           field->name, value, own);
        }
    }
    return MT_OK;
}

mt_status mt_checkpoint_restore_own(const mt_checkpoint *checkpoint, mt_parameters *parameters,
                                    mt_adam *adam)
{
    const mt_weights *weights = held_by(checkpoint);
    mt_status status = mt_weights_check_fit(weights, parameters);
    if (status == MT_OK && adam != NULL) {
        status = check_adam(checkpoint, adam);
    }
    if (status == MT_OK && adam != NULL) {
        status = read_both(checkpoint, NULL);
    }
    if (status == MT_OK) {
        status = mt_weights_check_and_fill(weights, parameters);
    }
    if (status == MT_OK && adam != NULL) {
        status = read_both(checkpoint, adam);
    }
    if (status == MT_OK && adam != NULL) {
        status = mt_adam_written_all(adam);
    }
    if (status == MT_OK && adam != NULL) {
        adam->step = checkpoint->adam_step;
    }
    return status;
}

mt_status mt_checkpoint_restore(const mt_checkpoint *checkpoint, mt_model *model, mt_adam *adam)
{
    if (checkpoint == NULL || model == NULL) {
        return mt_fail_null(__func__);
    }
    const mt_weights *weights = checkpoint->weights;
    if (weights->adapter != NULL) {
        return adam == NULL ? mt_weights_restore(weights, model)
                            : mt_fail(MT_ERROR_INVALID,
                                      "%s: its optimiser is that of an adapter, not of a model",
                                      weights->file->path);
    }
    mt_status status = mt_weights_check_config(weights, &model->config);
    return status == MT_OK ? mt_checkpoint_restore_own(checkpoint, model->parameters, adam)
                           : status;
}
