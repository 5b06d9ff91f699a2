#include <mixtape/part.h>

#include "io/arrays.h"

#include <stdio.h>
#include <string.h>

/* The name of a parameter within the part, or NULL if it is not of the part. */
static const char *name_within(const char *part, const char *name)
{
    size_t length = strlen(part);
    return strncmp(name, part, length) == 0 && name[length] == '.' ? name + length + 1 : NULL;
}

static mt_status check_part(const mt_model *model, const char *part)
{
    for (int i = 0; i < model->parameters->count; i++) {
        if (name_within(part, model->parameters->items[i]->name) != NULL) {
            return MT_OK;
        }
    }
    return mt_fail(MT_ERROR_INVALID, "the model has no part '%s' (one is rwkv_blocks.0.att)", part);
}

mt_status mt_part_save(const char *path, const mt_model *model, const char *part)
{
    mt_arrays arrays = {0};
    mt_status status = check_part(model, part);
    for (int i = 0; i < model->parameters->count && status == MT_OK; i++) {
        const mt_tensor *tensor = &model->parameters->items[i]->tensor;
        const char *name = name_within(part, model->parameters->items[i]->name);
        void *data;
        if (name == NULL) {
            continue;
        }
        status = mt_arrays_add(&arrays, name, tensor->dtype, tensor->rank, tensor->shape, &data);
        if (status == MT_OK) {
            status = mt_tensor_read(tensor, data);
        }
    }
    if (status == MT_OK) {
        status = mt_arrays_write(path, &arrays);
    }
    mt_arrays_free(&arrays);
    return status;
}

static mt_status check_arrays(const char *path, const mt_arrays *arrays, const char *part,
                              const mt_parameters *parameters)
{
    int64_t taken = 0;
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const char *name = name_within(part, parameters->items[i]->name);
        const mt_array *array = name != NULL ? mt_arrays_find(arrays, name) : NULL;
        if (name == NULL) {
            continue;
        }
        status = array != NULL ? mt_array_check(array, path, &parameters->items[i]->tensor)
                               : mt_fail(MT_ERROR_FORMAT, "%s: %s is missing", path, name);
        taken++;
    }
    for (int64_t i = 0; i < arrays->count && status == MT_OK && taken < arrays->count; i++) {
        char full[2 * MT_NAME_MAX];
        snprintf(full, sizeof full, "%s.%s", part, arrays->items[i].name);
        if (mt_parameters_find(parameters, full) == NULL) {
            status = mt_fail(MT_ERROR_FORMAT, "%s: %.128s: unknown to %s", path,
                             arrays->items[i].name, part);
        }
    }
    return status;
}

mt_status mt_part_load(const char *path, const char *part, mt_model *model)
{
    mt_arrays arrays;
    const mt_parameters *parameters = model->parameters;
    mt_status status = check_part(model, part);
    if (status == MT_OK) {
        status = mt_arrays_read(path, NULL, NULL, &arrays);
    }
    if (status != MT_OK) {
        return status;
    }
    status = check_arrays(path, &arrays, part, parameters);
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const char *name = name_within(part, parameters->items[i]->name);
        if (name != NULL) {
            const mt_array *array = mt_arrays_find(&arrays, name);
            status =
                mt_tensor_write_reals(&parameters->items[i]->tensor, array->dtype, array->data);
        }
    }
    mt_arrays_free(&arrays);
    return status;
}
