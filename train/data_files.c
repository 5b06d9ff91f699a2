#include "train/data_files.h"

#include <inttypes.h>
#include <stdlib.h>

void data_files_free(data_files *files)
{
    for (int64_t i = 0; i < files->count; i++) {
        free(files->files[i].bytes);
    }
    free(files->files);
    file_list_clear(&files->names);
    *files = (data_files){.count = 0};
}

mt_status data_files_read(const file_list *names, data_files *files)
{
    *files = (data_files){.count = 0};
    mt_status status = file_list_walk(names, &files->names);
    if (status != MT_OK) {
        return status;
    }
    files->files = calloc((size_t)files->names.count + 1, sizeof *files->files);
    if (files->files == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " files", files->names.count);
    }
    for (int64_t i = 0; i < files->names.count && status == MT_OK; i++) {
        mt_file_bytes *file = &files->files[files->count++];
        file->name = files->names.names[i];
        status = mt_file_read(file->name, &file->bytes, &file->size);
    }
    return status;
}
