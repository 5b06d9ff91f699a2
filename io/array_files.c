/* Files of arrays and nothing else. */
#include "io/file.h"
#include "io/weights_file.h"

#include <stdlib.h>

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

/* Rows that are laid out and not yet read. */
typedef struct rows_to_read {
    mt_read_rows *items;
    int64_t count, room;
} rows_to_read;

static mt_status read_later(rows_to_read *later, const mt_read_rows *read)
{
    if (later->count == later->room) {
        int64_t room = 2 * later->room + 64;
        mt_read_rows *items = realloc(later->items, (size_t)room * sizeof *items);
        if (items == NULL) {
            return mt_fail(MT_ERROR_MEMORY, "no memory to write %s", read->array->name);
        }
        later->items = items;
        later->room = room;
    }
    later->items[later->count++] = *read;
    return MT_OK;
}

static void write_array(mt_archive *archive, const char *group, const mt_array *array,
                        rows_to_read *later)
{
    mt_read_rows read = {.array = array};
    mt_archive_begin_array(archive, group, array->name, array->dtype, array->rank, array->shape);
    const bool may_wait = mt_archive_keeps_rows(archive);
    while ((read.values = mt_archive_next_rows(archive, &read.first, &read.rows)) != NULL) {
        read.sum = mt_archive_rows_sum(archive);
        mt_archive_keep(
            archive, may_wait ? read_later(later, &read)
                              : mt_array_read(array, read.first, read.rows, read.values, read.sum));
        mt_archive_write_rows(archive);
    }
}

/* HDF5 lays out all of them first, where their rows may come later: to go through these takes what
 * it works with out of the caches. */
void mt_archive_write_arrays(mt_archive *archive, const char *group, const mt_arrays *arrays)
{
    rows_to_read later = {.items = NULL};
    for (int64_t i = 0; i < arrays->count && mt_archive_status(archive) == MT_OK; i++) {
        write_array(archive, group, &arrays->items[i], &later);
    }
    if (later.count > 0 && mt_archive_status(archive) == MT_OK) {
        mt_archive_keep(archive, mt_arrays_read_rows(later.items, later.count));
    }
    free(later.items);
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
