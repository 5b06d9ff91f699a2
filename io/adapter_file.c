#include "io/adapter_file.h"

#include "io/carried.h"
#include "io/fnv.h"
#include "io/kept_tokenizer.h"
#include "io/utf8.h"
#include "kernels/null.h"
#include "layers/layer.h"

#include <mixtape/model_fields.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- whose it is ---- */

static mt_status refuse_adapter(const char *path)
{
    return mt_fail(MT_ERROR_INVALID,
                   "%s: it is an adapter itself, of another model (export it first)", path);
}

static mt_status add_values(const mt_weights *weights, const mt_parameter *parameter, uint64_t *sum)
{
    mt_array array = mt_weights_array(weights, parameter);
    int64_t width = mt_array_width(&array), all = mt_array_rows(&array);
    int64_t rows = (MT_FINGERPRINT_VALUES + width - 1) / width;
    rows = rows < all ? rows : all;
    int64_t count = rows * width < MT_FINGERPRINT_VALUES ? rows * width : MT_FINGERPRINT_VALUES;
    size_t size = mt_dtype_size(array.dtype);
    void *values = malloc((size_t)(rows * width) * size);
    if (values == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %" PRId64 " values", parameter->name,
                       rows * width);
    }
    mt_status status = mt_array_read(&array, 0, rows, values, NULL);
    if (status == MT_OK) {
        *sum = mt_fnv_add(*sum, values, (size_t)count * size);
    }
    free(values);
    return status;
}

mt_status mt_weights_fingerprint(const mt_weights *weights, int64_t *print)
{
    uint64_t sum = mt_fnv_begin;
    mt_status status = MT_OK;
    for (int i = 0; i < weights->parameters->count && status == MT_OK; i++) {
        status = add_values(weights, weights->parameters->items[i], &sum);
    }
    *print = (int64_t)sum;
    return status;
}

mt_status mt_weights_note(const mt_weights *weights, char **path, int64_t *print)
{
    const char *name = weights->file->path;
    *path = NULL;
    if (weights->adapter != NULL) {
        return refuse_adapter(name);
    }
    char *whole = realpath(name, NULL);
    if (whole == NULL) {
        return mt_fail(errno == ENOMEM ? MT_ERROR_MEMORY : MT_ERROR_IO, "%s: %s", name,
                       strerror(errno));
    }
    mt_status status =
        *mt_utf8_end(whole) == '\0'
            ? mt_weights_fingerprint(weights, print)
            : mt_fail(MT_ERROR_INVALID,
                      "%s: its whole path is not UTF-8, as that in an adapter's file is", name);
    if (status != MT_OK) {
        free(whole);
        return status;
    }
    *path = whole;
    return MT_OK;
}

static const mt_archive_field lora_fields[] = {
    {"rank", MT_FIELD_COUNT, offsetof(mt_adapter_config, rank)},
    {"alpha", MT_FIELD_REAL, offsetof(mt_adapter_config, alpha)},
    {NULL},
};

void mt_adapter_attributes_write(mt_archive *archive, const mt_adapter_origin *origin,
                                 mt_dtype dtype)
{
    const mt_adapter_config *config = &origin->config;
    char on[MT_PROJECTIONS_TEXT];
    mt_archive_write_text(archive, MT_ADAPTER_GROUP, "kind",
                          mt_adapter_kind_name((int)config->kind));
    mt_archive_write_text(archive, MT_ADAPTER_GROUP, "model", origin->model);
    mt_archive_write_int(archive, MT_ADAPTER_GROUP, "weights", origin->weights);
    mt_model_attributes_write(archive, MT_ADAPTER_GROUP, &origin->of, dtype);
    if (config->kind == MT_ADAPT_LORA) {
        mt_archive_write_fields(archive, MT_ADAPTER_GROUP, lora_fields, config);
        mt_archive_write_text(archive, MT_ADAPTER_GROUP, "on", mt_projections_text(config->on, on));
    }
}

/* `model` is the caller's to free. */
static void read_origin(mt_archive *archive, mt_adapter_origin *origin, mt_dtype *dtype,
                        char **model)
{
    mt_adapter_config *config = &origin->config;
    *config = (mt_adapter_config){.kind = (mt_adapter_kind)mt_archive_read_choice(
                                      archive, MT_ADAPTER_GROUP, "kind", mt_adapter_kind_name)};
    mt_model_attributes_read(archive, MT_ADAPTER_GROUP, &origin->of, dtype);
    origin->weights = mt_archive_read_int(archive, MT_ADAPTER_GROUP, "weights");
    *model = mt_archive_read_text(archive, MT_ADAPTER_GROUP, "model");
    if (config->kind == MT_ADAPT_LORA) {
        char *on = mt_archive_read_text(archive, MT_ADAPTER_GROUP, "on");
        mt_archive_read_fields(archive, MT_ADAPTER_GROUP, lora_fields, config);
        if (on != NULL && mt_projections_parse(on, &config->on) != MT_OK) {
            mt_archive_fail(archive, MT_ADAPTER_GROUP, "%s", mt_error_message());
        }
        free(on);
    }
}

/* ---- opening ---- */

static void refuse_unknown(mt_archive *archive, const char *name, void *context)
{
    static const char *const groups[] = {"adapter", "optimizer",      "train",
                                         "batch",   MT_CARRIED_GROUP, MT_TOKENIZER_GROUP};
    (void)context;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (strcmp(groups[i], name) == 0) {
            return;
        }
    }
    mt_archive_fail(archive, name, "unknown: no group of this file");
}

/* The values of the adapter alone. */
static mt_status describe_values(mt_archive *archive, mt_weights *own)
{
    mt_status status = mt_native_check(archive, MT_ADAPTER_GROUP, own->parameters, NULL);
    return status == MT_OK ? mt_archive_source(archive, MT_ADAPTER_GROUP, &own->file->source)
                           : status;
}

/* Opens the model, which must be the one that it was. */
static mt_status open_model(mt_weights *weights, const char *named, int64_t print)
{
    mt_weights_file *file = weights->file;
    const char *path = file->asked_model != NULL ? file->asked_model : named;
    int64_t found;
    mt_status status = mt_weights_open_model(path, &file->model);
    if (status == MT_OK) {
        status = mt_weights_fingerprint(file->model, &found);
    }
    if (status != MT_OK) {
        return mt_fail(status, "%s: the model that it adapts: %s", file->path, mt_error_message());
    }
    return found == print
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "%s: it adapts other weights than those of %s, or they have changed",
                         file->path, path);
}

/* What it holds itself, as weights of which only the values are the archive's. */
static mt_status open_own(mt_weights *weights, mt_dtype dtype)
{
    mt_weights_file *file = weights->file;
    mt_status status = mt_weights_create(file->path, &file->own);
    if (status != MT_OK) {
        return status;
    }
    file->own->dtype = dtype;
    file->own->file->path = strdup(file->path);
    if (file->own->file->path == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", file->path);
    }
    status = mt_adapter_describe(&weights->config, weights->adapter, dtype, &file->own->parameters);
    if (status == MT_ERROR_INVALID) {
        return mt_archive_fail(file->archive, MT_ADAPTER_GROUP, "%s", mt_error_message());
    }
    return status == MT_OK ? describe_values(file->archive, file->own) : status;
}

/* The sizes are the model's, or its values would be taken for others. */
static mt_status describe_model(mt_weights *weights)
{
    mt_weights_file *file = weights->file;
    mt_status status = mt_model_describe(&weights->config, weights->dtype, &weights->parameters);
    if (status == MT_OK) {
        status = mt_weights_check_shapes(file->model, weights->parameters);
    }
    return status == MT_ERROR_INVALID
               ? mt_archive_fail(file->archive, MT_ADAPTER_GROUP,
                                 "it adapts a model of other sizes: %s", mt_error_message())
               : status;
}

/* The text's symbols are the file's own; a run without a text may be of a model that has some. */
static void take_tokens(mt_weights *weights)
{
    mt_weights_file *file = weights->file;
    mt_weights *model = file->model;
    weights->tokens = mt_native_read_tokens(file->archive, weights->config.vocab_size);
    mt_tokenizer_read(file->archive, &weights->tokenizer);
    if (weights->tokens == NULL) {
        weights->tokens = model->tokens;
        model->tokens = NULL;
    }
    if (weights->tokenizer.bytes == NULL) {
        weights->tokenizer = model->tokenizer;
        model->tokenizer = (mt_tokenizer_file){.bytes = NULL};
    }
}

static mt_status open_whole(mt_weights *weights, const char *named, int64_t print)
{
    weights->file->describes = true;
    mt_status status = open_model(weights, named, print);
    if (status == MT_OK) {
        status = describe_model(weights);
    }
    if (status == MT_OK) {
        status = open_own(weights, weights->dtype);
    }
    if (status == MT_OK) {
        take_tokens(weights);
    }
    return status == MT_OK ? mt_adapted_source(weights->file->model, weights->file->own,
                                               weights->adapter, &weights->file->source)
                           : status;
}

mt_status mt_adapter_describe_file(mt_weights *weights)
{
    mt_archive *archive = weights->file->archive;
    mt_adapter_origin origin;
    char *named;
    if (weights->file->is_model) {
        return refuse_adapter(weights->file->path);
    }
    mt_archive_visit(archive, "/", refuse_unknown, NULL);
    if (weights->parameters != NULL) { /* they are a program's own */
        return mt_archive_status(archive) == MT_OK ? describe_values(archive, weights)
                                                   : mt_archive_status(archive);
    }
    read_origin(archive, &origin, &weights->dtype, &named);
    weights->config = origin.of;
    mt_status status = mt_archive_status(archive);
    weights->adapter = status == MT_OK ? malloc(sizeof *weights->adapter) : NULL;
    if (weights->adapter != NULL) {
        *weights->adapter = origin.config;
        status = open_whole(weights, named, origin.weights);
    } else if (status == MT_OK) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", weights->file->path,
                         sizeof *weights->adapter);
    }
    free(named);
    return status == MT_OK ? mt_archive_status(archive) : status;
}

/* ---- tuned states ---- */

const mt_weights *mt_weights_tuned(const mt_weights *weights)
{
    bool has_state = weights->adapter != NULL && weights->adapter->kind == MT_ADAPT_STATE;
    return has_state ? weights->file->own : NULL;
}

mt_status mt_weights_check_whole(const mt_weights *weights, const char *what)
{
    return mt_weights_tuned(weights) == NULL
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "%s: a tuned state is part of it, which %s has no place for",
                         weights->file->path, what);
}

mt_status mt_weights_begin_tuned(const mt_weights *weights, mt_model *model)
{
    const mt_weights *tuned = mt_weights_tuned(weights);
    if (tuned == NULL) {
        return MT_OK;
    }
    mt_status status =
        model->adapter == NULL ? mt_model_reserve_adapter(model, weights->adapter) : MT_OK;
    if (status == MT_OK) {
        status = mt_weights_fill(tuned, model->adapter->parameters);
    }
    return status;
}
