/* .safetensors files, read. */
#include "io/safetensors.h"

#include "io/file_kind.h"
#include "io/json_file.h"
#include "io/number_types.h"
#include "io/weights_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The format allows headers of 100 MB. As JSON in memory they take twenty times that, and the
 * largest models' are below 1 MB. */
enum { MOST_HEADER = 16 << 20 };

typedef struct safetensors_file {
    mt_source base;
    char path[PATH_MAX];
    int file;
    json_t *header;
    size_t data_start, data_size;
} safetensors_file;

/* A tensor of the header: its type, and its place in the data. */
typedef struct stored_tensor {
    const mt_number_type *type;
    size_t begin;
} stored_tensor;

static mt_status read_shape(const safetensors_file *file, const json_t *dimensions, mt_array *array)
{
    size_t rank = json_array_size(dimensions);
    int64_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *dimension = json_array_get(dimensions, i);
        int64_t length = json_is_integer(dimension) ? json_integer_value(dimension) : -1;
        if (i >= MT_MAX_RANK || length < 1 || count > INT64_MAX / 16 / length) {
            return mt_fail(MT_ERROR_FORMAT, "%s: %.128s: dimension %zu is %lld", file->path,
                           array->name, i, (long long)length);
        }
        array->shape[i] = length;
        count *= length;
    }
    array->rank = (int)rank;
    return MT_OK;
}

/* Finds where a tensor's bytes begin and end in the data. */
static mt_status read_offsets(const safetensors_file *file, const char *name, const json_t *entry,
                              json_int_t *begin, json_int_t *end)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *second = json_array_get(offsets, 1);
    *begin = json_integer_value(first);
    *end = json_integer_value(second);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second)) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %.128s: no data_offsets, which are two integers",
                       file->path, name);
    }
    return *begin >= 0 && *end >= *begin && (size_t)*end <= file->data_size
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: %.128s: bytes %lld to %lld of %zu", file->path, name,
                         (long long)*begin, (long long)*end, file->data_size);
}

static mt_status find_tensor(const safetensors_file *file, mt_array *array, stored_tensor *stored)
{
    const json_t *entry = json_object_get(file->header, array->name);
    const char *type_name = json_string_value(json_object_get(entry, "dtype"));
    const json_t *dimensions = json_object_get(entry, "shape");
    if (type_name == NULL || !json_is_array(dimensions)) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %.128s: no dtype, or no shape", file->path,
                       array->name);
    }
    stored->type = mt_number_type_named(type_name);
    if (stored->type == NULL) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %.128s: type %.16s, none of F32, F64, F16, BF16",
                       file->path, array->name, type_name);
    }
    mt_status status = read_shape(file, dimensions, array);
    if (status != MT_OK) {
        return status;
    }
    array->dtype = stored->type->dtype;
    json_int_t begin = 0, end = 0;
    int64_t count = mt_array_count(array);
    status = read_offsets(file, array->name, entry, &begin, &end);
    if (status == MT_OK && (size_t)(end - begin) != (size_t)count * stored->type->size) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: %.128s: bytes %lld to %lld for %lld numbers of %s",
                         file->path, array->name, (long long)begin, (long long)end,
                         (long long)count, type_name);
    }
    stored->begin = file->data_start + (size_t)begin;
    return status;
}

typedef struct extent {
    json_int_t begin, end;
    const char *name;
} extent;

/* An empty tensor stands before the one that begins where it does. */
static int compare_extents(const void *a, const void *b)
{
    const extent *left = a, *right = b;
    return left->begin != right->begin ? (left->begin > right->begin) - (left->begin < right->begin)
                                       : (left->end > right->end) - (left->end < right->end);
}

/* The tensors lie one behind the other and fill the data. */
static mt_status check_extents(const safetensors_file *file)
{
    size_t count = 0;
    const char *name;
    json_t *entry;
    extent *extents = calloc(json_object_size(file->header) + 1, sizeof *extents);
    if (extents == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu tensors", file->path,
                       json_object_size(file->header));
    }
    mt_status status = MT_OK;
    json_object_foreach(file->header, name, entry)
    {
        if (status == MT_OK && strcmp(name, MT_SAFETENSORS_METADATA) != 0) {
            extents[count].name = name;
            status = read_offsets(file, name, entry, &extents[count].begin, &extents[count].end);
            count++;
        }
    }
    qsort(extents, count, sizeof *extents, compare_extents);
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

static mt_status list(mt_source *base, mt_arrays *arrays)
{
    const safetensors_file *file = (safetensors_file *)base;
    const char *name;
    json_t *entry;
    mt_status status = MT_OK;
    json_object_foreach(file->header, name, entry)
    {
        if (status == MT_OK && strcmp(name, MT_SAFETENSORS_METADATA) != 0) {
            status = mt_arrays_add_name(arrays, name);
        }
    }
    return status;
}

static mt_status inspect(mt_source *base, mt_array *array)
{
    stored_tensor stored;
    return find_tensor((safetensors_file *)base, array, &stored);
}

/* The bytes from `at` on. */
static mt_status read_bytes(const safetensors_file *file, size_t at, size_t size, char *bytes)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(file->file, bytes + done, size - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return mt_fail(MT_ERROR_IO, "%s: %s at byte %zu", file->path,
                           got < 0 ? strerror(errno) : "the file ends", at + done);
        }
        done += (size_t)got;
    }
    return MT_OK;
}

/* The values are read as the file has them to the end of the memory that they fill when they are
 * widened. */
static mt_status read_rows(mt_source *base, const char *name, mt_dtype dtype, int64_t first,
                           int64_t rows, size_t room, void *values)
{
    (void)room; /* the header cannot change */
    const safetensors_file *file = (safetensors_file *)base;
    mt_array array = {.name = (char *)(uintptr_t)name};
    stored_tensor stored;
    mt_status status = find_tensor(file, &array, &stored);
    if (status != MT_OK) {
        return status;
    }
    int64_t width = mt_array_width(&array), count = rows * width;
    size_t size = stored.type->size;
    char *bytes = (char *)values + (size_t)count * (mt_dtype_size(array.dtype) - size);
    status = read_bytes(file, stored.begin + (size_t)(first * width) * size, (size_t)count * size,
                        bytes);
    if (status == MT_OK) {
        stored.type->widen(bytes, count, values);
    }
    if (status == MT_OK && dtype != array.dtype) {
        mt_reals_widen(array.dtype, count, values);
    }
    return status;
}

static void close_file(mt_source *base)
{
    safetensors_file *file = (safetensors_file *)base;
    json_decref(file->header);
    close(file->file);
    free(file);
}

static const char *text_of(mt_source *base, const char *name)
{
    const json_t *header = ((safetensors_file *)base)->header;
    const json_t *metadata = json_object_get(header, MT_SAFETENSORS_METADATA);
    return json_string_value(json_object_get(metadata, name));
}

/* The format's metadata are an object of texts, where there are any. */
static mt_status check_metadata(const safetensors_file *file)
{
    const char *name;
    json_t *value, *metadata = json_object_get(file->header, MT_SAFETENSORS_METADATA);
    if (metadata != NULL && !json_is_null(metadata) && !json_is_object(metadata)) {
        return mt_fail(MT_ERROR_FORMAT, "%s: " MT_SAFETENSORS_METADATA " is no object", file->path);
    }
    json_object_foreach(metadata, name, value)
    {
        if (!json_is_string(value)) {
            return mt_fail(MT_ERROR_FORMAT, "%s: " MT_SAFETENSORS_METADATA ": %.128s is no text",
                           file->path, name);
        }
    }
    return MT_OK;
}

static mt_status parse_header(safetensors_file *file, const char *text, size_t length)
{
    mt_status status = mt_json_object(file->path, "the header is", text, length, &file->header);
    if (status == MT_OK) {
        status = check_metadata(file);
    }
    return status == MT_OK ? check_extents(file) : status;
}

static mt_status read_header(safetensors_file *file, size_t size)
{
    unsigned char bytes[MT_SAFETENSORS_LENGTH] = {0};
    uint64_t length = 0;
    mt_status status = size >= MT_SAFETENSORS_LENGTH
                           ? read_bytes(file, 0, MT_SAFETENSORS_LENGTH, (char *)bytes)
                           : MT_OK;
    for (int i = 0; i < MT_SAFETENSORS_LENGTH; i++) {
        length |= (uint64_t)bytes[i] << (8 * i);
    }
    if (status == MT_OK && length > MOST_HEADER) {
        status =
            mt_fail(MT_ERROR_FORMAT, "%s: a header of %llu bytes, of which there are at most %llu",
                    file->path, (unsigned long long)length, (unsigned long long)MOST_HEADER);
    }
    if (status == MT_OK &&
        (size < MT_SAFETENSORS_LENGTH || length > size - MT_SAFETENSORS_LENGTH)) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: a header of %llu bytes in a file of %zu", file->path,
                         (unsigned long long)length, size);
    }
    char *text = status == MT_OK ? malloc((size_t)length + 1) : NULL;
    if (status == MT_OK && text == NULL) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: no memory for a header of %llu bytes", file->path,
                         (unsigned long long)length);
    }
    if (status == MT_OK) {
        status = read_bytes(file, MT_SAFETENSORS_LENGTH, (size_t)length, text);
    }
    if (status == MT_OK) {
        file->data_start = MT_SAFETENSORS_LENGTH + (size_t)length;
        file->data_size = size - file->data_start;
        status = parse_header(file, text, (size_t)length);
    }
    free(text);
    return status;
}

/* A file whose header does not begin as a JSON object does may be known by its first bytes. */
static mt_status check_kind(const safetensors_file *file)
{
    char bytes[MT_SAFETENSORS_LENGTH + 1] = {0};
    bool begins_object = pread(file->file, bytes, sizeof bytes, 0) == sizeof bytes &&
                         bytes[MT_SAFETENSORS_LENGTH] == '{';
    return begins_object ? MT_OK : mt_file_check_kind(file->path, "a .safetensors file");
}

static mt_status open_file(const char *path, safetensors_file *file)
{
    struct stat info;
    /* A pipe is refused, not waited for. */
    file->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->file < 0 || fstat(file->file, &info) != 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return mt_fail(MT_ERROR_IO, "%s: not a regular file", path);
    }
    mt_status status = check_kind(file);
    return status == MT_OK ? read_header(file, (size_t)info.st_size) : status;
}

mt_status mt_safetensors_source(const char *path, mt_source **source)
{
    safetensors_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *file);
    }
    file->base = (mt_source){list, inspect, read_rows, close_file, text_of};
    snprintf(file->path, sizeof file->path, "%s", path);
    mt_status status = open_file(path, file);
    if (status != MT_OK) {
        close_file(&file->base);
        return status;
    }
    *source = &file->base;
    return MT_OK;
}
