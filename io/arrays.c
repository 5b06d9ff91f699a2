#include "io/arrays.h"

#include "io/archive.h"
#include "io/file.h"
#include "io/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of a shape, or 0 if they cannot be counted. */
static size_t bytes_of(mt_dtype dtype, int rank, const int64_t *shape)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 1 || count > INT64_MAX / 16 / shape[i]) {
            return 0;
        }
        count *= shape[i];
    }
    return (size_t)count * mt_dtype_size(dtype);
}

static mt_status make_room(mt_arrays *arrays)
{
    if (arrays->count < arrays->capacity) {
        return MT_OK;
    }
    int64_t capacity = arrays->capacity > 0 ? 2 * arrays->capacity : 64;
    mt_array *items = realloc(arrays->items, (size_t)capacity * sizeof *items);
    if (items == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "weights: no memory for %lld arrays", (long long)capacity);
    }
    arrays->items = items;
    arrays->capacity = capacity;
    return MT_OK;
}

mt_status mt_arrays_add_name(mt_arrays *arrays, const char *name)
{
    mt_status status = make_room(arrays);
    if (status != MT_OK) {
        return status;
    }
    mt_array array = {.name = strdup(name)};
    if (array.name == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", name);
    }
    arrays->items[arrays->count++] = array;
    return MT_OK;
}

mt_status mt_array_allocate(mt_array *array, mt_dtype dtype, int rank, const int64_t *shape)
{
    size_t bytes = rank >= 0 && rank <= MT_MAX_RANK ? bytes_of(dtype, rank, shape) : 0;
    if (bytes == 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: rank %d, or a dimension, that no weight has",
                       array->name, rank);
    }
    array->data = malloc(bytes);
    if (array->data == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", array->name, bytes);
    }
    array->dtype = dtype;
    array->rank = rank;
    memcpy(array->shape, shape, (size_t)rank * sizeof *shape);
    return MT_OK;
}

void mt_arrays_remove(mt_arrays *arrays, int64_t i)
{
    mt_array *array = &arrays->items[i];
    free(array->name);
    free(array->data);
    arrays->count--;
    memmove(array, array + 1, (size_t)(arrays->count - i) * sizeof *array);
}

mt_status mt_arrays_add(mt_arrays *arrays, const char *name, mt_dtype dtype, int rank,
                        const int64_t *shape, void **data)
{
    mt_status status = mt_arrays_add_name(arrays, name);
    if (status != MT_OK) {
        return status;
    }
    mt_array *array = &arrays->items[arrays->count - 1];
    status = mt_array_allocate(array, dtype, rank, shape);
    *data = array->data;
    if (status != MT_OK) {
        mt_arrays_remove(arrays, arrays->count - 1);
    }
    return status;
}

const mt_array *mt_arrays_find(const mt_arrays *arrays, const char *name)
{
    for (int64_t i = 0; i < arrays->count; i++) {
        if (strcmp(arrays->items[i].name, name) == 0) {
            return &arrays->items[i];
        }
    }
    return NULL;
}

void mt_arrays_free(mt_arrays *arrays)
{
    for (int64_t i = 0; i < arrays->count; i++) {
        free(arrays->items[i].name);
        free(arrays->items[i].data);
    }
    free(arrays->items);
    *arrays = (mt_arrays){0};
}

void mt_convert_reals(mt_dtype from_type, const void *from, mt_dtype to_type, void *to, int64_t n)
{
    if (from_type == to_type) {
        memcpy(to, from, (size_t)n * mt_dtype_size(to_type));
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (to_type == MT_F64) {
            ((double *)to)[i] = (double)((const float *)from)[i];
        } else {
            ((float *)to)[i] = (float)((const double *)from)[i];
        }
    }
}

int64_t mt_first_not_finite(mt_dtype dtype, const void *reals, int64_t n, double *value)
{
    for (int64_t i = 0; i < n; i++) {
        *value = dtype == MT_F64 ? ((const double *)reals)[i] : (double)((const float *)reals)[i];
        if (!isfinite(*value)) {
            return i;
        }
    }
    return -1;
}

mt_status mt_array_check(const mt_array *array, const char *path, const mt_tensor *tensor)
{
    mt_tensor as_found = {.rank = array->rank};
    char found[96], expected[96];
    memcpy(as_found.shape, array->shape, sizeof as_found.shape);
    if (!mt_tensor_same_shape(&as_found, tensor)) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %s: shape %s, expected %s", path, array->name,
                       mt_tensor_shape_text(&as_found, found, sizeof found),
                       mt_tensor_shape_text(tensor, expected, sizeof expected));
    }
    double value;
    int64_t i = mt_first_not_finite(array->dtype, array->data, mt_tensor_count(tensor), &value);
    return i < 0 ? MT_OK
                 : mt_fail(MT_ERROR_FORMAT, "%s: %s: element %lld is %g", path, array->name,
                           (long long)i, value);
}

mt_status mt_tensor_write_reals(mt_tensor *tensor, mt_dtype dtype, const void *values)
{
    void *converted = malloc(mt_tensor_bytes(tensor));
    if (converted == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes", mt_tensor_bytes(tensor));
    }
    mt_convert_reals(dtype, values, tensor->dtype, converted, mt_tensor_count(tensor));
    mt_status status = mt_tensor_write(tensor, converted);
    free(converted);
    return status;
}

static mt_status add_name(mt_archive *archive, const char *name, void *arrays)
{
    (void)archive;
    return mt_arrays_add_name(arrays, name);
}

static mt_status read_array(mt_archive *archive, mt_array *array)
{
    mt_dtype dtype;
    int rank;
    int64_t shape[MT_MAX_RANK];
    mt_status status = mt_archive_inspect_array(archive, "/", array->name, &dtype, &rank, shape);
    if (status == MT_OK && dtype == MT_I32) {
        status = mt_archive_fail(archive, array->name, "integers are no weights");
    }
    if (status == MT_OK) {
        status = mt_array_allocate(array, dtype, rank, shape);
    }
    return status == MT_OK
               ? mt_archive_read_array(archive, "/", array->name, dtype, rank, shape, array->data)
               : status;
}

mt_status mt_arrays_read(const char *path, mt_arrays_choose *choose, void *context,
                         mt_arrays *arrays)
{
    mt_archive *archive;
    *arrays = (mt_arrays){0};
    if (mt_is_safetensors(path)) {
        return mt_safetensors_read(path, choose, context, arrays);
    }
    mt_status status = mt_archive_open(path, &archive);
    if (status != MT_OK) {
        return status;
    }
    status = mt_archive_visit(archive, "/", add_name, arrays);
    if (status == MT_OK && choose != NULL) {
        status = choose(arrays, context);
    }
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        status = read_array(archive, &arrays->items[i]);
    }
    mt_archive_close(archive);
    if (status != MT_OK) {
        mt_arrays_free(arrays);
    }
    return status;
}

mt_status mt_arrays_write(const char *path, const mt_arrays *arrays)
{
    mt_archive *archive;
    if (mt_is_safetensors(path)) {
        return mt_safetensors_write(path, arrays);
    }
    mt_status status = mt_archive_create(path, &archive);
    if (status != MT_OK) {
        return status;
    }
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        const mt_array *array = &arrays->items[i];
        status = mt_archive_write_array(archive, "/", array->name, array->dtype, array->rank,
                                        array->shape, array->data);
    }
    if (status == MT_OK) {
        status = mt_archive_commit(archive);
    }
    mt_archive_close(archive);
    return status;
}
