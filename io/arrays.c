#include "io/arrays.h"

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

mt_status mt_arrays_add(mt_arrays *arrays, const char *name, mt_dtype dtype, int rank,
                        const int64_t *shape, void **data)
{
    size_t bytes = rank >= 0 && rank <= MT_MAX_RANK ? bytes_of(dtype, rank, shape) : 0;
    if (bytes == 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: rank %d, or a dimension, that no weight has", name,
                       rank);
    }
    mt_status status = make_room(arrays);
    if (status != MT_OK) {
        return status;
    }
    mt_array array = {.name = strdup(name), .dtype = dtype, .rank = rank, .data = malloc(bytes)};
    if (array.name == NULL || array.data == NULL) {
        free(array.name);
        free(array.data);
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", name, bytes);
    }
    memcpy(array.shape, shape, (size_t)rank * sizeof *shape);
    arrays->items[arrays->count++] = array;
    *data = array.data;
    return MT_OK;
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
