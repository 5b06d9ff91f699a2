#include "io/checkpoint.h"

#include "io/archive.h"
#include "io/file.h"
#include "io/foreign.h"
#include "io/model_attributes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 };

static const char *const formats[] = {"mixtape-checkpoint", "mixtape-weights"};
enum { CHECKPOINT_FORMAT, EXCHANGE_FORMAT };

/* The numbers of a training state, as attributes of /train. */
static const struct {
    const char *name;
    size_t offset;
} state_counts[] = {
    {"step", offsetof(mt_train_state, step)},
    {"best_step", offsetof(mt_train_state, best_step)},
    {"bad_evals", offsetof(mt_train_state, bad_evals)},
    {"symbols", offsetof(mt_train_state, symbols)},
};
static const struct {
    const char *name;
    size_t offset;
} state_reals[] = {
    {"best_loss", offsetof(mt_train_state, best_loss)},
    {"seconds", offsetof(mt_train_state, seconds)},
};
static const struct {
    const char *name;
    size_t offset;
} adam_reals[] = {
    {"beta1", offsetof(mt_adam_config, beta1)},
    {"beta2", offsetof(mt_adam_config, beta2)},
    {"eps", offsetof(mt_adam_config, eps)},
    {"weight_decay", offsetof(mt_adam_config, weight_decay)},
    {"clip", offsetof(mt_adam_config, clip)},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* The three things that a parameter has in a checkpoint, each in a group of its own. */
static const char *const block_groups[] = {"/model", "/optimizer/m", "/optimizer/v"};
enum { DATA, M, V, BLOCKS };

/* ---- writing ---- */

/* A block of the device's memory, in host memory that the caller frees. */
static mt_status read_block(const mt_parameters *parameters, const void *block, void **host)
{
    size_t bytes = (size_t)parameters->total * mt_dtype_size(parameters->dtype);
    *host = malloc(bytes);
    if (*host == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "checkpoint: no host memory for %zu bytes", bytes);
    }
    return parameters->device->read_back(parameters->device, *host, block, bytes);
}

/* Writes a block as one array per parameter, under our own names. */
static mt_status write_block(mt_archive *archive, const char *group,
                             const mt_parameters *parameters, const void *block)
{
    void *host;
    mt_status status = read_block(parameters, block, &host);
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = parameters->items[i];
        const mt_tensor *tensor = &parameter->tensor;
        status = mt_archive_write_array(
            archive, group, parameter->name, tensor->dtype, tensor->rank, tensor->shape,
            (const char *)host + parameter->offset * mt_dtype_size(tensor->dtype));
    }
    free(host);
    return status;
}

static mt_status write_header(mt_archive *archive, int format)
{
    mt_status status = mt_archive_write_text(archive, "/", "format", formats[format]);
    return status == MT_OK ? mt_archive_write_int(archive, "/", "version", VERSION) : status;
}

static mt_status write_adam(mt_archive *archive, const mt_adam *adam)
{
    mt_status status = mt_archive_write_group(archive, "/optimizer");
    for (int i = M; i <= V && status == MT_OK; i++) {
        status = mt_archive_write_group(archive, block_groups[i]);
        if (status == MT_OK) {
            status =
                write_block(archive, block_groups[i], adam->parameters, i == M ? adam->m : adam->v);
        }
    }
    for (size_t i = 0; i < COUNT(adam_reals) && status == MT_OK; i++) {
        status = mt_archive_write_real(
            archive, "/optimizer", adam_reals[i].name,
            *(const double *)((const char *)&adam->config + adam_reals[i].offset));
    }
    return status == MT_OK ? mt_archive_write_int(archive, "/optimizer", "step", adam->step)
                           : status;
}

static mt_status write_state(mt_archive *archive, const mt_train_state *state,
                             const char *run_config)
{
    const char *from = (const char *)state;
    mt_status status = mt_archive_write_group(archive, "/train");
    for (size_t i = 0; i < COUNT(state_counts) && status == MT_OK; i++) {
        status = mt_archive_write_int(archive, "/train", state_counts[i].name,
                                      *(const int64_t *)(from + state_counts[i].offset));
    }
    for (size_t i = 0; i < COUNT(state_reals) && status == MT_OK; i++) {
        status = mt_archive_write_real(archive, "/train", state_reals[i].name,
                                       *(const double *)(from + state_reals[i].offset));
    }
    if (status == MT_OK && run_config != NULL) {
        status = mt_archive_write_text(archive, "/train", "config", run_config);
    }
    return status;
}

static mt_status write_tokens(mt_archive *archive, const mt_token_list *tokens)
{
    return tokens != NULL ? mt_archive_write_tokens(archive, "/", "token_list", tokens) : MT_OK;
}

/* Commits what was written without failure, and closes. */
static mt_status finish(mt_archive *archive, mt_status status)
{
    if (status == MT_OK) {
        status = mt_archive_commit(archive);
    }
    mt_archive_close(archive);
    return status;
}

mt_status mt_checkpoint_save(const char *path, const mt_model *model, const mt_adam *adam,
                             const mt_train_state *state, const char *run_config,
                             const mt_token_list *tokens)
{
    mt_archive *archive;
    mt_status status = mt_archive_create(path, &archive);
    if (status != MT_OK) {
        return status;
    }
    status = write_header(archive, CHECKPOINT_FORMAT);
    if (status == MT_OK) {
        status = write_tokens(archive, tokens);
    }
    if (status == MT_OK) {
        status = mt_archive_write_group(archive, "/model");
    }
    if (status == MT_OK) {
        status =
            mt_model_attributes_write(archive, "/model", &model->config, model->parameters->dtype);
    }
    if (status == MT_OK) {
        status = write_block(archive, "/model", model->parameters, model->parameters->data);
    }
    if (status == MT_OK && adam != NULL) {
        status = write_adam(archive, adam);
    }
    if (status == MT_OK) {
        status = write_state(archive, state, run_config);
    }
    return finish(archive, status);
}

/* ---- exchange files: writing ---- */

/* The configuration of what the layout keeps of a model. */
static mt_model_config kept_config(const mt_layout *layout, const mt_model_config *config)
{
    char name[MT_NAME_MAX];
    mt_model_config kept = *config;
    if (mt_layout_name(layout, "head.weight", name) != MT_PLACED) {
        kept.output_size = 0;
    }
    kept.head_bias = (kept.head_bias || layout->biases) && kept.output_size > 0 &&
                     mt_layout_name(layout, "head.bias", name) == MT_PLACED;
    kept.bias = (kept.bias || layout->biases) &&
                mt_layout_name(layout, "rwkv_blocks.0.att.proj_key.bias", name) == MT_PLACED;
    return kept;
}

static bool all_zeros(const mt_array *array, int64_t count)
{
    const unsigned char *bytes = array->data;
    for (size_t i = 0; i < (size_t)count * mt_dtype_size(array->dtype); i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool of_head(const char *name)
{
    return strncmp(name, "head.", 5) == 0;
}

/* Zeros for the bias that a projection or head of the model does not have and the layout asks for. */
static mt_status add_missing_bias(const mt_model *model, const mt_layout *layout,
                                  const mt_parameter *weight, mt_arrays *arrays)
{
    char ours[MT_NAME_MAX], theirs[MT_NAME_MAX];
    bool projects = strstr(weight->name, ".proj_") != NULL || of_head(weight->name);
    const char *last = strrchr(weight->name, '.');
    if (!layout->biases || !projects || strcmp(last, ".weight") != 0) {
        return MT_OK;
    }
    snprintf(ours, sizeof ours, "%.*s.bias", (int)(last - weight->name), weight->name);
    if (mt_parameters_find(model->parameters, ours) != NULL ||
        mt_layout_name(layout, ours, theirs) != MT_PLACED) {
        return MT_OK;
    }
    void *data;
    const mt_tensor *tensor = &weight->tensor;
    mt_status status = mt_arrays_add(arrays, theirs, tensor->dtype, 1, tensor->shape, &data);
    if (status == MT_OK) {
        memset(data, 0, (size_t)tensor->shape[0] * mt_dtype_size(tensor->dtype));
    }
    return status;
}

/* The model's parameters on the host, by the layout's names. */
static mt_status gather(const mt_model *model, const mt_layout *layout, mt_arrays *arrays)
{
    mt_device *device = model->parameters->device;
    mt_status status = MT_OK;
    *arrays = (mt_arrays){0};
    for (int i = 0; i < model->parameters->count && status == MT_OK; i++) {
        const mt_tensor *tensor = &model->parameters->items[i]->tensor;
        const char *ours = model->parameters->items[i]->name;
        char theirs[MT_NAME_MAX];
        mt_layout_place place = mt_layout_name(layout, ours, theirs);
        void *data;
        if (place == MT_LEFT_OUT) {
            continue;
        }
        status = mt_arrays_add(arrays, place == MT_PLACED ? theirs : ours, tensor->dtype,
                               tensor->rank, tensor->shape, &data);
        if (status == MT_OK) {
            status = device->read_back(device, data, tensor->data, mt_tensor_bytes(tensor));
        }
        if (status == MT_OK && place == MT_MUST_BE_ZERO) {
            mt_array *last = &arrays->items[--arrays->count];
            if (!all_zeros(last, mt_tensor_count(tensor))) {
                status = mt_fail(MT_ERROR_INVALID,
                                 "layout %s: it has no place for %s, which is not zero",
                                 layout->name, ours);
            }
            free(last->name);
            free(last->data);
        }
        if (status == MT_OK) {
            status = add_missing_bias(model, layout, model->parameters->items[i], arrays);
        }
    }
    return status;
}

static mt_status write_exchange(const char *path, const mt_model *model, const mt_layout *layout,
                                const mt_token_list *tokens, const mt_arrays *arrays)
{
    mt_archive *archive;
    mt_model_config kept = kept_config(layout, &model->config);
    mt_status status = mt_archive_create(path, &archive);
    if (status != MT_OK) {
        return status;
    }
    status = write_header(archive, EXCHANGE_FORMAT);
    if (status == MT_OK) {
        status = mt_archive_write_text(archive, "/", "layout", layout->name);
    }
    if (status == MT_OK) {
        status = write_tokens(archive, tokens);
    }
    if (status == MT_OK) {
        status = mt_model_attributes_write(archive, "/", &kept, model->parameters->dtype);
    }
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        const mt_array *array = &arrays->items[i];
        status = mt_archive_write_array(archive, "/", array->name, array->dtype, array->rank,
                                        array->shape, array->data);
    }
    return finish(archive, status);
}

mt_status mt_exchange_save(const char *path, const mt_model *model, const mt_layout *layout,
                           const mt_token_list *tokens)
{
    mt_arrays arrays = {0};
    mt_status status = mt_layout_check(layout, &model->config);
    if (status == MT_OK) {
        status = gather(model, layout, &arrays);
    }
    if (status == MT_OK) {
        status = mt_is_safetensors(path) ? mt_safetensors_write(path, &arrays)
                                         : write_exchange(path, model, layout, tokens, &arrays);
    }
    mt_arrays_free(&arrays);
    return status;
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

static mt_status check_finite(mt_archive *archive, const mt_tensor *tensor, const char *name,
                              const void *values)
{
    double value;
    int64_t i = mt_first_not_finite(tensor->dtype, values, mt_tensor_count(tensor), &value);
    return i < 0 ? MT_OK
                 : mt_archive_fail(archive, name, "element %lld is %g", (long long)i, value);
}

/* The names that a group must hold, and no others. */
typedef struct expected_names {
    const mt_parameters *parameters;
    const mt_layout *layout;
    const char *const *also; /* groups beside the parameters; ends with NULL */
} expected_names;

static bool expects(const expected_names *expected, const char *name)
{
    for (const char *const *also = expected->also; also != NULL && *also != NULL; also++) {
        if (strcmp(*also, name) == 0) {
            return true;
        }
    }
    for (int i = 0; expected->parameters != NULL && i < expected->parameters->count; i++) {
        const char *ours = expected->parameters->items[i]->name;
        char theirs[MT_NAME_MAX];
        bool placed =
            expected->layout == NULL || mt_layout_name(expected->layout, ours, theirs) == MT_PLACED;
        if (placed && strcmp(expected->layout == NULL ? ours : theirs, name) == 0) {
            return true;
        }
    }
    return false;
}

static mt_status refuse_unknown(mt_archive *archive, const char *name, void *context)
{
    return expects(context, name)
               ? MT_OK
               : mt_archive_fail(archive, name, "unknown: no parameter of this model");
}

/* The name in the file. What has no place in the layout was left out of the description. */
static const char *file_name(const mt_parameter *parameter, const mt_layout *layout,
                             char name[MT_NAME_MAX])
{
    if (layout == NULL || mt_layout_name(layout, parameter->name, name) != MT_PLACED) {
        memcpy(name, parameter->name, MT_NAME_MAX);
    }
    return name;
}

/* Every array is there, of its type and shape, and nothing else is. Until then a file's word on how
 * much memory it needs is not taken. */
static mt_status check_block(mt_archive *archive, const char *group,
                             const mt_parameters *parameters, const mt_layout *layout)
{
    expected_names expected = {parameters, layout, NULL};
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        char name[MT_NAME_MAX];
        status =
            mt_archive_check_array(archive, group, file_name(parameters->items[i], layout, name),
                                   tensor->dtype, tensor->rank, tensor->shape);
    }
    return status == MT_OK ? mt_archive_visit(archive, group, refuse_unknown, &expected) : status;
}

/* Reads one array per parameter into a block of host memory, which the caller frees, and refuses
 * everything else in the group. */
static mt_status load_block(mt_archive *archive, const char *group, const mt_parameters *parameters,
                            const mt_layout *layout, void **block)
{
    size_t size = mt_dtype_size(parameters->dtype);
    mt_status status = check_block(archive, group, parameters, layout);
    if (status != MT_OK) {
        return status;
    }
    *block = calloc((size_t)parameters->total, size);
    if (*block == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "checkpoint: no host memory for %zu bytes",
                       (size_t)parameters->total * size);
    }
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = parameters->items[i];
        const mt_tensor *tensor = &parameter->tensor;
        char name[MT_NAME_MAX];
        file_name(parameter, layout, name);
        void *values = (char *)*block + parameter->offset * size;
        status = mt_archive_read_array(archive, group, name, tensor->dtype, tensor->rank,
                                       tensor->shape, values);
        if (status == MT_OK) {
            status = check_finite(archive, tensor, name, values);
        }
    }
    return status;
}

static mt_status load_adam(mt_archive *archive, mt_checkpoint *checkpoint)
{
    static const char *const groups[] = {"m", "v", NULL};
    expected_names expected = {NULL, NULL, groups};
    mt_status status = mt_archive_visit(archive, "/optimizer", refuse_unknown, &expected);
    for (size_t i = 0; i < COUNT(adam_reals) && status == MT_OK; i++) {
        status = mt_archive_read_real(
            archive, "/optimizer", adam_reals[i].name,
            (double *)(void *)((char *)&checkpoint->adam + adam_reals[i].offset));
    }
    if (status == MT_OK) {
        status = mt_archive_read_int(archive, "/optimizer", "step", &checkpoint->adam_step);
    }
    if (status == MT_OK && checkpoint->adam_step < 0) {
        status =
            mt_archive_fail(archive, "/optimizer", "step %lld", (long long)checkpoint->adam_step);
    }
    if (status == MT_OK) {
        status = load_block(archive, block_groups[M], checkpoint->described, NULL, &checkpoint->m);
    }
    return status == MT_OK
               ? load_block(archive, block_groups[V], checkpoint->described, NULL, &checkpoint->v)
               : status;
}

static mt_status load_state(mt_archive *archive, mt_checkpoint *checkpoint)
{
    char *to = (char *)&checkpoint->state;
    mt_status status = MT_OK;
    for (size_t i = 0; i < COUNT(state_counts) && status == MT_OK; i++) {
        int64_t *count = (int64_t *)(void *)(to + state_counts[i].offset);
        status = mt_archive_read_int(archive, "/train", state_counts[i].name, count);
        if (status == MT_OK && *count < 0) {
            status = mt_archive_fail(archive, "/train", "%s %lld", state_counts[i].name,
                                     (long long)*count);
        }
    }
    for (size_t i = 0; i < COUNT(state_reals) && status == MT_OK; i++) {
        status = mt_archive_read_real(archive, "/train", state_reals[i].name,
                                      (double *)(void *)(to + state_reals[i].offset));
    }
    if (status == MT_OK && mt_archive_has_attribute(archive, "/train", "config")) {
        status = mt_archive_read_text(archive, "/train", "config", &checkpoint->run_config);
    }
    checkpoint->has_state = true;
    return status;
}

static mt_status load_checkpoint(mt_archive *archive, mt_checkpoint *checkpoint)
{
    static const char *const groups[] = {"model", "optimizer", "train", NULL};
    expected_names expected = {NULL, NULL, groups};
    mt_status status = mt_archive_visit(archive, "/", refuse_unknown, &expected);
    if (status == MT_OK) {
        status =
            mt_model_attributes_read(archive, "/model", &checkpoint->config, &checkpoint->dtype);
    }
    if (status == MT_OK) {
        status = mt_model_describe(&checkpoint->config, checkpoint->dtype, &checkpoint->described);
    }
    if (status == MT_OK) {
        status = load_block(archive, "/model", checkpoint->described, NULL, &checkpoint->data);
    }
    if (status == MT_OK && mt_archive_has(archive, "optimizer")) {
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
        checkpoint->config = kept_config(checkpoint->layout, &checkpoint->config);
        status = mt_model_describe(&checkpoint->config, checkpoint->dtype, &checkpoint->described);
    }
    return status == MT_OK ? load_block(archive, "/", checkpoint->described, checkpoint->layout,
                                        &checkpoint->data)
                           : status;
}

static mt_status load_tokens(mt_archive *archive, mt_checkpoint *checkpoint)
{
    if (!mt_archive_has_attribute(archive, "/", "token_list")) {
        return MT_OK;
    }
    mt_status status = mt_archive_read_tokens(archive, "/", "token_list", &checkpoint->tokens);
    if (status == MT_OK && checkpoint->tokens->count != checkpoint->config.vocab_size) {
        status =
            mt_archive_fail(archive, "token_list", "%d tokens for a vocabulary of %lld",
                            checkpoint->tokens->count, (long long)checkpoint->config.vocab_size);
    }
    return status;
}

/* A file that is not one of ours. */
static mt_status load_foreign(const char *path, mt_checkpoint *checkpoint)
{
    mt_arrays arrays;
    mt_status status = mt_arrays_read(path, &arrays);
    if (status == MT_OK) {
        status = mt_foreign_read(path, &arrays, checkpoint);
        mt_arrays_free(&arrays);
    }
    return status;
}

static mt_status load_archive(const char *path, mt_checkpoint *checkpoint)
{
    mt_archive *archive;
    int format;
    mt_status status = mt_archive_open(path, &archive);
    if (status != MT_OK) {
        return status;
    }
    bool ours = mt_archive_has_attribute(archive, "/", "format");
    mt_archive_close(archive);
    if (!ours) {
        return load_foreign(path, checkpoint);
    }
    status = mt_archive_open_format(path, COUNT(formats), formats, VERSION, &format, &archive);
    if (status == MT_OK) {
        status = format == CHECKPOINT_FORMAT ? load_checkpoint(archive, checkpoint)
                                             : load_exchange(archive, checkpoint);
        if (status == MT_OK) {
            status = load_tokens(archive, checkpoint);
        }
        mt_archive_close(archive);
    }
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
        mt_is_safetensors(path) ? load_foreign(path, read) : load_archive(path, read);
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
        if (from == NULL && !of_head(to->name)) {
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
