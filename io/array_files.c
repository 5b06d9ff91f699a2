/* Files of arrays and nothing else. */
#include "io/file.h"
#include "io/weights_file.h"

#include <string.h>

static mt_status list_arrays(mt_weights_file *file, mt_find_tensor *find, const void *context,
                             mt_arrays *arrays)
{
    mt_status status = file->source->list(file->source, arrays);
    for (int64_t i = 0; i < arrays->count && status == MT_OK && find != NULL; i++) {
        const char *name = arrays->items[i].name;
        status = find(context, name) != NULL
                     ? MT_OK
                     : mt_fail(MT_ERROR_FORMAT, "%s: %.128s: unknown: no parameter of this part",
                               file->path, name);
    }
    return status;
}

static mt_status read_array(mt_weights_file *file, const mt_tensor *tensor, mt_array *array)
{
    mt_status status = file->source->inspect(file->source, array);
    if (status == MT_OK && tensor != NULL) {
        status = mt_array_check_shape(array, file->path, tensor);
    }
    if (status == MT_OK) {
        status = mt_array_allocate(array);
    }
    if (status == MT_OK) {
        status = file->source->read(
            file->source, array->name, array->dtype, 0, mt_array_rows(array),
            (size_t)mt_array_count(array) * mt_dtype_size(array->dtype), array->data);
    }
    return status;
}

mt_status mt_arrays_read(const char *path, mt_find_tensor *find, const void *context,
                         mt_arrays *arrays)
{
    mt_weights_file file;
    *arrays = (mt_arrays){0};
    mt_status status = mt_weights_file_open(path, &file);
    if (status != MT_OK) {
        return status;
    }
    if (file.archive != NULL) {
        status = mt_archive_source(file.archive, "/", &file.source);
    }
    if (status == MT_OK) {
        status = list_arrays(&file, find, context, arrays);
    }
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        mt_array *array = &arrays->items[i];
        status = read_array(&file, find != NULL ? find(context, array->name) : NULL, array);
    }
    mt_weights_file_close(&file);
    if (status != MT_OK) {
        mt_arrays_free(arrays);
    }
    return status;
}

static void write_array(mt_archive *archive, const char *group, const mt_array *array)
{
    int64_t first, rows;
    void *values;
    mt_archive_begin_array(archive, group, array->name, array->dtype, array->rank, array->shape);
    while ((values = mt_archive_next_rows(archive, &first, &rows)) != NULL) {
        mt_archive_keep(archive,
                        mt_array_read(array, first, rows, values, mt_archive_rows_sum(archive)));
        mt_archive_write_rows(archive);
    }
}

void mt_archive_write_arrays(mt_archive *archive, const char *group, const mt_arrays *arrays)
{
    for (int64_t i = 0; i < arrays->count && mt_archive_status(archive) == MT_OK; i++) {
        mt_array array = arrays->items[i];
        if (array.path == NULL && strcmp(group, "/") != 0) {
            array.group = group;
        }
        write_array(archive, group, &array);
    }
}

mt_status mt_arrays_write(const char *path, const mt_arrays *arrays)
{
    mt_archive *archive;
    if (mt_is_safetensors(path)) {
        return mt_safetensors_write(path, arrays, MT_STORED_AS_IS, NULL);
    }
    mt_status status = mt_archive_create(path, &archive);
    if (status == MT_OK) {
        mt_archive_write_arrays(archive, "/", arrays);
        status = mt_archive_close(archive);
    }
    return status;
}
