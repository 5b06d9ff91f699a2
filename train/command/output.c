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

/* The files of a run's folder, those that it keeps of several steps too (best-300.h5). */
static bool is_name_of_run(const char *name)
{
    static const char *const names[] = {"checkpoint.h5", "best.h5",   "bad_step.h5", "metrics.csv",
                                        "config.yaml",   "train.log", "checkpoint-", "best-"};
    const char *end = strrchr(name, '.');
    const bool is_hdf5 = end != NULL && strcmp(end, ".h5") == 0;
    bool is = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !is; i++) {
        size_t length = strlen(names[i]);
        bool is_beginning = names[i][length - 1] == '-';
        is = is_beginning ? strncmp(name, names[i], length) == 0 && is_hdf5
                          : strcmp(name, names[i]) == 0;
    }
    return is;
}

mt_status output_refuse_run(const char *option, const char *path)
{
    char config[PATH_MAX], *real = realpath(path, NULL);
    real = real == NULL ? strdup(path) : real; /* it is not there, or there is no memory */
    if (real == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s %s: no memory to look for it", option, path);
    }
    const char *slash = strrchr(real, '/'), *name = slash != NULL ? slash + 1 : real;
    int length = snprintf(config, sizeof config, "%.*sconfig.yaml", (int)(name - real), real);
    bool is_run = is_name_of_run(name) && length < PATH_MAX && access(config, F_OK) == 0;
    bool goes_on = strcmp(name, "checkpoint.h5") == 0 || strcmp(name, "best.h5") == 0;
    free(real);
    return is_run ? mt_fail(MT_ERROR_INVALID, "%s %s: %s", option, path,
                            goes_on ? "the run in that folder goes on from it"
                                    : "it is a file of the run in that folder")
                  : MT_OK;
}

static bool begins(const char *head, const char *with)
{
    return strncmp(head, with, strlen(with)) == 0;
}

static bool is_kind(const char *head, output_kind kind)
{
    static const char hdf5[] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
    switch (kind) {
    case OUTPUT_PICTURE:
        return begins(head, "\x89PNG") || begins(head, "<?xml") || begins(head, "<svg");
    case OUTPUT_JSON:
        head += strspn(head, " \t\r\n");
        return head[0] == '{' || head[0] == '[';
    default:
        return memcmp(head, hdf5, sizeof hdf5) == 0 || (head[7] == '\0' && head[8] == '{');
    }
}

mt_status output_refuse_kind(const char *option, const char *path, output_kind kind)
{
    static const char *const names[] = {"file of weights", "picture", "JSON"};
    char head[10] = "";
    struct stat info;
    bool there = stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
    FILE *file = there ? fopen(path, "rbe") : NULL;
    if (file == NULL) {
        return MT_OK; /* what else keeps it from being written is told then */
    }
    bool some = fread(head, 1, sizeof head - 1, file) > 0;
    int error = ferror(file) ? errno : 0;
    fclose(file);
    if (error != 0) {
        return mt_fail(MT_ERROR_IO, "%s %s: %s", option, path, strerror(error));
    }
    return some && is_kind(head, kind)
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "%s %s: it is there, and no %s: it is not written over",
                         option, path, names[kind]);
}

mt_status output_refuse(const char *option, const char *path, const char *read, const char *done)
{
    return is_same_file(read, path)
               ? mt_fail(MT_ERROR_INVALID, "%s %s: it is the file that is to be %s", option, path,
                         done)
               : output_refuse_run(option, path);
}
