/* The files that a task reads, in memory: those that an option names, and those of the folders that
 * it names. */
#ifndef MT_TRAIN_DATA_FILES_H
#define MT_TRAIN_DATA_FILES_H

#include "io/file.h"
#include "train/run_config.h"

#include <stdint.h>

/* Stands in a run's configuration for what came through a pipe, and cannot be read again. */
#define DATA_FROM_PIPE "(pipe)"

typedef struct data_files {
    file_list names;
    int64_t count;
    mt_file_bytes *files;
    char digest[DIGEST_MAX]; /* of all the files */
} data_files;

/* Reads all of them; the caller frees them, after a failure, too, which names the file. */
mt_status data_files_read(const file_list *names, data_files *files);
void data_files_free(data_files *files);

#endif
