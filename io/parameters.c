/* Parameters that need be no model's, of weights.h: saved as arrays by their own names. */
#include "io/weights_file.h"
#include "kernels/null.h"

mt_status mt_parameters_save(const char *path, const mt_parameters *parameters)
{
    if (parameters == NULL) {
        return mt_fail_null(__func__);
    }
    mt_arrays arrays = {0};
    mt_weights weights;
    mt_weights_file file;
    mt_status status = mt_weights_of(parameters, NULL, NULL, &file, &weights);
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = parameters->items[i];
        status = mt_weights_add(&weights, parameter, parameter->name, &arrays);
    }
    if (status == MT_OK) {
        status = mt_arrays_write(path, &arrays);
    }
    mt_arrays_free(&arrays);
    mt_weights_file_close(&file);
    return status;
}

/* The parameter's array must be there, of its shape. */
static mt_status describe_one(mt_weights *weights, const mt_arrays *arrays,
                              const mt_parameter *parameter)
{
    const char *path = weights->file->path;
    mt_array *array = mt_arrays_find(arrays, parameter->name);
    if (array == NULL) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %s is missing", path, parameter->name);
    }
    mt_status status = weights->file->source->inspect(weights->file->source, array);
    if (status == MT_OK) {
        status = mt_array_check_shape(array, path, &parameter->tensor);
    }
    if (status == MT_OK && array->dtype == MT_F64) {
        weights->dtype = MT_F64; /* as which all are read */
    }
    return status;
}

/* And no others. */
static mt_status refuse_unknown(const mt_weights *weights, const mt_arrays *arrays)
{
    for (int64_t i = 0; i < arrays->count; i++) {
        if (mt_parameters_find(weights->parameters, arrays->items[i].name) == NULL) {
            return mt_fail(MT_ERROR_FORMAT, "%s: %.128s: unknown: no parameter has this name",
                           weights->file->path, arrays->items[i].name);
        }
    }
    return MT_OK;
}

mt_status mt_own_describe(mt_weights *weights)
{
    mt_arrays arrays = {0};
    mt_weights_file *file = weights->file;
    mt_status status =
        file->archive != NULL ? mt_archive_source(file->archive, "/", &file->source) : MT_OK;
    weights->dtype = MT_F32;
    if (status == MT_OK) {
        status = file->source->list(file->source, &arrays);
    }
    if (status == MT_OK) {
        status = mt_arrays_sort(&arrays);
    }
    for (int i = 0; i < weights->parameters->count && status == MT_OK; i++) {
        status = describe_one(weights, &arrays, weights->parameters->items[i]);
    }
    if (status == MT_OK) {
        status = refuse_unknown(weights, &arrays);
    }
    mt_arrays_free(&arrays);
    return status;
}

mt_status mt_parameters_load(const char *path, mt_parameters *parameters)
{
    if (parameters == NULL) {
        return mt_fail_null(__func__);
    }
    mt_weights *weights;
    mt_status status = mt_weights_open_own(path, parameters, &weights);
    if (status == MT_OK) {
        status = mt_weights_check_and_fill(weights, parameters);
        mt_weights_close(weights);
    }
    return status;
}
