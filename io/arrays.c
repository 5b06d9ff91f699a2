#include "io/arrays.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static void forget_order(mt_arrays *arrays)
{
    free(arrays->sorted);
    arrays->sorted = NULL;
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
    forget_order(arrays);
    return MT_OK;
}

mt_status mt_arrays_add_like(mt_arrays *arrays, const char *name, const mt_tensor *tensor)
{
    mt_status status = mt_arrays_add_name(arrays, name);
    if (status == MT_OK) {
        mt_array_take_shape(mt_arrays_last(arrays), tensor);
    }
    return status;
}

mt_status mt_array_rename(mt_array *array, const char *name)
{
    char *copy = strdup(name);
    if (copy == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", name);
    }
    free(array->name);
    array->name = copy;
    return MT_OK;
}

void mt_arrays_filter(mt_arrays *arrays, bool (*keeps)(const void *context, const mt_array *array),
                      const void *context)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < arrays->count; i++) {
        mt_array array = arrays->items[i];
        if (keeps(context, &array)) {
            arrays->items[kept++] = array;
        } else {
            free(array.name);
            free(array.data);
        }
    }
    arrays->count = kept;
    forget_order(arrays);
}

static int compare_arrays(const void *a, const void *b)
{
    const mt_array *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

mt_status mt_arrays_sort(mt_arrays *arrays)
{
    size_t count = (size_t)arrays->count;
    forget_order(arrays);
    arrays->sorted = malloc((count + 1) * sizeof *arrays->sorted);
    if (arrays->sorted == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "weights: no memory to sort %zu names", count);
    }
    for (size_t i = 0; i < count; i++) {
        arrays->sorted[i] = &arrays->items[i];
    }
    qsort(arrays->sorted, count, sizeof *arrays->sorted, compare_arrays);
    return MT_OK;
}

static int compare_name(const void *name, const void *element)
{
    const mt_array *const *array = element;
    return strcmp(name, (*array)->name);
}

mt_array *mt_arrays_find(const mt_arrays *arrays, const char *name)
{
    if (arrays->sorted != NULL) {
        mt_array *const *found = bsearch(name, arrays->sorted, (size_t)arrays->count,
                                         sizeof *arrays->sorted, compare_name);
        return found != NULL ? *found : NULL;
    }
    for (int64_t i = 0; i < arrays->count; i++) {
        if (strcmp(arrays->items[i].name, name) == 0) {
            return &arrays->items[i];
        }
    }
    return NULL;
}

mt_array *mt_arrays_last(const mt_arrays *arrays)
{
    return &arrays->items[arrays->count - 1];
}

void mt_arrays_free(mt_arrays *arrays)
{
    for (int64_t i = 0; i < arrays->count; i++) {
        free(arrays->items[i].name);
        free(arrays->items[i].data);
    }
    free(arrays->items);
    free(arrays->sorted);
    *arrays = (mt_arrays){0};
}

bool mt_array_is_weight(const mt_array *array)
{
    int64_t count = 1;
    for (int i = 0; i < array->rank; i++) {
        if (array->shape[i] < 1 || count > INT64_MAX / 16 / array->shape[i]) {
            return false;
        }
        count *= array->shape[i];
    }
    return array->rank >= 0 && array->rank <= MT_MAX_RANK;
}

mt_status mt_array_allocate(mt_array *array)
{
    size_t bytes = (size_t)mt_array_count(array) * mt_dtype_size(array->dtype);
    array->data = malloc(bytes);
    return array->data != NULL
               ? MT_OK
               : mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", array->name, bytes);
}

void mt_array_take_shape(mt_array *array, const mt_tensor *tensor)
{
    array->dtype = tensor->dtype;
    array->rank = tensor->rank;
    memcpy(array->shape, tensor->shape, sizeof array->shape);
}

/* A tensor's header, for what is said of tensors. */
static mt_tensor header_of(const mt_array *array)
{
    mt_tensor tensor = {.dtype = array->dtype, .rank = array->rank};
    memcpy(tensor.shape, array->shape, sizeof tensor.shape);
    return tensor;
}

int64_t mt_array_count(const mt_array *array)
{
    mt_tensor tensor = header_of(array);
    return mt_tensor_count(&tensor);
}

int64_t mt_array_rows(const mt_array *array)
{
    return array->rank > 0 ? array->shape[0] : 1;
}

int64_t mt_array_width(const mt_array *array)
{
    return mt_array_count(array) / mt_array_rows(array);
}

int64_t mt_piece_rows(int64_t rows, int64_t row_bytes)
{
    int64_t most = row_bytes < MT_PIECE_BYTES ? MT_PIECE_BYTES / row_bytes : 1;
    int64_t pieces = (rows + most - 1) / most;
    return (rows + pieces - 1) / pieces;
}

double mt_real_at(mt_dtype dtype, const void *reals, int64_t i)
{
    return dtype == MT_F64 ? ((const double *)reals)[i] : (double)((const float *)reals)[i];
}

mt_status mt_array_check_shape(const mt_array *array, const char *path, const mt_tensor *tensor)
{
    mt_tensor as_found = header_of(array);
    char found[96], expected[96];
    return mt_tensor_same_shape(&as_found, tensor)
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: %s: shape %s, expected %s", path, array->name,
                         mt_tensor_shape_text(&as_found, found, sizeof found),
                         mt_tensor_shape_text(tensor, expected, sizeof expected));
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

/* Whether one of n is outside; without a branch for each, so that several are compared at once. */
static bool is_f32_outside(const float *reals, int64_t n, float least)
{
    int outside = 0;
    for (int64_t i = 0; i < n; i++) {
        outside |= !((reals[i] >= least) & (reals[i] <= FLT_MAX));
    }
    return outside != 0;
}

static bool is_f64_outside(const double *reals, int64_t n, double least)
{
    int outside = 0;
    for (int64_t i = 0; i < n; i++) {
        outside |= !((reals[i] >= least) & (reals[i] <= DBL_MAX));
    }
    return outside != 0;
}

/* The place of the first below the least or not finite. */
static int64_t first_outside(mt_dtype dtype, const void *reals, int64_t n, double least,
                             double *value)
{
    const int64_t block = 4096;
    double bound = fmax(least, dtype == MT_F64 ? -DBL_MAX : -(double)FLT_MAX);
    for (int64_t first = 0; first < n; first += block) {
        int64_t count = n - first < block ? n - first : block;
        bool outside = dtype == MT_F64
                           ? is_f64_outside((const double *)reals + first, count, bound)
                           : is_f32_outside((const float *)reals + first, count, (float)bound);
        for (int64_t i = first; outside && i < first + count; i++) {
            *value = mt_real_at(dtype, reals, i);
            if (!isfinite(*value) || *value < bound) {
                return i;
            }
        }
    }
    return -1;
}

int64_t mt_first_not_finite(mt_dtype dtype, const void *reals, int64_t n, double *value)
{
    return first_outside(dtype, reals, n, -HUGE_VAL, value);
}

int64_t mt_array_first_wrong(const mt_array *array, const void *values, int64_t n)
{
    double value;
    return first_outside(array->dtype, values, n, array->never_negative ? 0.0 : -HUGE_VAL, &value);
}

mt_status mt_array_fail_value(const mt_array *array, int64_t element, double value)
{
    const char *group = array->group != NULL ? array->group : "";
    const char *slash = group[0] != '\0' ? "/" : "";
    if (array->path == NULL) {
        return mt_fail(MT_ERROR_NUMERIC, "%s/%s: element %lld is %g, and not saved", group,
                       array->name, (long long)element, value);
    }
    return mt_fail(MT_ERROR_FORMAT, "%s: %s%s%s: element %lld is %g%s", array->path, group, slash,
                   array->source_name, (long long)element, value,
                   isnan(value) && array->may_be_missing ? ", or missing" : "");
}

mt_status mt_array_check_values(const mt_array *array, const void *values)
{
    int64_t place = mt_array_first_wrong(array, values, mt_array_count(array));
    return place < 0 ? MT_OK
                     : mt_array_fail_value(array, place, mt_real_at(array->dtype, values, place));
}
