#include "train/command/kept_files.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The step in a name KIND-STEP.h5; 0 for other names. */
static int64_t step_of(const char *name, const char *kind)
{
    char again[64];
    size_t length = strlen(kind);
    if (strncmp(name, kind, length) != 0 || name[length] != '-') {
        return 0;
    }
    int64_t step = strtoll(name + length + 1, NULL, 10);
    snprintf(again, sizeof again, "%s-%" PRId64 ".h5", kind, step);
    return strcmp(name, again) == 0 ? step : 0;
}

static int compare_steps(const void *a, const void *b)
{
    int64_t first = *(const int64_t *)a, second = *(const int64_t *)b;
    return (first > second) - (first < second);
}

int kept_files_find(const char *folder, const char *kind, int64_t steps[MOST_KEPT])
{
    int count = 0;
    DIR *open = opendir(folder);
    for (const struct dirent *entry; open != NULL && (entry = readdir(open)) != NULL;) {
        int64_t step = step_of(entry->d_name, kind);
        if (step > 0 && count < MOST_KEPT) {
            steps[count++] = step;
        }
    }
    if (open != NULL) {
        closedir(open);
    }
    qsort(steps, (size_t)count, sizeof *steps, compare_steps);
    return count;
}

mt_status kept_files_name(const char *folder, const char *kind, int64_t step, char path[TEXT_MAX])
{
    int length = snprintf(path, TEXT_MAX, "%s/%s-%" PRId64 ".h5", folder, kind, step);
    return length > 0 && length < TEXT_MAX
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "%.32s...: longer than %d bytes", folder, TEXT_MAX - 1);
}

/* By a second link: nothing is copied, and what is renamed over the first leaves it. */
mt_status kept_files_add(const char *folder, const char *kind, int64_t step)
{
    char from[TEXT_MAX], to[TEXT_MAX];
    mt_status status = kept_files_name(folder, kind, step, to);
    if (status != MT_OK) {
        return status;
    }
    snprintf(from, sizeof from, "%s/%s.h5", folder, kind);
    if (link(from, to) == 0) {
        return MT_OK;
    }
    bool taken = errno == EEXIST && unlink(to) == 0;
    return taken && link(from, to) == 0 ? MT_OK
                                        : mt_fail(MT_ERROR_IO, "%s: %s", to, strerror(errno));
}

void kept_files_remove(const char *folder, const char *kind, int64_t step)
{
    char path[TEXT_MAX];
    if (kept_files_name(folder, kind, step, path) == MT_OK) {
        unlink(path);
    }
}
