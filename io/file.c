#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
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

mt_status mt_file_look(const char *path, bool *is_there)
{
    struct stat info;
    bool has_name = lstat(path, &info) == 0;
    *is_there = has_name && stat(path, &info) == 0;
    if (*is_there || (!has_name && (errno == ENOENT || errno == ENOTDIR))) {
        return MT_OK;
    }
    return mt_fail(MT_ERROR_IO, "%s: %s%s", path, strerror(errno),
                   has_name ? " (it is a link)" : "");
}

static bool ends_with(const char *path, const char *suffix)
{
    const char *end = strrchr(path, '.');
    return end != NULL && strcasecmp(end, suffix) == 0;
}

bool mt_is_safetensors(const char *path)
{
    return ends_with(path, ".safetensors");
}

bool mt_is_hdf5(const char *path)
{
    return ends_with(path, ".h5") || ends_with(path, ".hdf5");
}

bool mt_is_pickle(const char *path)
{
    return ends_with(path, ".pth") || ends_with(path, ".pt") || ends_with(path, ".bin");
}
