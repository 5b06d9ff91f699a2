/* A run's folder: config.yaml, train.log, metrics.csv, checkpoint.h5, best.h5. */
#ifndef MT_TRAIN_RUN_FOLDER_H
#define MT_TRAIN_RUN_FOLDER_H

#include "kernels/error.h"
#include "train/run_config.h"

#include <stdio.h>

typedef struct run_folder {
    char path[TEXT_MAX - 32]; /* leaves room for the files' names */
    FILE *log, *metrics;
} run_folder;

/* Makes the folder of a new run, `out` or the first free runs/TASK-N, and its files. A folder that
 * holds a run's models, or in which another process trains, is refused. */
mt_status run_folder_create(const char *out, const char *task, const char *config_text,
                            run_folder *folder);

/* Opens the folder of a run that goes on after `step`: later rows of metrics.csv are dropped, and
 * config.yaml is written anew. Refused while another process trains there. */
mt_status run_folder_resume(const char *path, int64_t step, const char *config_text,
                            run_folder *folder);

void run_folder_close(run_folder *folder);

/* "FOLDER/NAME" in `path`. */
const char *run_folder_file(const run_folder *folder, const char *name, char path[TEXT_MAX]);

/* One logged step; NaN leaves a field empty. */
typedef struct metrics_row {
    int64_t step;
    double loss, accuracy, val_loss, val_accuracy, lr, grad_norm, tokens_per_s, seconds;
} metrics_row;

mt_status run_folder_add_metrics(run_folder *folder, const metrics_row *row);

#endif
