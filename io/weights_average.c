/* The mean of several files' weights, and what two files' weights differ in. */
#include "io/adapter_file.h"

#include "kernels/null.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the mean ---- */

/* In place of the source of the first weights, which it keeps. */
typedef struct mean_source {
    mt_source base;
    mt_weights first; /* as they were, */
    mt_weights_file file;
    int count; /* and the others */
    const mt_weights *others[];
} mean_source;

/* The parameter that an array of the first weights' file holds. */
static const mt_parameter *find_parameter(const mt_weights *weights, const char *name)
{
    char of_file[MT_NAME_MAX];
    for (int i = 0; i < weights->parameters->count; i++) {
        const mt_parameter *parameter = weights->parameters->items[i];
        if (strcmp(mt_weights_name(weights, parameter, of_file), name) == 0) {
            return parameter;
        }
    }
    return NULL;
}

/* Adds rows of one file's parameter to sums, or begins them. */
static mt_status add_rows(const mt_weights *weights, const char *name, int64_t first, int64_t rows,
                          int64_t count, void *values, double *sums, bool begins)
{
    const mt_parameter *parameter = mt_parameters_find(weights->parameters, name);
    mt_status status = mt_weights_read(weights, parameter, first, rows, values);
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        sums[i] = (begins ? 0.0 : sums[i]) + mt_real_at(weights->dtype, values, i);
    }
    return status;
}

static mt_status read_mean(mt_source *base, const char *name, mt_dtype dtype, int64_t first,
                           int64_t rows, size_t bytes, void *values)
{
    const mean_source *source = (mean_source *)base;
    const char *parameter = find_parameter(&source->first, name)->name;
    int64_t count = (int64_t)(bytes / mt_dtype_size(dtype));
    double *sums = malloc((size_t)count * sizeof *sums);
    if (sums == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %" PRId64 " sums", parameter, count);
    }
    mt_status status = add_rows(&source->first, parameter, first, rows, count, values, sums, true);
    for (int i = 0; i < source->count && status == MT_OK; i++) {
        status = add_rows(source->others[i], parameter, first, rows, count, values, sums, false);
    }
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        sums[i] /= (double)(source->count + 1);
    }
    if (status == MT_OK) {
        mt_convert_reals(MT_F64, sums, dtype, values, count);
    }
    free(sums);
    return status;
}

static void close_mean(mt_source *base)
{
    mean_source *source = (mean_source *)base;
    mt_source_close(source->file.source);
    free(source);
}

/* Labels stand for the same, as far as both files tell. */
static mt_status check_tokens(const mt_weights *weights, const mt_weights *first)
{
    const mt_token_list *a = weights->tokens, *b = first->tokens;
    for (int32_t i = 0; a != NULL && b != NULL && i < a->count && i < b->count; i++) {
        if (strcmp(a->tokens[i], b->tokens[i]) != 0) {
            return mt_fail(MT_ERROR_INVALID, "%s: label %" PRId32 " is %s, in %s it is %s",
                           weights->file->path, i, a->tokens[i], first->file->path, b->tokens[i]);
        }
    }
    return MT_OK;
}

static mt_status check_alike(const mt_weights *weights, const mt_weights *first)
{
    if (weights == NULL) {
        return mt_fail_null("mt_weights_average");
    }
    mt_status status = mt_weights_check_whole(weights, "a mean");
    if (status == MT_OK) {
        status = mt_weights_check_config(weights, &first->config);
    }
    if (status == MT_OK) {
        status = mt_weights_check_fit(weights, first->parameters);
    }
    if (status == MT_OK) {
        status = check_tokens(weights, first);
    }
    return status == MT_OK
               ? MT_OK
               : mt_fail(status, "%s (the model is %s)", mt_error_message(), first->file->path);
}

mt_status mt_weights_average(mt_weights *weights, int count, mt_weights *const *others)
{
    if (weights == NULL || (count > 0 && others == NULL)) {
        return mt_fail_null(__func__);
    }
    if (count < 0) {
        return mt_fail(MT_ERROR_INVALID, "a mean of %d others", count);
    }
    mean_source *source = calloc(1, sizeof *source + (size_t)count * sizeof *source->others);
    mt_status status =
        source != NULL ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for a mean of %d", count + 1);
    for (int i = 0; i < count && status == MT_OK; i++) {
        status = check_alike(others[i], weights);
        source->others[i] = others[i];
    }
    if (status != MT_OK) {
        free(source);
        return status;
    }
    source->base = (mt_source){.read = read_mean, .close = close_mean};
    source->count = count;
    source->first = *weights;
    source->file = *weights->file;
    source->first.file = &source->file;
    weights->file->source = &source->base;
    return MT_OK;
}

/* ---- the difference ---- */

/* Rows of one file's parameter, against the other's. */
typedef struct compared {
    const mt_weights *other;
    const mt_parameter *parameter; /* of the other */
    mt_dtype dtype;
    int64_t width;
    void *values; /* of the other's rows */
    mt_difference *found;
} compared;

static mt_status compare_rows(void *context, int64_t first, int64_t rows, const void *values)
{
    const compared *with = context;
    mt_difference *found = with->found;
    mt_status status = mt_weights_read(with->other, with->parameter, first, rows, with->values);
    for (int64_t i = 0; i < rows * with->width && status == MT_OK; i++) {
        double own = mt_real_at(with->dtype, values, i);
        double distance = fabs(own - mt_real_at(with->other->dtype, with->values, i));
        found->unequal += distance > 0.0;
        found->mean += distance;
        if (distance > found->largest) {
            found->largest = distance;
            found->at = first * with->width + i;
        }
    }
    return status;
}

static mt_status compare_values(const mt_weights *a, const mt_weights *b, const mt_parameter *in_a,
                                const mt_parameter *in_b, mt_difference *found)
{
    mt_array array = mt_weights_array(a, in_a);
    int64_t rows = mt_array_rows(&array), width = mt_array_width(&array);
    size_t row_bytes = (size_t)width * mt_dtype_size(a->dtype);
    size_t other_bytes = (size_t)width * mt_dtype_size(b->dtype);
    compared with = {.other = b,
                     .parameter = in_b,
                     .dtype = a->dtype,
                     .width = width,
                     .values =
                         malloc((size_t)mt_piece_rows(rows, (int64_t)row_bytes) * other_bytes),
                     .found = found};
    mt_status status = with.values != NULL
                           ? mt_array_visit(&array, compare_rows, &with)
                           : mt_fail(MT_ERROR_MEMORY, "%s: no memory to compare it", in_a->name);
    free(with.values);
    found->mean /= (double)(rows * width);
    return status;
}

mt_status mt_weights_compare(const mt_weights *a, const mt_weights *b, mt_see_difference see,
                             void *context)
{
    if (a == NULL || b == NULL || see == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_weights_check_whole(a, "a comparison");
    if (status == MT_OK) {
        status = mt_weights_check_whole(b, "a comparison");
    }
    for (int i = 0; i < a->parameters->count && status == MT_OK; i++) {
        const mt_parameter *in_a = a->parameters->items[i];
        const mt_parameter *in_b = mt_parameters_find(b->parameters, in_a->name);
        mt_difference found = {
            .name = in_a->name, .a = &in_a->tensor, .b = in_b != NULL ? &in_b->tensor : NULL};
        if (in_b != NULL && mt_tensor_same_shape(found.a, found.b)) {
            status = compare_values(a, b, in_a, in_b, &found);
        }
        status = status == MT_OK ? see(context, &found) : status;
    }
    for (int i = 0; i < b->parameters->count && status == MT_OK; i++) {
        const mt_parameter *in_b = b->parameters->items[i];
        if (mt_parameters_find(a->parameters, in_b->name) == NULL) {
            const mt_difference found = {.name = in_b->name, .b = &in_b->tensor};
            status = see(context, &found);
        }
    }
    return status;
}
