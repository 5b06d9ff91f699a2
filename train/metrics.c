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
    "step,loss,accuracy,val_loss,val_accuracy,lr,grad_norm,tokens_per_s,seconds,spikes,skipped\n";

static mt_status fail(const metrics_file *metrics, int error)
{
    return mt_fail(MT_ERROR_IO, "%s: %s", metrics->path, strerror(error));
}

/* Writes the first line: ours, if that of the text is it or its beginning, as a former version has
 * it, else that of the text. Returns the fields that rows of the text lack. */
static int write_header(FILE *to, const char *text)
{
    size_t length = strcspn(text, "\n");
    int missing = 0;
    if (strncmp(text, header, length) != 0) {
        fprintf(to, "%.*s\n", (int)length, text);
        return 0;
    }
    for (const char *at = header + length; *at != '\0'; at++) {
        missing += *at == ',';
    }
    fputs(header, to);
    return missing;
}

/* Writes the header, and the rows of the text up to that of `step`. */
static void write_kept(FILE *to, const char *text, int64_t step)
{
    int missing = write_header(to, text);
    for (const char *row = strchr(text, '\n'); row != NULL && row[1] != '\0';) {
        const char *end = strchr(++row, '\n');
        if (end == NULL || strtoll(row, NULL, 10) > step) {
            break;
        }
        fprintf(to, "%.*s%.*s\n", (int)(end - row), row, missing, ",,,,,,,,,,");
        row = end;
    }
}

/* Puts the file in place as it is to go on. */
static mt_status begin_file(metrics_file *metrics, int64_t step)
{
    char *text = NULL, *kept = NULL;
    size_t size, kept_size;
    mt_status status =
        access(metrics->path, F_OK) == 0 ? mt_file_read(metrics->path, &text, &size) : MT_OK;
    FILE *to = status == MT_OK ? open_memstream(&kept, &kept_size) : NULL;
    if (status == MT_OK && to != NULL) {
        write_kept(to, text != NULL ? text : "", step);
    }
    if (status == MT_OK && (to == NULL || fclose(to) != 0)) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: no memory for its rows", metrics->path);
    }
    if (status == MT_OK) {
        metrics->length = (int64_t)kept_size;
        status = mt_file_replace(metrics->path, kept, kept_size);
    }
    free(text);
    free(kept);
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
    used += snprintf(text + used, ROW_MAX - (size_t)used, ",%" PRId64 ",%" PRId64 "\n", row->spikes,
                     row->skipped);
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
