#include "train/data_files.h"

#include "io/input.h"
#include "train/data_sum.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void data_files_free(data_files *files)
{
    for (int64_t i = 0; i < files->count; i++) {
        free(files->files[i].bytes);
    }
    free(files->files);
    file_list_clear(&files->names);
    *files = (data_files){.count = 0};
}

static mt_status read_all(data_files *files)
{
    size_t most = mt_input_most();
    data_sum sum = data_sum_begin();
    mt_status status = MT_OK;
    for (int64_t i = 0; i < files->names.count && status == MT_OK; i++) {
        mt_file_bytes *file = &files->files[files->count++];
        file->name = files->names.names[i];
        if (strcmp(file->name, DATA_FROM_PIPE) == 0) {
            return mt_fail(MT_ERROR_INVALID, "the run's data came through a pipe and is gone: name "
                                             "it again (--data, --valid-data)");
        }
        if (i > 0) {
            data_sum_next_file(&sum);
        }
        status = mt_input_read(file->name, most, &file->bytes, &file->size);
        most -= file->size < most ? file->size : most;
        data_sum_add(&sum, file->bytes, file->size);
    }
    data_sum_text(&sum, files->digest);
    return status;
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
    return read_all(files);
}
