#include "train/run_folder.h"

#include "io/file.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *run_folder_file(const run_folder *folder, const char *name, char path[TEXT_MAX])
{
    snprintf(path, TEXT_MAX, "%s/%s", folder->path, name);
    return path;
}

/* A folder that was just made reaches the disk with the one that it is in. */
static mt_status flush_parent(const char *path)
{
    char copy[TEXT_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    return mt_folder_flush(dirname(copy), path);
}

static mt_status make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0) {
        return flush_parent(path);
    }
    return errno == EEXIST ? MT_OK : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
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
    bool made;
    int n = 1;
    do {
        snprintf(folder->path, sizeof folder->path, "runs/%s-%d", task, n++);
        made = mkdir(folder->path, 0777) == 0;
    } while (!made && errno == EEXIST);
    return made ? flush_parent(folder->path)
                : mt_fail(MT_ERROR_IO, "%s: %s", folder->path, strerror(errno));
}

/* Opens the log, whose lock says that a process trains in the folder. A file system without locks
 * leaves that to the user. */
static mt_status open_log(run_folder *folder)
{
    char path[TEXT_MAX];
    struct stat info;
    folder->log = fopen(run_folder_file(folder, "train.log", path), "ae");
    mt_status status = folder->log != NULL && stat(folder->path, &info) == 0
                           ? MT_OK
                           : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    if (status == MT_OK && flock(fileno(folder->log), LOCK_EX | LOCK_NB) != 0 &&
        errno == EWOULDBLOCK) {
        status = mt_fail(MT_ERROR_IO, "%s: another process is training there", folder->path);
    }
    if (status == MT_OK) {
        folder->device = info.st_dev;
        folder->number = info.st_ino;
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
                           models[i],
                           i == 0 ? " (go on with --resume, or name another folder)" : "");
        }
    }
    return MT_OK;
}

/* The files of an open folder, of a run that goes on after `step`. */
static mt_status open_files(run_folder *folder, int64_t step, const char *config_text)
{
    char path[TEXT_MAX];
    mt_status status =
        metrics_open(&folder->metrics, run_folder_file(folder, "metrics.csv", path), step);
    return status == MT_OK && config_text != NULL
               ? mt_file_replace(run_folder_file(folder, "config.yaml", path), config_text,
                                 strlen(config_text))
               : status;
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
    if (status != MT_OK) {
        run_folder_close(folder); /* the log, where there is one, is another run's */
        return status;
    }
    return open_files(folder, 0, config_text);
}

static mt_status find_checkpoint(const run_folder *folder)
{
    char path[TEXT_MAX], config[TEXT_MAX];
    if (access(run_folder_file(folder, "checkpoint.h5", path), F_OK) == 0) {
        return MT_OK;
    }
    const int error = errno;
    bool is_run =
        error == ENOENT && access(run_folder_file(folder, "config.yaml", config), F_OK) == 0;
    return is_run
               ? mt_fail(MT_ERROR_IO,
                         "%s: this run has saved nothing yet: it is at work, or ended before its "
                         "first save (--save-every), and is to be begun anew",
                         path)
               : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(error));
}

mt_status run_folder_lock(const char *path, run_folder *folder)
{
    *folder = (run_folder){.log = NULL};
    mt_status status = take_path("--resume", path, folder);
    if (status == MT_OK) {
        status = find_checkpoint(folder);
    }
    if (status == MT_OK) {
        status = open_log(folder);
    }
    if (status != MT_OK) {
        run_folder_close(folder);
    }
    return status;
}

mt_status run_folder_name(const char *path, run_folder *folder)
{
    *folder = (run_folder){.log = NULL};
    return take_path("--resume", path, folder);
}

mt_status run_folder_resume(run_folder *folder, int64_t step, const char *config_text)
{
    return open_files(folder, step, config_text);
}

mt_status run_folder_check(const run_folder *folder)
{
    struct stat info;
    if (stat(folder->path, &info) != 0 ||
        (info.st_dev == folder->device && info.st_ino == folder->number)) {
        return MT_OK;
    }
    return mt_fail(MT_ERROR_IO, "%s: it is another folder by now: that of the run was moved",
                   folder->path);
}

void run_folder_close(run_folder *folder)
{
    if (folder->log != NULL) {
        fclose(folder->log);
    }
    folder->log = NULL;
    metrics_close(&folder->metrics);
}
