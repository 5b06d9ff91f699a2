/* Bytes of files, as the readers of token ids take them. */
#include "io/token_ids_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* linux/mman.h; older C libraries do not have it */
#endif

mt_status mt_ids_open_bytes(const char *path, int *descriptor, int64_t *bytes)
{
    struct stat info;
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*descriptor < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    mt_status status = MT_OK;
    if (fstat(*descriptor, &info) != 0) {
        status = mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        status =
            mt_fail(MT_ERROR_IO, "%s: not a regular file, whose ids can be read anywhere", path);
    } else if (info.st_size == 0) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: the file is empty", path);
    }
    if (status != MT_OK) {
        close(*descriptor);
        *descriptor = -1;
        return status;
    }
    *bytes = (int64_t)info.st_size;
    return MT_OK;
}

/* Fails with what a file has left. */
static mt_status fail_cut(const char *path, int descriptor, int64_t needed)
{
    struct stat info;
    int64_t bytes = fstat(descriptor, &info) == 0 ? (int64_t)info.st_size : 0;
    return mt_fail(MT_ERROR_IO,
                   "%s: it was cut to %" PRId64 " bytes since it was opened, and byte %" PRId64
                   " is needed",
                   path, bytes, needed);
}

mt_status mt_ids_read_bytes(const char *path, int descriptor, int64_t offset, void *bytes,
                            size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got =
            pread(descriptor, (char *)bytes + done, size - done, (off_t)(offset + (int64_t)done));
        if (got < 0 && errno != EINTR) {
            return mt_fail(MT_ERROR_IO, "%s: at byte %" PRId64 ": %s", path, offset + (int64_t)done,
                           strerror(errno));
        }
        if (got == 0) {
            return fail_cut(path, descriptor, offset + (int64_t)done);
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return MT_OK;
}

/* Where the address space is limited, it is left to the program. */
void mt_ids_map(mt_ids_file *file)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY ||
        (uint64_t)file->bytes > SIZE_MAX) {
        return;
    }
    void *map = mmap(NULL, (size_t)file->bytes, PROT_READ, MAP_SHARED, file->descriptor, 0);
    file->map = map != MAP_FAILED ? map : NULL;
}

void mt_ids_unmap(mt_ids_file *file)
{
    if (file->map != NULL) {
        munmap((void *)file->map, (size_t)file->bytes);
    }
    file->map = NULL;
}

/* Advises the system of the map's pages that hold these bytes. */
static bool advise(const mt_ids_file *file, int64_t offset, size_t size, int advice)
{
    int64_t before = offset % sysconf(_SC_PAGESIZE);
    return madvise((void *)(file->map + offset - before), size + (size_t)before, advice) == 0;
}

/* Tells if bytes can be had by the map. Of a file that has been cut since, or that the disk does
 * not give, the use of the map would end the program by SIGBUS. So the pages are asked for first,
 * which fails then; and the length, since behind the end the last page has zeros. */
static bool is_mapped(const mt_ids_file *file, int64_t offset, size_t size)
{
    struct stat info;
    return file->map != NULL && fstat(file->descriptor, &info) == 0 &&
           (int64_t)info.st_size >= offset + (int64_t)size &&
           advise(file, offset, size, MADV_POPULATE_READ);
}

mt_status mt_ids_view_bytes(mt_ids_file *file, int64_t offset, size_t size, unsigned char *buffer,
                            const unsigned char **bytes)
{
    if (is_mapped(file, offset, size)) {
        *bytes = file->map + offset;
        return MT_OK;
    }
    *bytes = buffer;
    return mt_ids_read_bytes(file->path, file->descriptor, offset, buffer, size);
}

void mt_ids_leave_bytes(const mt_ids_file *file, int64_t offset, size_t size)
{
    if (file->map != NULL) {
        advise(file, offset, size, MADV_DONTNEED);
    }
}

uint32_t mt_ids_word(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

uint64_t mt_ids_long(const unsigned char *bytes)
{
    return (uint64_t)mt_ids_word(bytes) | (uint64_t)mt_ids_word(bytes + 4) << 32;
}

mt_status mt_ids_expect(mt_ids_file *file, int64_t count)
{
    int64_t behind = file->bytes - file->offset, size = file->type.size;
    if (count == 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: it holds no ids", file->path);
    }
    if (count != behind / size || behind % size != 0) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: %" PRId64 " ids of %" PRId64 " bytes, in %" PRId64
                       " bytes behind its header: %s",
                       file->path, count, size, behind,
                       count > behind / size ? "it was cut" : "there is more");
    }
    file->count = count;
    return MT_OK;
}

void mt_ids_without_borders(mt_ids_file *file)
{
    file->documents = 1;
    file->row = file->count;
    file->has_borders = false;
}
