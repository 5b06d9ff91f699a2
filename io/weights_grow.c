/* Weights for a model that has more labels than they have. */
#include "io/weights_file.h"
#include "kernels/null.h"

#include <stdlib.h>
#include <string.h>

/* A row for each label. */
bool mt_has_row_per_label(const char *name)
{
    static const char *const names[] = {"embed.weight", "head.weight", "head.bias"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++) {
        found = strcmp(names[i], name) == 0;
    }
    return found;
}

/* The sum of rows but for one that is padding. */
typedef struct row_sum {
    mt_dtype dtype;
    int64_t width, padding_row, rows;
    double *sum;
} row_sum;

static mt_status add_rows(void *context, int64_t first, int64_t rows, const void *values)
{
    row_sum *to = context;
    for (int64_t row = 0; row < rows; row++) {
        if (first + row == to->padding_row) {
            continue;
        }
        for (int64_t i = 0; i < to->width; i++) {
            to->sum[i] += mt_real_at(to->dtype, values, row * to->width + i);
        }
        to->rows++;
    }
    return MT_OK;
}

/* Writes the mean of the weights' rows to those that only the model has. */
static mt_status write_means(const row_sum *mean, const mt_parameters *parameters,
                             const mt_parameter *place, int64_t first)
{
    int64_t rows = place->tensor.shape[0], width = mean->width;
    size_t size = mt_dtype_size(parameters->dtype), bytes = (size_t)width * size;
    char *at = (char *)parameters->data + place->offset * size + (size_t)first * bytes;
    void *row = malloc(bytes);
    if (row == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", place->name, bytes);
    }
    mt_convert_reals(MT_F64, mean->sum, parameters->dtype, row, width);
    mt_status status = MT_OK;
    for (int64_t i = first; i < rows && status == MT_OK; i++, at += bytes) {
        status = mt_device_write(parameters->device, at, row, bytes);
    }
    free(row);
    return status;
}

static mt_status grow(const mt_weights *weights, const mt_parameter *from,
                      const mt_parameters *parameters, const mt_parameter *place)
{
    mt_array array = mt_weights_array(weights, from);
    row_sum mean = {
        .dtype = array.dtype, .width = mt_array_width(&array), .padding_row = place->padding_row};
    mean.sum = calloc((size_t)mean.width, sizeof *mean.sum);
    if (mean.sum == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for a row of %lld", place->name,
                       (long long)mean.width);
    }
    mt_status status = mt_array_visit(&array, add_rows, &mean);
    for (int64_t i = 0; i < mean.width && mean.rows > 0; i++) {
        mean.sum[i] /= (double)mean.rows;
    }
    if (status == MT_OK) {
        status = write_means(&mean, parameters, place, array.shape[0]);
    }
    free(mean.sum);
    return status;
}

mt_status mt_weights_grow(const mt_weights *weights, const mt_parameters *parameters)
{
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *place = parameters->items[i];
        const mt_parameter *from = mt_parameters_find(weights->parameters, place->name);
        bool has_more = from != NULL && mt_has_row_per_label(place->name) &&
                        from->tensor.shape[0] < place->tensor.shape[0];
        status = has_more ? grow(weights, from, parameters, place) : MT_OK;
    }
    return status == MT_OK ? mt_parameters_renew_narrow(parameters) : status;
}

mt_status mt_weights_begin_grown(const mt_weights *weights, mt_model *model)
{
    if (weights == NULL || model == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_weights_check_begin(weights, model->parameters, true);
    if (status == MT_OK) {
        status = mt_weights_check_and_fill(weights, model->parameters);
    }
    return status == MT_OK ? mt_weights_grow(weights, model->parameters) : status;
}
