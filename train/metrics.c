#include "train/metrics.h"

#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
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

/* The fields of a row that are no whole numbers. */
enum { REALS = 8 };

static void split_reals(metrics_row *row, double *reals[REALS])
{
    double *all[REALS] = {&row->loss, &row->accuracy,  &row->val_loss,     &row->val_accuracy,
                          &row->lr,   &row->grad_norm, &row->tokens_per_s, &row->seconds};
    memcpy(reals, all, sizeof all);
}

/* Goes on to the next field of a row; returns this one, or NULL if it is blank. */
static const char *take_field(const char **at)
{
    const char *field = *at, *next = field + strcspn(field, ",\n");
    *at = next + (*next == ',');
    return field + strspn(field, " \t\r") < next ? field : NULL;
}

static int64_t take_whole(const char **at)
{
    const char *field = take_field(at);
    return field != NULL ? strtoll(field, NULL, 10) : 0;
}

static double take_real(const char **at)
{
    const char *field = take_field(at);
    return field != NULL ? strtod(field, NULL) : NAN;
}

/* The row at the beginning of a text; what it lacks is NaN, or 0. */
static metrics_row parse_row(const char *text)
{
    metrics_row row = {.step = take_whole(&text)};
    double *reals[REALS];
    split_reals(&row, reals);
    for (int i = 0; i < REALS; i++) {
        *reals[i] = take_real(&text);
    }
    row.spikes = take_whole(&text);
    row.skipped = take_whole(&text);
    return row;
}

/* Writes the header, and the rows of the text up to that of `step`. Returns the last of them. */
static metrics_row write_kept(FILE *to, const char *text, int64_t step)
{
    metrics_row last = {.step = 0};
    int missing = write_header(to, text);
    for (const char *row = strchr(text, '\n'); row != NULL && row[1] != '\0';) {
        const char *end = strchr(++row, '\n');
        const char *at = row;
        if (end == NULL || take_whole(&at) > step) {
            break;
        }
        fprintf(to, "%.*s%.*s\n", (int)(end - row), row, missing, ",,,,,,,,,,");
        last = parse_row(row);
        row = end;
    }
    return last;
}

/* The row of each whole line behind the first that has a step. */
static mt_status parse_rows(const char *path, const char *text, metrics_row **rows, int64_t *count)
{
    size_t lines = 0, named = strcspn(header, ",");
    for (const char *at = text; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    if (strncmp(text, header, named) != 0 || lines == 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: it has no rows of a run", path);
    }
    *rows = calloc(lines, sizeof **rows);
    if (*rows == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu rows", path, lines);
    }
    for (const char *row = strchr(text, '\n') + 1; strchr(row, '\n') != NULL;
         row = strchr(row, '\n') + 1) {
        const char *at = row;
        if (take_field(&at) != NULL) {
            (*rows)[(*count)++] = parse_row(row);
        }
    }
    return MT_OK;
}

mt_status metrics_read(const char *path, metrics_row **rows, int64_t *count)
{
    char *text = NULL;
    size_t size;
    *rows = NULL;
    *count = 0;
    mt_status status = mt_file_read(path, &text, &size);
    if (status == MT_OK) {
        status = parse_rows(path, text, rows, count);
        free(text);
    }
    return status;
}

enum { ROW_MAX = 512 };

/* Returns the row's length. */
static size_t format_row(const metrics_row *row, char text[ROW_MAX])
{
    metrics_row copy = *row;
    double *reals[REALS];
    split_reals(&copy, reals);
    int used = snprintf(text, ROW_MAX, "%" PRId64, row->step);
    for (int i = 0; i < REALS; i++) {
        size_t left = ROW_MAX - (size_t)used;
        used += isnan(*reals[i]) ? snprintf(text + used, left, ",")
                                 : snprintf(text + used, left, ",%.9g", *reals[i]);
    }
    used += snprintf(text + used, ROW_MAX - (size_t)used, ",%" PRId64 ",%" PRId64 "\n", row->spikes,
                     row->skipped);
    return (size_t)used;
}

/* Puts the file in place as it is to go on: the rows up to that of `step`, and one more unless it
 * is NULL. */
static mt_status begin_file(metrics_file *metrics, int64_t step, const metrics_row *added)
{
    char row[ROW_MAX], *text = NULL, *kept = NULL;
    size_t size, kept_size;
    mt_status status =
        access(metrics->path, F_OK) == 0 ? mt_file_read(metrics->path, &text, &size) : MT_OK;
    FILE *to = status == MT_OK ? open_memstream(&kept, &kept_size) : NULL;
    if (status == MT_OK && to != NULL) {
        metrics->last = write_kept(to, text != NULL ? text : "", step);
        if (added != NULL) {
            size_t length = format_row(added, row);
            fwrite(row, 1, length, to);
        }
    }
    bool closed = to != NULL && fclose(to) == 0;
    if (status == MT_OK && (!closed || kept == NULL)) { /* which is how its last growth fails */
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

/* Where `added` is not NULL it is the last row. */
static mt_status begin_and_open(metrics_file *metrics, int64_t step, const metrics_row *added)
{
    mt_status status = begin_file(metrics, step, added);
    if (status == MT_OK) {
        metrics->file = open(metrics->path, O_WRONLY | O_APPEND | O_CLOEXEC);
        status = metrics->file >= 0 ? MT_OK : fail(metrics, errno);
    }
    return status;
}

mt_status metrics_open(metrics_file *metrics, const char *path, int64_t step)
{
    *metrics = (metrics_file){.file = -1, .path = strdup(path)};
    if (metrics->path == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", path);
    }
    return begin_and_open(metrics, step, NULL);
}

mt_status metrics_replace_last(metrics_file *metrics, const metrics_row *row)
{
    close(metrics->file);
    metrics->file = -1;
    return begin_and_open(metrics, row->step - 1, row);
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
