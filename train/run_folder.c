#include "train/run_folder.h"

#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char header[] =
    "step,loss,accuracy,val_loss,val_accuracy,lr,grad_norm,tokens_per_s,seconds\n";

const char *run_folder_file(const run_folder *folder, const char *name, char path[TEXT_MAX])
{
    snprintf(path, TEXT_MAX, "%s/%s", folder->path, name);
    return path;
}

static mt_status make_folder(const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST
               ? MT_OK
               : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
}

/* The folders above a path. */
static mt_status make_parents(const char *path)
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
    return status;
}

static mt_status take_path(const char *option, const char *path, run_folder *folder)
{
    if (strlen(path) >= sizeof folder->path) {
        return mt_fail(MT_ERROR_INVALID, "%s %.32s...: longer than %zu bytes", option, path,
                       sizeof folder->path - 1);
    }
    snprintf(folder->path, sizeof folder->path, "%s", path);
    return MT_OK;
}

/* The first runs/TASK-N that is free is who makes it first: several runs may begin at once. */
static mt_status make_numbered(const char *task, run_folder *folder)
{
    mt_status status = make_folder("runs");
    if (status != MT_OK) {
        return status;
    }
    int n = 1;
    do {
        snprintf(folder->path, sizeof folder->path, "runs/%s-%d", task, n++);
    } while (mkdir(folder->path, 0777) != 0 && errno == EEXIST);
    return make_folder(folder->path);
}

static mt_status open_file(run_folder *folder, const char *name, FILE **file)
{
    char path[TEXT_MAX];
    *file = fopen(run_folder_file(folder, name, path), "ae");
    return *file != NULL ? MT_OK : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
}

/* Opens the log, whose lock says that a process trains in the folder. A file system without locks
 * leaves that to the user. */
static mt_status open_log(run_folder *folder)
{
    mt_status status = open_file(folder, "train.log", &folder->log);
    if (status == MT_OK && flock(fileno(folder->log), LOCK_EX | LOCK_NB) != 0 &&
        errno == EWOULDBLOCK) {
        status = mt_fail(MT_ERROR_IO, "%s: another process is training there", folder->path);
    }
    return status;
}

/* A checkpoint, or the best model of a run that was ended before it had one, is not written
 * over. */
static mt_status refuse_taken(const run_folder *folder)
{
    static const char *const models[] = {"checkpoint.h5", "best.h5"};
    char path[TEXT_MAX];
    struct stat info;
    for (int i = 0; i < 2; i++) {
        if (stat(run_folder_file(folder, models[i], path), &info) == 0) {
            return mt_fail(MT_ERROR_INVALID, "--out %s: there is a run already: %s%s", folder->path,
                           models[i], i == 0 ? " (go on with --resume)" : "");
        }
    }
    return MT_OK;
}

static mt_status replace_file(const run_folder *folder, const char *name, const char *text,
                              size_t size)
{
    char path[TEXT_MAX];
    return mt_file_replace(run_folder_file(folder, name, path), text, size);
}

/* The files of an open folder, of which metrics.csv begins with `metrics`. */
static mt_status open_files(run_folder *folder, const char *metrics, size_t size,
                            const char *config_text)
{
    mt_status status = replace_file(folder, "metrics.csv", metrics, size);
    if (status == MT_OK) {
        status = replace_file(folder, "config.yaml", config_text, strlen(config_text));
    }
    return status == MT_OK ? open_file(folder, "metrics.csv", &folder->metrics) : status;
}

mt_status run_folder_create(const char *out, const char *task, const char *config_text,
                            run_folder *folder)
{
    *folder = (run_folder){.log = NULL};
    mt_status status =
        out[0] == '\0' ? make_numbered(task, folder) : take_path("--out", out, folder);
    if (status == MT_OK) {
        status = make_parents(folder->path);
    }
    if (status == MT_OK) {
        status = make_folder(folder->path);
    }
    if (status == MT_OK) {
        status = open_log(folder);
    }
    if (status == MT_OK) {
        status = refuse_taken(folder);
    }
    return status == MT_OK ? open_files(folder, header, strlen(header), config_text) : status;
}

/* The bytes of metrics.csv that belong to the steps up to `step`. */
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

mt_status run_folder_lock(const char *path, run_folder *folder)
{
    char checkpoint[TEXT_MAX];
    *folder = (run_folder){.log = NULL};
    mt_status status = take_path("--resume", path, folder);
    if (status == MT_OK &&
        access(run_folder_file(folder, "checkpoint.h5", checkpoint), F_OK) != 0) {
        status = mt_fail(MT_ERROR_IO, "%s: %s", checkpoint, strerror(errno));
    }
    if (status == MT_OK) {
        status = open_log(folder);
    }
    if (status != MT_OK) {
        run_folder_close(folder);
    }
    return status;
}

mt_status run_folder_resume(run_folder *folder, int64_t step, const char *config_text)
{
    char name[TEXT_MAX], *text = NULL;
    size_t size;
    mt_status status = MT_OK;
    if (access(run_folder_file(folder, "metrics.csv", name), F_OK) == 0) {
        status = mt_file_read(name, &text, &size);
    }
    if (status == MT_OK) {
        size_t kept = text != NULL ? length_up_to(text, step) : 0;
        status = open_files(folder, kept > 0 ? text : header, kept > 0 ? kept : strlen(header),
                            config_text);
    }
    free(text);
    return status;
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
