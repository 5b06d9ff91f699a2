#include "train/command/output.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_same_file(const char *a, const char *b)
{
    struct stat of_a, of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

/* Tells if a path, by whatever links, is one of the files from which a run goes on: a model without
 * a run's progress would take its place. */
static bool is_of_a_run(const char *path)
{
    char config[PATH_MAX], *real = realpath(path, NULL);
    if (real == NULL) { /* it is not there */
        return false;
    }
    const char *name = strrchr(real, '/') + 1;
    int length = snprintf(config, sizeof config, "%.*sconfig.yaml", (int)(name - real), real);
    bool is_run = (strcmp(name, "checkpoint.h5") == 0 || strcmp(name, "best.h5") == 0) &&
                  length < PATH_MAX && access(config, F_OK) == 0;
    free(real);
    return is_run;
}

static bool begins_as_weights(const char head[9])
{
    static const char hdf5[] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
    return memcmp(head, hdf5, sizeof hdf5) == 0 || (head[7] == '\0' && head[8] == '{');
}

mt_status output_refuse_kind(const char *path)
{
    char head[9];
    struct stat info;
    bool there = stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
    FILE *file = there ? fopen(path, "rbe") : NULL;
    if (file == NULL) {
        return MT_OK; /* what else keeps it from being written is told then */
    }
    bool whole = fread(head, sizeof head, 1, file) == 1;
    int error = ferror(file) ? errno : 0;
    fclose(file);
    if (error != 0) {
        return mt_fail(MT_ERROR_IO, "-o %s: %s", path, strerror(error));
    }
    return whole && begins_as_weights(head)
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "-o %s: it is there, and no file of weights: it is not written over",
                         path);
}

mt_status output_refuse(const char *path, const char *model, const char *done)
{
    if (is_same_file(model, path)) {
        return mt_fail(MT_ERROR_INVALID, "-o %s: it is the file that is to be %s", path, done);
    }
    return is_of_a_run(path)
               ? mt_fail(MT_ERROR_INVALID, "-o %s: the run in that folder goes on from it", path)
               : MT_OK;
}
