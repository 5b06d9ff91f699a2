#include "io/kept_tokenizer.h"
#include "io/weights_file.h"

#include "kernels/null.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what they are ---- */

void mt_weights_close(mt_weights *weights)
{
    if (weights == NULL) {
        return;
    }
    mt_parameters_destroy(weights->parameters);
    mt_token_list_destroy(weights->tokens);
    mt_tokenizer_free(&weights->tokenizer);
    free(weights->adapter);
    mt_weights_close(weights->file->own); /* whose values the archive has */
    mt_weights_close(weights->file->model);
    mt_weights_file_close(weights->file);
    free(weights->file);
    free(weights);
}

mt_status mt_weights_create(const char *path, mt_weights **weights)
{
    mt_weights *made = calloc(1, sizeof *made);
    mt_weights_file *file = calloc(1, sizeof *file);
    if (made == NULL || file == NULL) {
        free(made);
        free(file);
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *made);
    }
    made->file = file;
    *weights = made;
    return MT_OK;
}

static mt_status describe(const char *path, mt_weights *weights)
{
    const mt_format *format;
    const mt_weights_file asked = *weights->file;
    mt_status status = mt_weights_file_open(path, weights->file);
    weights->file->is_model = asked.is_model;
    weights->file->asked_model = asked.asked_model;
    if (status == MT_OK) {
        status = mt_format_find(weights->file, &format);
    }
    if (status == MT_OK) {
        bool own = weights->parameters != NULL && !format->is_checkpoint;
        status = own ? mt_own_describe(weights) : format->describe(weights);
    }
    if (status == MT_OK && asked.asked_model != NULL && weights->adapter == NULL) {
        status = mt_fail(MT_ERROR_INVALID, "%s: it is no adapter", path);
    }
    if (status == MT_OK && weights->tokenizer.bytes == NULL) {
        status = mt_tokenizer_load_beside(path, &weights->tokenizer); /* of a folder */
    }
    return status;
}

static mt_status finish_opening(mt_status status, mt_weights *made, mt_weights **weights)
{
    if (status != MT_OK) {
        mt_weights_close(made);
        return status;
    }
    *weights = made;
    return MT_OK;
}

/* `model` is asked for in place of the one that an adapter names, or NULL. */
static mt_status open_weights(const char *path, const char *model, bool is_model,
                              mt_weights **weights)
{
    mt_weights *made = NULL;
    *weights = NULL;
    mt_status status = mt_weights_create(path, &made);
    if (status != MT_OK) {
        return status;
    }
    made->file->asked_model = model;
    made->file->is_model = is_model;
    return finish_opening(describe(path, made), made, weights);
}

mt_status mt_weights_open(const char *path, mt_weights **weights)
{
    return open_weights(path, NULL, false, weights);
}

mt_status mt_weights_open_adapted(const char *path, const char *model, mt_weights **weights)
{
    return open_weights(path, model, false, weights);
}

mt_status mt_weights_open_model(const char *path, mt_weights **weights)
{
    return open_weights(path, NULL, true, weights);
}

/* The names, shapes and places of parameters, without their memory. */
static mt_status describe_like(const mt_parameters *parameters, mt_parameters **described)
{
    mt_status status = mt_parameters_create(parameters->device, parameters->dtype, described);
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *like = parameters->items[i];
        mt_parameters_add(*described, "", like->name, like->tensor.rank, like->tensor.shape,
                          like->initial);
        status = (*described)->status;
    }
    return status;
}

mt_status mt_weights_open_own(const char *path, const mt_parameters *own, mt_weights **weights)
{
    mt_weights *made = NULL;
    *weights = NULL;
    mt_status status = mt_weights_create(path, &made);
    if (status != MT_OK) {
        return status;
    }
    made->dtype = own->dtype;
    status = describe_like(own, &made->parameters);
    return finish_opening(status == MT_OK ? describe(path, made) : status, made, weights);
}

mt_status mt_weights_of(const mt_parameters *parameters, const mt_model_config *config,
                        const mt_token_list *tokens, mt_weights_file *file, mt_weights *weights)
{
    *file = (mt_weights_file){.path = NULL};
    *weights = (mt_weights){.dtype = parameters->dtype,
                            .parameters = (mt_parameters *)(uintptr_t)parameters,
                            .tokens = (mt_token_list *)(uintptr_t)tokens,
                            .file = file};
    if (config != NULL) {
        weights->config = *config;
    }
    return mt_parameters_source(parameters, &file->source);
}

void mt_assumed_in_words(const mt_assumed *assumed, const mt_model_config *config,
                         char text[MT_ASSUMED_TEXT])
{
    char eps[24] = "", partial[32] = "", context[40] = "";
    if (assumed->eps) {
        snprintf(eps, sizeof eps, ", eps %g", config->norm.eps);
    }
    if (assumed->partial) {
        snprintf(partial, sizeof partial, ", partial %g", config->norm.partial);
    }
    if (assumed->context_size) {
        snprintf(context, sizeof context, ", context_size %" PRId64, config->context_size);
    }
    char all[MT_ASSUMED_TEXT];
    snprintf(all, sizeof all, "%s%s%s", eps, partial, context);
    snprintf(text, MT_ASSUMED_TEXT, "%s", all[0] != '\0' ? all + strlen(", ") : "");
}

const char *mt_weights_assumed(const mt_weights *weights)
{
    return weights != NULL ? weights->file->assumed_text : "";
}

/* ---- their values ---- */

const char *mt_name_in_layout(const mt_layout *layout, const char *ours, char name[MT_NAME_MAX])
{
    if (layout == NULL || mt_layout_name(layout, ours, name) != MT_PLACED) {
        snprintf(name, MT_NAME_MAX, "%s", ours);
    }
    return name;
}

const char *mt_weights_name(const mt_weights *weights, const mt_parameter *parameter,
                            char name[MT_NAME_MAX])
{
    return mt_name_in_layout(weights->layout, parameter->name, name);
}

mt_values mt_weights_values(const mt_weights *weights)
{
    return (mt_values){.source = weights->file->source};
}

/* A parameter as an array of a source. */
static mt_array array_of(const mt_weights *weights, const mt_values *values,
                         const mt_parameter *parameter)
{
    mt_array array = {.name = (char *)(uintptr_t)parameter->name,
                      .source = values->source,
                      .path = weights->file->path,
                      .group = values->group,
                      .never_negative = values->never_negative,
                      .may_be_missing = weights->file->archive != NULL};
    mt_array_take_shape(&array, &parameter->tensor);
    array.dtype = weights->dtype;
    mt_weights_name(weights, parameter, array.source_name);
    return array;
}

mt_status mt_weights_read(const mt_weights *weights, const mt_parameter *parameter, int64_t first,
                          int64_t rows, void *values)
{
    if (weights == NULL || parameter == NULL) {
        return mt_fail_null(__func__);
    }
    mt_array array = mt_weights_array(weights, parameter);
    int64_t all = mt_array_rows(&array);
    return first >= 0 && rows >= 0 && first <= all - rows
               ? mt_array_read(&array, first, rows, values, NULL)
               : mt_fail(MT_ERROR_INVALID, "%s: %lld rows from %lld on, of %lld", parameter->name,
                         (long long)rows, (long long)first, (long long)all);
}

mt_array mt_weights_array(const mt_weights *weights, const mt_parameter *parameter)
{
    mt_values values = mt_weights_values(weights);
    return array_of(weights, &values, parameter);
}

mt_status mt_weights_add(const mt_weights *weights, const mt_parameter *parameter, const char *name,
                         mt_arrays *arrays)
{
    mt_status status = mt_arrays_add_name(arrays, name);
    if (status == MT_OK) {
        mt_array *added = mt_arrays_last(arrays);
        char *own_name = added->name;
        *added = mt_weights_array(weights, parameter);
        added->name = own_name;
    }
    return status;
}

mt_status mt_weights_check_values(const mt_weights *weights, const mt_values *values)
{
    mt_status status = MT_OK;
    for (int i = 0; i < weights->parameters->count && status == MT_OK; i++) {
        mt_array array = array_of(weights, values, weights->parameters->items[i]);
        status = mt_array_visit(&array, NULL, NULL);
    }
    return status;
}

mt_status mt_weights_check(const mt_weights *weights)
{
    if (weights == NULL) {
        return mt_fail_null(__func__);
    }
    mt_values values = mt_weights_values(weights);
    return mt_weights_check_values(weights, &values);
}

/* Rows of an array on their way to where a parameter's values are put. */
typedef struct filled {
    const mt_array *array;
    const mt_parameter *place;
    mt_dtype dtype;
    mt_put_values *put;
    void *context;
} filled;

static mt_status write_rows(void *context, int64_t first, int64_t rows, const void *values)
{
    const filled *at = context;
    int64_t width = mt_array_width(at->array), count = rows * width;
    int64_t place = (int64_t)at->place->offset + first * width;
    if (at->dtype == at->array->dtype) {
        return at->put(at->context, place, count, values);
    }
    size_t bytes = (size_t)count * mt_dtype_size(at->dtype);
    void *converted = malloc(bytes);
    if (converted == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", at->place->name, bytes);
    }
    mt_convert_reals(at->array->dtype, values, at->dtype, converted, count);
    mt_status status = at->put(at->context, place, count, converted);
    free(converted);
    return status;
}

mt_status mt_weights_hand_out(const mt_weights *weights, const mt_values *values,
                              const mt_parameters *parameters, mt_put_values *put, void *context)
{
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *place = parameters->items[i];
        const mt_parameter *from = mt_parameters_find(weights->parameters, place->name);
        if (from != NULL) {
            mt_array array = array_of(weights, values, from);
            filled at = {&array, place, parameters->dtype, put, context};
            status = mt_array_visit(&array, write_rows, &at);
        }
    }
    return status;
}

static mt_status put_in_block(void *context, int64_t first, int64_t n, const void *values)
{
    const mt_parameters *parameters = context;
    const size_t size = mt_dtype_size(parameters->dtype);
    return mt_device_write(parameters->device, (char *)parameters->data + (size_t)first * size,
                           values, (size_t)n * size);
}

mt_status mt_weights_fill(const mt_weights *weights, mt_parameters *parameters)
{
    const mt_values values = mt_weights_values(weights);
    if (parameters->data == NULL) {
        return mt_fail(MT_ERROR_INVALID, "the parameters have no memory, or are kept compact");
    }
    mt_status status = mt_weights_hand_out(weights, &values, parameters, put_in_block, parameters);
    return status == MT_OK ? mt_parameters_renew_narrow(parameters) : status;
}

mt_status mt_weights_check_and_fill(const mt_weights *weights, mt_parameters *parameters)
{
    mt_values values = mt_weights_values(weights);
    mt_status status = mt_weights_check_values(weights, &values);
    return status == MT_OK ? mt_weights_fill(weights, parameters) : status;
}
