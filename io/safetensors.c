/* The format (github.com/huggingface/safetensors): eight bytes with the length of a
 * JSON header, the header, which gives each tensor's type, shape and place, and the data, which the
 * tensors fill without gap or overlap. Numbers are little-endian. */
#include "io/safetensors.h"

#include "io/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, HEADER_ALIGNMENT = 8 };

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float widen_bf16(uint16_t half)
{
    return float_of_bits((uint32_t)half << 16);
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
static float widen_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = half >> 10 & 31,
             fraction = half & 1023u;
    if (exponent == 31) { /* infinite, or not a number */
        return float_of_bits(sign | 0x7F800000u | fraction << 13);
    }
    if (exponent > 0) {
        return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    }
    float value = (float)fraction / 16777216.0f; /* subnormal: fraction times 2^-24 */
    return sign != 0 ? -value : value;
}

static void copy_f32(const char *from, int64_t count, void *to)
{
    memcpy(to, from, (size_t)count * sizeof(float));
}

static void copy_f64(const char *from, int64_t count, void *to)
{
    memcpy(to, from, (size_t)count * sizeof(double));
}

static void copy_f16(const char *from, int64_t count, void *to)
{
    for (int64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        ((float *)to)[i] = widen_f16(half);
    }
}

static void copy_bf16(const char *from, int64_t count, void *to)
{
    for (int64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        ((float *)to)[i] = widen_bf16(half);
    }
}

/* The types that weights come in. */
static const struct {
    const char *name;
    size_t size;
    mt_dtype dtype;
    void (*copy)(const char *from, int64_t count, void *to);
} types[] = {
    {"F32", 4, MT_F32, copy_f32},
    {"F64", 8, MT_F64, copy_f64},
    {"F16", 2, MT_F32, copy_f16},
    {"BF16", 2, MT_F32, copy_bf16},
};
enum { TYPES = sizeof types / sizeof *types };

/* A file at work. `claimed` counts the bytes of data that tensors lie in: together with the check
 * that no two overlap, it tells whether all are accounted for. */
typedef struct safetensors_file {
    const char *path, *data;
    size_t data_size, claimed;
} safetensors_file;

static mt_status read_tensor(const safetensors_file *file, const json_t *entry, mt_array *array)
{
    const char *name = array->name;
    const char *type_name = json_string_value(json_object_get(entry, "dtype"));
    const json_t *dimensions = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    int64_t shape[MT_MAX_RANK], count = 1;
    int type = 0;
    if (type_name == NULL || !json_is_array(dimensions) || json_array_size(offsets) != 2) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %.128s: no dtype, shape or data_offsets", file->path,
                       name);
    }
    while (type < TYPES && strcmp(types[type].name, type_name) != 0) {
        type++;
    }
    if (type == TYPES) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %.128s: type %.16s, none of F32, F64, F16, BF16",
                       file->path, name, type_name);
    }
    size_t rank = json_array_size(dimensions);
    for (size_t i = 0; i < rank; i++) {
        const json_t *dimension = json_array_get(dimensions, i);
        int64_t length = json_is_integer(dimension) ? json_integer_value(dimension) : -1;
        if (i >= MT_MAX_RANK || length < 1 || count > INT64_MAX / 16 / length) {
            return mt_fail(MT_ERROR_FORMAT, "%s: %.128s: dimension %zu is %lld", file->path, name,
                           i, (long long)length);
        }
        shape[i] = length;
        count *= length;
    }
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    if (begin < 0 || end < begin || (size_t)end > file->data_size ||
        (size_t)(end - begin) != (size_t)count * types[type].size) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: %.128s: bytes %lld to %lld of %zu for %lld numbers of %s", file->path,
                       name, (long long)begin, (long long)end, file->data_size, (long long)count,
                       type_name);
    }
    mt_status status = mt_array_allocate(array, types[type].dtype, (int)rank, shape);
    if (status == MT_OK) {
        types[type].copy(file->data + begin, count, array->data);
    }
    return status;
}

typedef struct extent {
    json_int_t begin, end;
    const char *name;
} extent;

static int compare_extents(const void *a, const void *b)
{
    const extent *left = a, *right = b;
    return left->begin < right->begin ? -1 : left->begin > right->begin;
}

/* The tensors lie one behind the other and fill the data. */
static mt_status check_extents(const safetensors_file *file, const json_t *header)
{
    size_t count = 0;
    const char *name;
    json_t *entry;
    extent *extents = calloc(json_object_size(header) + 1, sizeof *extents);
    if (extents == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu tensors", file->path,
                       json_object_size(header));
    }
    json_object_foreach((json_t *)(uintptr_t)header, name, entry)
    {
        const json_t *offsets = json_object_get(entry, "data_offsets");
        if (strcmp(name, "__metadata__") != 0) {
            extents[count++] = (extent){json_integer_value(json_array_get(offsets, 0)),
                                        json_integer_value(json_array_get(offsets, 1)), name};
        }
    }
    qsort(extents, count, sizeof *extents, compare_extents);
    mt_status status = MT_OK;
    json_int_t at = 0;
    for (size_t i = 0; i < count && status == MT_OK; i++) {
        if (extents[i].begin != at) {
            status =
                mt_fail(MT_ERROR_FORMAT, "%s: %.128s: begins at byte %lld, not %lld", file->path,
                        extents[i].name, (long long)extents[i].begin, (long long)at);
        }
        at = extents[i].end;
    }
    if (status == MT_OK && (size_t)at != file->data_size) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: %zu bytes of data, of which tensors have %lld",
                         file->path, file->data_size, (long long)at);
    }
    free(extents);
    return status;
}

/* What is asked of a file: arrays.h. */
typedef struct safetensors_request {
    mt_arrays_choose *choose;
    void *context;
    mt_arrays *arrays;
} safetensors_request;

static mt_status read_header(const safetensors_file *file, const json_t *header,
                             const safetensors_request *request)
{
    const char *name;
    json_t *entry;
    mt_arrays *arrays = request->arrays;
    mt_status status = MT_OK;
    json_object_foreach((json_t *)(uintptr_t)header, name, entry)
    {
        if (status == MT_OK && strcmp(name, "__metadata__") != 0) {
            status = mt_arrays_add_name(arrays, name);
        }
    }
    if (status == MT_OK && request->choose != NULL) {
        status = request->choose(arrays, request->context);
    }
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        status =
            read_tensor(file, json_object_get(header, arrays->items[i].name), &arrays->items[i]);
    }
    return status == MT_OK ? check_extents(file, header) : status;
}

static mt_status read_bytes(const char *path, const char *bytes, size_t size,
                            const safetensors_request *request)
{
    uint64_t length = 0;
    for (int i = 0; size >= LENGTH_BYTES && i < LENGTH_BYTES; i++) {
        length |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    }
    if (size < LENGTH_BYTES || length > size - LENGTH_BYTES) {
        return mt_fail(MT_ERROR_FORMAT, "%s: a header of %llu bytes in a file of %zu", path,
                       (unsigned long long)length, size);
    }
    json_error_t error;
    json_t *header =
        json_loadb(bytes + LENGTH_BYTES, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(header)) {
        json_decref(header);
        return mt_fail(MT_ERROR_FORMAT, "%s: the header is no JSON object: %s", path,
                       error.text[0] != '\0' ? error.text : "another value");
    }
    safetensors_file file = {.path = path,
                             .data = bytes + LENGTH_BYTES + length,
                             .data_size = size - LENGTH_BYTES - (size_t)length};
    mt_status status = read_header(&file, header, request);
    json_decref(header);
    return status;
}

mt_status mt_safetensors_read(const char *path, mt_arrays_choose *choose, void *context,
                              mt_arrays *arrays)
{
    char *bytes;
    size_t size;
    *arrays = (mt_arrays){0};
    mt_status status = mt_file_read(path, &bytes, &size);
    if (status != MT_OK) {
        return status;
    }
    status = read_bytes(path, bytes, size, &(safetensors_request){choose, context, arrays});
    free(bytes);
    if (status != MT_OK) {
        mt_arrays_free(arrays);
    }
    return status;
}

/* ---- writing ---- */

static size_t array_bytes(const mt_array *array)
{
    size_t bytes = mt_dtype_size(array->dtype);
    for (int i = 0; i < array->rank; i++) {
        bytes *= (size_t)array->shape[i];
    }
    return bytes;
}

static json_t *make_header(const mt_arrays *arrays, size_t *data_size)
{
    json_t *header = json_object();
    json_object_set_new(header, "__metadata__", json_pack("{s:s}", "format", "pt"));
    *data_size = 0;
    for (int64_t i = 0; i < arrays->count; i++) {
        const mt_array *array = &arrays->items[i];
        json_t *shape = json_array();
        for (int d = 0; d < array->rank; d++) {
            json_array_append_new(shape, json_integer(array->shape[d]));
        }
        size_t end = *data_size + array_bytes(array);
        json_object_set_new(header, array->name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype",
                                      array->dtype == MT_F64 ? "F64" : "F32", "shape", shape,
                                      "data_offsets", (json_int_t)*data_size, (json_int_t)end));
        *data_size = end;
    }
    return header;
}

mt_status mt_safetensors_write(const char *path, const mt_arrays *arrays)
{
    size_t data_size;
    json_t *header = make_header(arrays, &data_size);
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    size_t length = text != NULL ? strlen(text) : 0;
    size_t padded = (length + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    size_t size = LENGTH_BYTES + padded + data_size;
    char *bytes = text != NULL ? malloc(size) : NULL;
    if (bytes == NULL) {
        free(text);
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, size);
    }
    for (int i = 0; i < LENGTH_BYTES; i++) {
        bytes[i] = (char)((uint64_t)padded >> (8 * i) & 255);
    }
    memcpy(bytes + LENGTH_BYTES, text, length);
    memset(bytes + LENGTH_BYTES + length, ' ', padded - length);
    char *at = bytes + LENGTH_BYTES + padded;
    for (int64_t i = 0; i < arrays->count; i++) {
        memcpy(at, arrays->items[i].data, array_bytes(&arrays->items[i]));
        at += array_bytes(&arrays->items[i]);
    }
    mt_status status = mt_file_replace(path, bytes, size);
    free(bytes);
    free(text);
    return status;
}
