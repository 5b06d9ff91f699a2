#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static mt_status read_all(const char *path, int file, char **bytes, size_t *size)
{
    struct stat info;
    if (fstat(file, &info) != 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return mt_fail(MT_ERROR_IO, "%s: not a regular file", path);
    }
    size_t length = (size_t)info.st_size, done = 0;
    char *memory = malloc(length + 1);
    if (memory == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its %zu bytes", path, length);
    }
    while (done < length) {
        ssize_t got = read(file, memory + done, length - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            free(memory);
            return mt_fail(MT_ERROR_IO, "%s: %s after %zu of %zu bytes", path,
                           got < 0 ? strerror(errno) : "the file ends", done, length);
        }
        done += (size_t)got;
    }
    memory[length] = '\0';
    *bytes = memory;
    *size = length;
    return MT_OK;
}

mt_status mt_file_read(const char *path, char **bytes, size_t *size)
{
    /* A pipe is refused, not waited for. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    mt_status status = read_all(path, file, bytes, size);
    close(file);
    return status;
}

static mt_status write_all(const char *path, int file, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t put = write(file, bytes + done, size - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return mt_fail(MT_ERROR_IO, "%s: %s after %zu of %zu bytes", path, strerror(errno),
                           done, size);
        }
        done += (size_t)put;
    }
    return fsync(file) == 0 ? MT_OK : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
}

/* The rename itself reaches the disk with the folder. */
static mt_status sync_folder(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    int failed = fsync(folder) != 0 && errno != EINVAL;
    mt_status status = failed ? mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno)) : MT_OK;
    close(folder);
    return status;
}

static mt_status write_beside(const char *path, const char *beside, int file, const void *bytes,
                              size_t size)
{
    mt_status status = write_all(path, file, bytes, size);
    mode_t mask = umask(0);
    umask(mask);
    if (status == MT_OK && fchmod(file, 0666 & ~mask) != 0) { /* mkstemp made it private */
        status = mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    if (close(file) != 0 && status == MT_OK) {
        status = mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    if (status == MT_OK && rename(beside, path) != 0) {
        status = mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    if (status != MT_OK) {
        unlink(beside);
    }
    return status;
}

bool mt_is_safetensors(const char *path)
{
    const char *suffix = strrchr(path, '.');
    return suffix != NULL && strcmp(suffix, ".safetensors") == 0;
}

/* Where the file itself is, behind links; a path that leads nowhere yet stays as it is. What is no
 * regular file (a pipe, a device) is not replaced. */
static mt_status find_target(const char *path, char target[PATH_MAX])
{
    struct stat info;
    if (stat(path, &info) != 0) {
        snprintf(target, PATH_MAX, "%s", path);
        return MT_OK;
    }
    if (!S_ISREG(info.st_mode)) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path,
                       S_ISDIR(info.st_mode) ? strerror(EISDIR) : "not a regular file");
    }
    return realpath(path, target) != NULL ? MT_OK
                                          : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
}

mt_status mt_file_replace(const char *named, const void *bytes, size_t size)
{
    char path[PATH_MAX], beside[PATH_MAX];
    if (strlen(named) >= sizeof path) {
        return mt_fail(MT_ERROR_IO, "%.64s...: the path is too long", named);
    }
    mt_status found = find_target(named, path);
    if (found != MT_OK) {
        return found;
    }
    int length = snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    if (length < 0 || (size_t)length >= sizeof beside) {
        return mt_fail(MT_ERROR_IO, "%.64s...: the path is too long", path);
    }
    int file = mkostemp(beside, O_CLOEXEC);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    mt_status status = write_beside(path, beside, file, bytes, size);
    return status == MT_OK ? sync_folder(path) : status;
}
