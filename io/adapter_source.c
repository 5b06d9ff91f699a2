/* The values of a model, read piece by piece with what LoRA adds to them. */
#include "io/adapter_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct adapted_source {
    mt_source base;
    const mt_weights *model, *own;
    mt_adapter_config config;
} adapted_source;

static mt_status no_memory(const char *name)
{
    return mt_fail(MT_ERROR_MEMORY, "%s: no memory to add an adapter to it", name);
}

/* Rows of one of the adapter's matrices as doubles, which the caller frees. */
static mt_status read_doubles(const mt_weights *own, const mt_parameter *parameter, int64_t first,
                              int64_t rows, double **doubles)
{
    int64_t count = rows * parameter->tensor.shape[1];
    void *values = malloc((size_t)count * mt_dtype_size(own->dtype));
    *doubles = malloc((size_t)count * sizeof **doubles);
    mt_status status = values != NULL && *doubles != NULL
                           ? mt_weights_read(own, parameter, first, rows, values)
                           : no_memory(parameter->name);
    if (status == MT_OK) {
        mt_convert_reals(own->dtype, values, MT_F64, *doubles, count);
    } else {
        free(*doubles);
        *doubles = NULL;
    }
    free(values);
    return status;
}

/* values[o] += scale sum over r of b[o][r] a[r], in rows of a real type. */
static mt_status add_rows(mt_dtype dtype, int64_t rows, int64_t rank, int64_t width, double scale,
                          const double *a, const double *b, void *values)
{
    double *sum = malloc((size_t)width * sizeof *sum);
    size_t bytes = (size_t)width * mt_dtype_size(dtype);
    if (sum == NULL) {
        return no_memory("lora");
    }
    for (int64_t o = 0; o < rows; o++) {
        void *row = (char *)values + (size_t)o * bytes;
        mt_convert_reals(dtype, row, MT_F64, sum, width);
        for (int64_t r = 0; r < rank; r++) {
            double factor = scale * b[o * rank + r];
            for (int64_t c = 0; c < width; c++) {
                sum[c] += factor * a[r * width + c];
            }
        }
        mt_convert_reals(MT_F64, sum, dtype, row, width);
    }
    free(sum);
    return MT_OK;
}

/* One of the adapter's matrices of a weight, or NULL. */
static const mt_parameter *find_matrix(const adapted_source *source, const char *weight,
                                       const char *matrix)
{
    static const char end[] = "weight";
    char name[MT_NAME_MAX];
    size_t length = strlen(weight);
    if (source->config.kind != MT_ADAPT_LORA || length < strlen(end) ||
        strcmp(weight + length - strlen(end), end) != 0) {
        return NULL;
    }
    snprintf(name, sizeof name, "%.*s%s", (int)(length - strlen(end)), weight, matrix);
    return mt_parameters_find(source->own->parameters, name);
}

static mt_status add_lora(const adapted_source *source, const char *name, mt_dtype dtype,
                          int64_t first, int64_t rows, void *values)
{
    const mt_parameter *a = find_matrix(source, name, "lora_A");
    const mt_parameter *b = find_matrix(source, name, "lora_B");
    double *of_a = NULL, *of_b = NULL;
    if (a == NULL || b == NULL) {
        return MT_OK;
    }
    int64_t rank = a->tensor.shape[0], width = a->tensor.shape[1];
    mt_status status = read_doubles(source->own, a, 0, rank, &of_a);
    if (status == MT_OK) {
        status = read_doubles(source->own, b, first, rows, &of_b);
    }
    if (status == MT_OK) {
        status = add_rows(dtype, rows, rank, width, source->config.alpha / (double)rank, of_a, of_b,
                          values);
    }
    free(of_a);
    free(of_b);
    return status;
}

static mt_status read_model(const mt_weights *model, const char *name, mt_dtype dtype,
                            int64_t first, int64_t rows, void *values)
{
    const mt_parameter *parameter = mt_parameters_find(model->parameters, name);
    if (model->dtype == dtype) {
        return mt_weights_read(model, parameter, first, rows, values);
    }
    mt_array array = mt_weights_array(model, parameter);
    int64_t count = rows * mt_array_width(&array);
    void *theirs = malloc((size_t)count * mt_dtype_size(model->dtype));
    mt_status status =
        theirs != NULL ? mt_weights_read(model, parameter, first, rows, theirs) : no_memory(name);
    if (status == MT_OK) {
        mt_convert_reals(model->dtype, theirs, dtype, values, count);
    }
    free(theirs);
    return status;
}

static mt_status read_adapted(mt_source *base, const char *name, mt_dtype dtype, int64_t first,
                              int64_t rows, size_t bytes, void *values)
{
    const adapted_source *source = (adapted_source *)base;
    (void)bytes; /* the rows are of a shape that was checked */
    mt_status status = read_model(source->model, name, dtype, first, rows, values);
    return status == MT_OK ? add_lora(source, name, dtype, first, rows, values) : status;
}

static void close_adapted(mt_source *base)
{
    free(base);
}

mt_status mt_adapted_source(const mt_weights *model, const mt_weights *own,
                            const mt_adapter_config *config, mt_source **source)
{
    adapted_source *made = malloc(sizeof *made);
    if (made == NULL) {
        return no_memory(own->file->path);
    }
    *made = (adapted_source){{NULL, NULL, read_adapted, close_adapted}, model, own, *config};
    *source = &made->base;
    return MT_OK;
}
