/* metrics.csv: a row for each step that is logged. Rows that cannot be written, since the disk is
 * full, wait in memory until they can. */
#ifndef MT_TRAIN_METRICS_H
#define MT_TRAIN_METRICS_H

#include <mixtape/error.h>

#include <stddef.h>
#include <stdint.h>

/* One logged step; NaN leaves a field empty. */
typedef struct metrics_row {
    int64_t step;
    double loss, accuracy, val_loss, val_accuracy, lr, grad_norm, tokens_per_s, seconds;
    int64_t spikes, skipped; /* steps of the run so far */
} metrics_row;

/* An open file; all zeros: none. */
typedef struct metrics_file {
    char *path; /* NULL: none is open */
    int file;
    int64_t length;   /* of the rows that were written */
    char *waiting;    /* the rows that were not, */
    size_t size;      /* and their bytes */
    metrics_row last; /* the last row that was there when it was opened; step 0: none */
} metrics_file;

/* Opens the file of a run that goes on after `step`, or begins: what is there is kept up to the row
 * of that step, and rows of an older version get empty fields for what they lack. Closed even after
 * a failure. */
mt_status metrics_open(metrics_file *metrics, const char *path, int64_t step);
void metrics_close(metrics_file *metrics);

/* Writes another row in the place of the last that was there when the file was opened, before any
 * is added: a validation that was interrupted had left it without a loss. */
mt_status metrics_replace_last(metrics_file *metrics, const metrics_row *row);

/* Reads the rows of a file, which another process may be adding to, into memory that the caller
 * frees; NULL after a failure. MT_ERROR_IO, or MT_ERROR_FORMAT for what has no such rows. */
mt_status metrics_read(const char *path, metrics_row **rows, int64_t *count);

/* Adds a row. MT_ERROR_IO with the reason where it has to wait: the next one tries again. */
mt_status metrics_add(metrics_file *metrics, const metrics_row *row);

/* Writes the rows that wait, and waits until all have reached the disk. */
mt_status metrics_flush(metrics_file *metrics);

#endif
