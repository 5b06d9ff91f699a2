#include "train/metrics.h"

#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char header[] =
    "step,loss,accuracy,val_loss,val_accuracy,lr,grad_norm,tokens_per_s,seconds\n";

static mt_status fail(const metrics_file *metrics, int error)
{
    return mt_fail(MT_ERROR_IO, "%s: %s", metrics->path, strerror(error));
}

/* The bytes that belong to the steps up to `step`. */
static size_t length_up_to(const char *text, int64_t step)
{
    const char *line = strchr(text, '\n');
    while (line != NULL && line[1] != '\0') {
        const char *end = strchr(line + 1, '\n');
        if (end == NULL || strtoll(line + 1, NULL, 10) > step) {
            break;
        }
        line = end;
    }
    return line != NULL ? (size_t)(line - text) + 1 : 0;
}

/* Puts the file in place as it is to go on. */
static mt_status begin_file(metrics_file *metrics, int64_t step)
{
    char *text = NULL;
    size_t size, kept = 0;
    mt_status status = MT_OK;
    if (access(metrics->path, F_OK) == 0) {
        status = mt_file_read(metrics->path, &text, &size);
        kept = status == MT_OK ? length_up_to(text, step) : 0;
    }
    if (status == MT_OK) {
        metrics->length = (int64_t)(kept > 0 ? kept : strlen(header));
        status = mt_file_replace(metrics->path, kept > 0 ? text : header, (size_t)metrics->length);
    }
    free(text);
    return status;
}

mt_status metrics_open(metrics_file *metrics, const char *path, int64_t step)
{
    *metrics = (metrics_file){.file = -1, .path = strdup(path)};
    if (metrics->path == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", path);
    }
    mt_status status = begin_file(metrics, step);
    if (status == MT_OK) {
        metrics->file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        status = metrics->file >= 0 ? MT_OK : fail(metrics, errno);
    }
    return status;
}

void metrics_close(metrics_file *metrics)
{
    if (metrics->path != NULL && metrics->file >= 0) {
        close(metrics->file);
    }
    free(metrics->path);
    free(metrics->waiting);
    *metrics = (metrics_file){NULL};
}

/* A row that a full disk cuts short is taken back. */
static mt_status write_waiting(metrics_file *metrics)
{
    mt_status status = mt_file_write(metrics->file, metrics->path, metrics->waiting, metrics->size);
    if (status == MT_OK) {
        metrics->length += (int64_t)metrics->size;
        metrics->size = 0;
    } else if (ftruncate(metrics->file, metrics->length) != 0) {
        status = fail(metrics, errno);
    }
    return status;
}

enum { ROW_MAX = 512 };

/* Returns the row's length. */
static size_t format_row(const metrics_row *row, char text[ROW_MAX])
{
    const double fields[] = {row->loss, row->accuracy,  row->val_loss,     row->val_accuracy,
                             row->lr,   row->grad_norm, row->tokens_per_s, row->seconds};
    int used = snprintf(text, ROW_MAX, "%" PRId64, row->step);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        size_t left = ROW_MAX - (size_t)used;
        used += isnan(fields[i]) ? snprintf(text + used, left, ",")
                                 : snprintf(text + used, left, ",%.9g", fields[i]);
    }
    used += snprintf(text + used, ROW_MAX - (size_t)used, "\n");
    return (size_t)used;
}

/* Adds the row's text to what waits. */
static mt_status append_row(metrics_file *metrics, const metrics_row *row)
{
    char *grown = realloc(metrics->waiting, metrics->size + ROW_MAX);
    if (grown == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for a row", metrics->path);
    }
    metrics->waiting = grown;
    metrics->size += format_row(row, grown + metrics->size);
    return MT_OK;
}

mt_status metrics_add(metrics_file *metrics, const metrics_row *row)
{
    mt_status status = append_row(metrics, row);
    return status == MT_OK ? write_waiting(metrics) : status;
}

mt_status metrics_flush(metrics_file *metrics)
{
    mt_status status = write_waiting(metrics);
    return status == MT_OK ? mt_file_flush(metrics->file, metrics->path) : status;
}
