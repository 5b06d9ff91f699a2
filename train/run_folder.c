#include "train/run_folder.h"

#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char header[] =
    "step,loss,accuracy,val_loss,val_accuracy,lr,grad_norm,tokens_per_s,seconds\n";

const char *run_folder_file(const run_folder *folder, const char *name, char path[TEXT_MAX])
{
    int length = snprintf(path, TEXT_MAX, "%s/%s", folder->path, name);
    return length > 0 && length < TEXT_MAX ? path : name;
}

static mt_status make_folder(const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST
               ? MT_OK
               : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
}

/* The folder and those above it. */
static mt_status make_folders(const char *path)
{
    char part[TEXT_MAX];
    mt_status status = MT_OK;
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL && status == MT_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        status = make_folder(part);
        *slash = '/';
    }
    return status == MT_OK ? make_folder(part) : status;
}

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

static mt_status choose_path(const char *out, const char *task, run_folder *folder)
{
    char checkpoint[TEXT_MAX];
    if (strlen(out) >= sizeof folder->path) {
        return mt_fail(MT_ERROR_INVALID, "--out %.32s...: longer than %zu bytes", out,
                       sizeof folder->path - 1);
    }
    if (out[0] != '\0') {
        snprintf(folder->path, sizeof folder->path, "%s", out);
        return exists(run_folder_file(folder, "checkpoint.h5", checkpoint))
                   ? mt_fail(MT_ERROR_INVALID,
                             "--out %s: there is a run already (go on with --resume %s)", out, out)
                   : MT_OK;
    }
    int n = 1;
    do {
        snprintf(folder->path, sizeof folder->path, "runs/%s-%d", task, n++);
    } while (exists(folder->path));
    return MT_OK;
}

static mt_status open_file(run_folder *folder, const char *name, const char *mode, FILE **file)
{
    char path[TEXT_MAX];
    *file = fopen(run_folder_file(folder, name, path), mode);
    return *file != NULL ? MT_OK : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
}

static mt_status open_files(run_folder *folder)
{
    mt_status status = open_file(folder, "train.log", "a", &folder->log);
    if (status == MT_OK) {
        status = open_file(folder, "metrics.csv", "a", &folder->metrics);
    }
    if (status != MT_OK) {
        run_folder_close(folder);
    }
    return status;
}

mt_status run_folder_create(const char *out, const char *task, const char *config_text,
                            run_folder *folder)
{
    char path[TEXT_MAX];
    *folder = (run_folder){.log = NULL};
    mt_status status = choose_path(out, task, folder);
    if (status == MT_OK) {
        status = make_folders(folder->path);
    }
    if (status == MT_OK) {
        status =
            mt_file_replace(run_folder_file(folder, "metrics.csv", path), header, strlen(header));
    }
    if (status == MT_OK) {
        status = mt_file_replace(run_folder_file(folder, "config.yaml", path), config_text,
                                 strlen(config_text));
    }
    return status == MT_OK ? open_files(folder) : status;
}

/* How much of metrics.csv belongs to the steps up to `step`. */
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

mt_status run_folder_resume(const char *path, int64_t step, const char *config_text,
                            run_folder *folder)
{
    char name[TEXT_MAX], *text;
    size_t size;
    *folder = (run_folder){.log = NULL};
    snprintf(folder->path, sizeof folder->path, "%s", path);
    run_folder_file(folder, "metrics.csv", name);
    mt_status status = mt_file_read(name, &text, &size);
    if (status != MT_OK) {
        return status;
    }
    status = mt_file_replace(name, text, length_up_to(text, step));
    free(text);
    if (status == MT_OK) {
        status = mt_file_replace(run_folder_file(folder, "config.yaml", name), config_text,
                                 strlen(config_text));
    }
    return status == MT_OK ? open_files(folder) : status;
}

void run_folder_close(run_folder *folder)
{
    if (folder->log != NULL) {
        fclose(folder->log);
    }
    if (folder->metrics != NULL) {
        fclose(folder->metrics);
    }
    folder->log = folder->metrics = NULL;
}

mt_status run_folder_add_metrics(run_folder *folder, const metrics_row *row)
{
    const double fields[] = {row->loss, row->accuracy,  row->val_loss,     row->val_accuracy,
                             row->lr,   row->grad_norm, row->tokens_per_s, row->seconds};
    fprintf(folder->metrics, "%" PRId64, row->step);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (isnan(fields[i])) {
            fputc(',', folder->metrics);
        } else {
            fprintf(folder->metrics, ",%.9g", fields[i]);
        }
    }
    fputc('\n', folder->metrics);
    return fflush(folder->metrics) == 0
               ? MT_OK
               : mt_fail(MT_ERROR_IO, "%s/metrics.csv: %s", folder->path, strerror(errno));
}
