/* Bytes on their way to the disk, of file.h. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

mt_status mt_file_write(int file, const char *path, const void *bytes, size_t size)
{
    return mt_file_write_rest(file, path, bytes, size, 0);
}

mt_status mt_file_write_rest(int file, const char *path, const void *bytes, size_t size,
                             size_t done)
{
    while (done < size) {
        ssize_t put = write(file, (const char *)bytes + done, size - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return mt_fail(MT_ERROR_IO, "%s: %s after %zu of %zu bytes", path, strerror(errno),
                           done, size);
        }
        done += (size_t)put;
    }
    return MT_OK;
}

static bool set_direct(int file, bool direct)
{
    int flags = fcntl(file, F_GETFL);
    return flags >= 0 && fcntl(file, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

size_t mt_file_write_blocks(int file, uint64_t at, const void *bytes, size_t size)
{
    const size_t whole = size / MT_FILE_BLOCK * MT_FILE_BLOCK;
    size_t done = 0;
    bool aligned = at % MT_FILE_BLOCK == 0 && (uintptr_t)bytes % MT_FILE_BLOCK == 0;
    if (!aligned || size < MT_FILE_LARGE || !set_direct(file, true)) {
        return 0;
    }
    while (done < whole && done % MT_FILE_BLOCK == 0) { /* unaligned there is no way on */
        ssize_t put = pwrite(file, (const char *)bytes + done, whole - done, (off_t)(at + done));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            break;
        }
        done += (size_t)put;
    }
    set_direct(file, false);
    return done;
}

/* 0, or the error. A signal interrupts the wait, not the flush. */
static int flush(int file)
{
    int failed;
    do {
        failed = fsync(file);
    } while (failed != 0 && errno == EINTR);
    return failed != 0 ? errno : 0;
}

static mt_status status_of(const char *path, int error)
{
    return error == 0 ? MT_OK : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(error));
}

mt_status mt_file_flush(int file, const char *path)
{
    return status_of(path, flush(file));
}

mt_status mt_folder_flush(const char *folder, const char *path)
{
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0) {
        return status_of(path, errno);
    }
    int error = flush(file);
    close(file);
    return status_of(path, error != EINVAL ? error : 0); /* EINVAL: nothing there to be flushed */
}
