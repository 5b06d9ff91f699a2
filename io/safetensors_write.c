/* .safetensors files, written. */
#include "io/file.h"
#include "io/number_types.h"
#include "io/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_ALIGNMENT = 8 };

static size_t array_bytes(const mt_array *array, mt_stored_type stored)
{
    return (size_t)mt_array_count(array) * mt_number_type_of(stored, array->dtype)->size;
}

/* What the header has of an array that ends at byte `end` of the data, or NULL: no memory. */
static json_t *describe_array(const mt_array *array, mt_stored_type stored, size_t end)
{
    const char *type = mt_number_type_of(stored, array->dtype)->name;
    size_t begin = end - array_bytes(array, stored);
    json_t *shape = json_array();
    bool whole = shape != NULL;
    for (int d = 0; d < array->rank && whole; d++) {
        whole = json_array_append_new(shape, json_integer(array->shape[d])) == 0;
    }
    json_t *entry = whole ? json_pack("{s:s, s:O, s:[I,I]}", "dtype", type, "shape", shape,
                                      "data_offsets", (json_int_t)begin, (json_int_t)end)
                          : NULL;
    json_decref(shape);
    return entry;
}

/* The header, or NULL: no memory. */
static json_t *make_header(const mt_arrays *arrays, mt_stored_type stored,
                           const mt_model_config *config)
{
    json_t *header = json_object();
    bool whole =
        json_object_set_new(header, MT_SAFETENSORS_METADATA, mt_safetensors_metadata(config)) == 0;
    size_t end = 0;
    for (int64_t i = 0; i < arrays->count && whole; i++) {
        const mt_array *array = &arrays->items[i];
        end += array_bytes(array, stored);
        whole = json_object_set_new(header, array->name, describe_array(array, stored, end)) == 0;
    }
    if (!whole) {
        json_decref(header);
    }
    return whole ? header : NULL;
}

/* The bytes before the data, which the caller frees: the header, and blanks behind it. jansson
 * writes the header into them, since it does not notice where a text of its own could not
 * grow. NULL: no memory. */
static char *make_bytes(const json_t *header, size_t *size)
{
    size_t length = json_dumpb(header, NULL, 0, JSON_COMPACT);
    size_t padded = (length + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    *size = MT_SAFETENSORS_LENGTH + padded;
    char *bytes = malloc(*size);
    if (bytes == NULL || length == 0 ||
        json_dumpb(header, bytes + MT_SAFETENSORS_LENGTH, padded, JSON_COMPACT) != length) {
        free(bytes);
        return NULL;
    }
    for (int i = 0; i < MT_SAFETENSORS_LENGTH; i++) {
        bytes[i] = (char)((uint64_t)padded >> (8 * i) & 255);
    }
    memset(bytes + MT_SAFETENSORS_LENGTH + length, ' ', padded - length);
    return bytes;
}

/* Rows of an array on their way into a file. */
typedef struct stored_array {
    const mt_array *array;
    const mt_number_type *type;
    mt_new_file *file;
} stored_array;

enum { NARROWED = 1 << 16 }; /* bytes at a time, which a cache has when they are appended */

static mt_status store_rows(void *context, int64_t first, int64_t rows, const void *values)
{
    const stored_array *stored = context;
    const mt_array *array = stored->array;
    const size_t size = stored->type->size, from_size = mt_dtype_size(array->dtype);
    const int64_t before = first * mt_array_width(array), count = rows * mt_array_width(array);
    const int64_t most = NARROWED / (int64_t)size;
    _Alignas(double) char narrow[NARROWED];
    mt_status status = MT_OK;
    for (int64_t i = 0; i < count && status == MT_OK; i += most) {
        const char *wide = (const char *)values + (size_t)i * from_size;
        int64_t n = count - i < most ? count - i : most;
        int64_t beyond = stored->type->narrow(array->dtype, wide, n, narrow);
        status = beyond < 0 ? mt_file_append(stored->file, narrow, (size_t)n * size)
                            : mt_fail(MT_ERROR_NUMERIC,
                                      "%s: element %" PRId64 " is %g, which %s cannot hold",
                                      array->name, before + i + beyond,
                                      mt_real_at(array->dtype, wide, beyond), stored->type->torch);
    }
    return status;
}

/* Behind what was appended before; *end becomes the file's. */
static mt_status store_arrays(const mt_arrays *arrays, mt_stored_type type, mt_new_file *file,
                              uint64_t *end)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        const mt_array *array = &arrays->items[i];
        stored_array stored = {array, mt_number_type_of(type, array->dtype), file};
        status = mt_array_visit(array, store_rows, &stored);
        *end += array_bytes(array, type);
    }
    return status;
}

static mt_status write_file(const char *path, const char *bytes, size_t size,
                            const mt_arrays *arrays, mt_stored_type stored)
{
    mt_new_file *file;
    uint64_t end = size;
    mt_status status = mt_file_begin(path, &file);
    if (status == MT_OK) {
        status = mt_file_append(file, bytes, size);
    }
    if (status == MT_OK) {
        status = store_arrays(arrays, stored, file, &end);
    }
    if (status == MT_OK) {
        status = mt_file_end(file, end);
    }
    mt_file_discard(file);
    return status;
}

mt_status mt_safetensors_write(const char *path, const mt_arrays *arrays, mt_stored_type stored,
                               const mt_model_config *config)
{
    size_t size = 0;
    json_t *header = make_header(arrays, stored, config);
    char *bytes = header != NULL ? make_bytes(header, &size) : NULL;
    json_decref(header);
    if (bytes == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for the names of %lld tensors", path,
                       (long long)arrays->count);
    }
    mt_status status = write_file(path, bytes, size, arrays, stored);
    free(bytes);
    return status;
}
