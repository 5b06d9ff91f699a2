#include "train/command/run_view.h"

#include "io/file.h"
#include "train/command/options.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Rows that the speed is taken from. */
enum { LATEST = 50 };

static mt_status name_file(const char *folder, const char *name, char path[TEXT_MAX])
{
    int length = snprintf(path, TEXT_MAX, "%s/%s", folder, name);
    return length > 0 && length < TEXT_MAX
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "%.32s...: longer than %d bytes", folder, TEXT_MAX - 1);
}

bool run_view_is_run(const char *folder)
{
    char path[TEXT_MAX];
    return name_file(folder, "metrics.csv", path) == MT_OK && access(path, F_OK) == 0;
}

/* Tells if a process has the file open, where that can be seen. */
static bool has_open(long process, const struct stat *file)
{
    char path[64];
    struct stat info;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%ld/fd", process);
    DIR *open = opendir(path);
    for (const struct dirent *entry; open != NULL && !found && (entry = readdir(open)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%ld/fd/%.16s", process, entry->d_name);
        found =
            stat(path, &info) == 0 && info.st_dev == file->st_dev && info.st_ino == file->st_ino;
    }
    if (open != NULL) {
        closedir(open);
    }
    return found;
}

/* Tells if a line of /proc/locks is of this file: "1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0
 * EOF". Some file systems have another device there than files have. */
static bool is_of_file(const char *line, const struct stat *file)
{
    const char *write = strstr(line, " WRITE "), *number = strrchr(line, ':');
    if (strstr(line, " FLOCK ") == NULL || write == NULL || number == NULL ||
        strtoull(number + 1, NULL, 10) != (unsigned long long)file->st_ino) {
        return false;
    }
    char *rest;
    long process = strtol(write + strlen(" WRITE "), &rest, 10);
    unsigned long high = strtoul(rest, &rest, 16);
    unsigned long low = *rest == ':' ? strtoul(rest + 1, NULL, 16) : 0;
    return (high == major(file->st_dev) && low == minor(file->st_dev)) || has_open(process, file);
}

/* Looks through the list of locks once. */
static mt_status look_for_lock(const struct stat *file, bool *found)
{
    char line[256];
    FILE *locks = fopen("/proc/locks", "re");
    if (locks == NULL) {
        return errno == ENOENT || errno == EACCES
                   ? MT_OK
                   : mt_fail(MT_ERROR_IO, "/proc/locks: %s", strerror(errno));
    }
    while (!*found && fgets(line, sizeof line, locks) != NULL) {
        *found = is_of_file(line, file);
    }
    fclose(locks);
    return MT_OK;
}

/* A run holds a lock on its log, which is looked up and not tried: to hold it for a moment would
 * keep a run from beginning. The list comes in pieces, and one that others give up between two of
 * them hides another, so it is looked through again. */
static mt_status find_lock(const char *path, bool *found)
{
    enum { LOOKS = 4 };
    struct stat info;
    mt_status status = MT_OK;
    *found = false;
    if (stat(path, &info) != 0) {
        return MT_OK;
    }
    for (int look = 0; look < LOOKS && status == MT_OK && !*found; look++) {
        status = look_for_lock(&info, found);
    }
    return status;
}

/* What the configuration says; one that is not there, or is damaged, does not tell. */
static mt_status find_steps(const char *path, int64_t *steps)
{
    run_config config;
    char *text = NULL;
    size_t size;
    *steps = 0;
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        return MT_OK;
    }
    mt_status status = mt_file_read(path, &text, &size);
    if (status != MT_OK) {
        return status;
    }
    options_defaults(&config);
    status = options_read_yaml(&config, text);
    if (status == MT_OK) {
        *steps = config.steps;
    }
    run_config_clear(&config);
    free(text);
    return status == MT_ERROR_MEMORY ? status : MT_OK;
}

static double time_left(const run_view *view)
{
    int64_t first = view->count > LATEST ? view->count - LATEST : 0;
    if (view->count - first < 2 || view->steps == 0) {
        return NAN;
    }
    const metrics_row *from = &view->rows[first], *to = &view->rows[view->count - 1];
    return (to->seconds - from->seconds) / ((double)to->step - (double)from->step) *
           ((double)view->steps - (double)to->step);
}

mt_status run_view_read(const char *folder, run_view *view)
{
    char path[TEXT_MAX];
    *view = (run_view){.rows = NULL};
    mt_status status = name_file(folder, "metrics.csv", path);
    if (status == MT_OK) {
        status = metrics_read(path, &view->rows, &view->count);
    }
    if (status == MT_OK) {
        status = name_file(folder, "config.yaml", path);
    }
    if (status == MT_OK) {
        status = find_steps(path, &view->steps);
    }
    if (status == MT_OK) {
        view->seconds_left = time_left(view);
        status = name_file(folder, "train.log", path);
    }
    return status == MT_OK ? find_lock(path, &view->is_at_work) : status;
}

void run_view_free(run_view *view)
{
    free(view->rows);
    *view = (run_view){.rows = NULL};
}

metrics_row run_view_last(const run_view *view)
{
    return view->count > 0 ? view->rows[view->count - 1] : (metrics_row){.step = 0};
}

run_words run_view_words(const run_view *view)
{
    const metrics_row last = run_view_last(view);
    char left[32];
    run_words words = {.state = view->is_at_work                              ? "at work"
                                : view->steps > 0 && last.step >= view->steps ? "done"
                                                                              : "stopped"};
    char steps[24] = "";
    if (view->steps > 0) {
        snprintf(steps, sizeof steps, "%" PRId64, view->steps);
    }
    snprintf(words.step, sizeof words.step, "step %" PRId64 "%s%s", last.step,
             view->steps > 0 ? " of " : "", steps);
    snprintf(words.brief_step, sizeof words.brief_step, "%" PRId64 "%s%s", last.step,
             view->steps > 0 ? "/" : "", steps);
    if (isfinite(last.tokens_per_s)) {
        snprintf(words.rate, sizeof words.rate, "%.0f tokens/s", last.tokens_per_s);
    }
    if (view->is_at_work && isfinite(view->seconds_left)) {
        format_duration(view->seconds_left, left);
        snprintf(words.left, sizeof words.left, "%s left", left);
    }
    return words;
}

void run_view_tell(const run_view *view, char *text, size_t size)
{
    const run_words words = run_view_words(view);
    snprintf(text, size, "%s%s%s%s%s, %s", words.step, words.rate[0] != '\0' ? ", " : "",
             words.rate, words.left[0] != '\0' ? ", " : "", words.left, words.state);
}

void format_duration(double seconds, char text[32])
{
    long long whole = isfinite(seconds) && seconds < 3.6e8 ? (long long)(seconds + 0.5) : 0;
    if (whole >= 3600) {
        snprintf(text, 32, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    } else {
        snprintf(text, 32, "%lld:%02lld", whole / 60, whole % 60);
    }
}

void format_loss(double loss, int decimals, char text[32])
{
    bool is_plain = !isfinite(loss) || loss == 0.0 || (fabs(loss) >= 0.1 && fabs(loss) < 1e6);
    snprintf(text, 32, is_plain ? "%.*f" : "%.*g", decimals, loss);
}
