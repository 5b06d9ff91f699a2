/* A run's folder: config.yaml, train.log, metrics.csv, checkpoint.h5, best.h5. */
#ifndef MT_TRAIN_RUN_FOLDER_H
#define MT_TRAIN_RUN_FOLDER_H

#include <mixtape/error.h>

#include "train/metrics.h"
#include "train/run_config.h"

#include <stdio.h>
#include <sys/types.h>

typedef struct run_folder {
    char path[TEXT_MAX - 32]; /* leaves room for the files' names */
    dev_t device;             /* the folder itself, whatever its path leads to later */
    ino_t number;
    FILE *log;
    metrics_file metrics;
} run_folder;

/* Makes the folder of a new run, `out` or the first free runs/TASK-N, and its files. A folder that
 * holds a run's models, or in which another process trains, is refused. Closed even after a
 * failure. */
mt_status run_folder_create(const char *out, const char *task, const char *config_text,
                            run_folder *folder);

/* Takes the folder of a run that is to go on, before its checkpoint is read: refused while another
 * process trains there, and where there is no checkpoint. On failure nothing stays open. */
mt_status run_folder_lock(const char *path, run_folder *folder);

/* Names the folder that another process has locked, to read from it. */
mt_status run_folder_name(const char *path, run_folder *folder);

/* Opens the files of that run, which goes on after `step`: later rows of metrics.csv are dropped,
 * and config.yaml is written anew, unless the text is NULL. */
mt_status run_folder_resume(run_folder *folder, int64_t step, const char *config_text);

/* MT_ERROR_IO, where the path leads to another folder by now than to the run's, which was moved: to
 * be asked before a file is written there. A path that leads nowhere is told by whoever writes. */
mt_status run_folder_check(const run_folder *folder);

void run_folder_close(run_folder *folder);

/* "FOLDER/NAME" in `path`. */
const char *run_folder_file(const run_folder *folder, const char *name, char path[TEXT_MAX]);

#endif
