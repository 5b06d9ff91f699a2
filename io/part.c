#include <mixtape/part.h>

#include "io/adapter_file.h"
#include "io/weights_file.h"
#include "kernels/null.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name of a parameter within the part, or NULL if it is not of the part. */
static const char *name_within(const char *part, const char *name)
{
    size_t length = strlen(part);
    return strncmp(name, part, length) == 0 && name[length] == '.' ? name + length + 1 : NULL;
}

enum { LONGEST_NAME = 2 * MT_NAME_MAX };

/* The parameter's name of an array of the part. */
static void name_outside(const char *part, const char *name, char full[LONGEST_NAME])
{
    snprintf(full, LONGEST_NAME, "%s.%s", part, name);
}

static mt_status check_part(const mt_parameters *parameters, const char *part)
{
    for (int i = 0; i < parameters->count; i++) {
        if (name_within(part, parameters->items[i]->name) != NULL) {
            return MT_OK;
        }
    }
    return mt_fail(MT_ERROR_INVALID, "the model has no part '%s' (one is rwkv_blocks.0.att)", part);
}

mt_status mt_part_convert(const mt_weights *weights, const char *part, const char *path)
{
    if (weights == NULL) {
        return mt_fail_null(__func__);
    }
    mt_arrays arrays = {0};
    mt_status status = mt_weights_check_whole(weights, "a part");
    if (status == MT_OK) {
        status = check_part(weights->parameters, part);
    }
    for (int i = 0; i < weights->parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = weights->parameters->items[i];
        const char *name = name_within(part, parameter->name);
        if (name != NULL) {
            status = mt_weights_add(weights, parameter, name, &arrays);
        }
    }
    if (status == MT_OK) {
        status = mt_arrays_write(path, &arrays);
    }
    mt_arrays_free(&arrays);
    return status;
}

mt_status mt_part_save(const char *path, const mt_model *model, const char *part)
{
    if (model == NULL) {
        return mt_fail_null(__func__);
    }
    mt_weights weights;
    mt_weights_file file;
    mt_status status = mt_weights_of(model->parameters, &model->config, NULL, &file, &weights);
    if (status == MT_OK) {
        status = mt_part_convert(&weights, part, path);
        mt_weights_file_close(&file);
    }
    return status;
}

typedef struct part_of {
    const mt_parameters *parameters;
    const char *part;
} part_of;

/* As mt_find_tensor is. */
static const mt_tensor *find_tensor(const void *context, const char *name)
{
    const part_of *of = context;
    char full[LONGEST_NAME];
    name_outside(of->part, name, full);
    const mt_parameter *parameter = mt_parameters_find(of->parameters, full);
    return parameter != NULL ? &parameter->tensor : NULL;
}

static mt_status check_values(const char *path, const mt_array *array)
{
    double value;
    int64_t i = mt_first_not_finite(array->dtype, array->data, mt_array_count(array), &value);
    return i < 0 ? MT_OK
                 : mt_fail(MT_ERROR_FORMAT, "%s: %s: element %lld is %g", path, array->name,
                           (long long)i, value);
}

static mt_status check_arrays(const char *path, const mt_arrays *arrays, const char *part,
                              const mt_parameters *parameters)
{
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const char *name = name_within(part, parameters->items[i]->name);
        const mt_array *array = name != NULL ? mt_arrays_find(arrays, name) : NULL;
        if (name != NULL) {
            status = array != NULL ? check_values(path, array)
                                   : mt_fail(MT_ERROR_FORMAT, "%s: %s is missing", path, name);
        }
    }
    return status;
}

/* Reads a file that must hold just the part. */
static mt_status read_part(const char *path, const char *part, const mt_parameters *parameters,
                           mt_arrays *arrays)
{
    *arrays = (mt_arrays){0};
    mt_status status = check_part(parameters, part);
    if (status == MT_OK) {
        status = mt_arrays_read(path, find_tensor, &(part_of){parameters, part}, arrays);
    }
    if (status == MT_OK) {
        status = mt_arrays_sort(arrays);
    }
    if (status == MT_OK) {
        status = check_arrays(path, arrays, part, parameters);
    }
    if (status != MT_OK) {
        mt_arrays_free(arrays);
    }
    return status;
}

/* Names the arrays, all of which are parameters of the part, as the weights' file does. */
static mt_status rename_arrays(const mt_weights *weights, const char *part, mt_arrays *arrays)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        char full[LONGEST_NAME], renamed[MT_NAME_MAX];
        name_outside(part, arrays->items[i].name, full);
        const mt_parameter *parameter = mt_parameters_find(weights->parameters, full);
        status = mt_array_rename(&arrays->items[i], mt_weights_name(weights, parameter, renamed));
    }
    return status == MT_OK ? mt_arrays_sort(arrays) : status;
}

mt_status mt_part_replace(mt_weights *weights, const char *part, const char *path)
{
    if (weights == NULL) {
        return mt_fail_null(__func__);
    }
    mt_arrays arrays;
    mt_weights_file *file = weights->file;
    mt_status status = read_part(path, part, weights->parameters, &arrays);
    if (status != MT_OK) {
        return status;
    }
    status = rename_arrays(weights, part, &arrays);
    if (status == MT_OK) {
        status = mt_source_replace(file->source, &arrays, &file->source);
    }
    mt_arrays_free(&arrays);
    return status;
}

static mt_status write_values(const mt_array *array, mt_tensor *tensor)
{
    void *values = malloc(mt_tensor_bytes(tensor));
    if (values == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", tensor->name,
                       mt_tensor_bytes(tensor));
    }
    mt_convert_reals(array->dtype, array->data, tensor->dtype, values, mt_tensor_count(tensor));
    mt_status status = mt_tensor_write(tensor, values);
    free(values);
    return status;
}

mt_status mt_part_load(const char *path, const char *part, mt_model *model)
{
    if (model == NULL) {
        return mt_fail_null(__func__);
    }
    mt_arrays arrays;
    const mt_parameters *parameters = model->parameters;
    mt_status status = read_part(path, part, parameters, &arrays);
    if (status != MT_OK) {
        return status;
    }
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const char *name = name_within(part, parameters->items[i]->name);
        if (name != NULL) {
            status = write_values(mt_arrays_find(&arrays, name), &parameters->items[i]->tensor);
        }
    }
    mt_arrays_free(&arrays);
    return status;
}
