/* Replacing files, of file.h.
 *
 * What is written lies beside its target (io/beside.h), and locked as long as its writer lives. A
 * writer that was killed leaves it there; the next one that writes the same target finds it without
 * a lock and removes it. Names are never used
 * twice, so that nobody renames what another wrote: where a file system has no locks, or each
 * machine has its own, a file may be left or a replacement fail, and the target is whole all the
 * same. */
#include "io/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Only a regular file is replaced, not a pipe or a device. */
static mt_status find_target(const char *named, mt_replaced_file *found)
{
    struct stat info;
    found->exists = stat(named, &info) == 0;
    if (found->exists && !S_ISREG(info.st_mode)) {
        return mt_fail(MT_ERROR_IO, "%s: %s", named,
                       S_ISDIR(info.st_mode) ? strerror(EISDIR) : "not a regular file");
    }
    found->mode = found->exists ? info.st_mode & 0777 : 0666;
    return mt_place_find(named, &found->place);
}

/* Of the open file, so that threads exclude each other too; not flock's, with which HDF5 locks what
 * it reads, and which would keep it from a file that was just put in place. */
static bool lock(int file)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(file, F_OFD_SETLK, &whole) == 0;
}

/* Removes a file whose writer is gone: nobody holds its lock. */
static void remove_if_left(int folder, const char *entry, const void *context)
{
    (void)context;
    int file = openat(folder, entry, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file >= 0 && lock(file)) {
        unlinkat(folder, entry, 0);
    }
    if (file >= 0) {
        close(file);
    }
}

/* Tells if a new file is this writer's: another that came upon it before it had its lock takes it
 * for one that was left, and removes it. */
static bool keeps(int file)
{
    struct stat info;
    bool taken = !lock(file) && (errno == EAGAIN || errno == EACCES);
    return !taken && (fstat(file, &info) != 0 || info.st_nlink > 0);
}

/* Makes a file beside the target, locked; never one that more may read than the target. */
static mt_status make_beside(const mt_replaced_file *target, char beside[PATH_MAX], int *file)
{
    const mt_place *place = &target->place;
    for (int tries = 0; tries < 100; tries++) {
        mt_status status = mt_place_beside(place, beside);
        if (status != MT_OK) {
            return status;
        }
        *file = open(beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, target->mode);
        if (*file < 0 && errno != EEXIST) {
            return mt_place_fail(place->path, errno);
        }
        if (*file >= 0 && keeps(*file)) {
            return MT_OK;
        }
        if (*file >= 0) {
            unlink(beside);
            close(*file);
        }
    }
    return mt_fail(MT_ERROR_IO, "%s: others keep removing what is written beside it", place->path);
}

/* A new file has what the umask leaves; one that is replaced keeps its mode. */
static mt_status keep_mode(const mt_replaced_file *target, int file)
{
    return !target->exists || fchmod(file, target->mode) == 0
               ? MT_OK
               : mt_place_fail(target->place.path, errno);
}

mt_status mt_file_begin(const char *path, mt_new_file **file)
{
    mt_new_file *made = *file = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *made);
    }
    made->file = -1;
    mt_status status = find_target(path, &made->target);
    if (status == MT_OK) {
        mt_place_visit_left(&made->target.place, remove_if_left, NULL);
        status = make_beside(&made->target, made->beside, &made->file);
    }
    if (status == MT_OK) {
        status = keep_mode(&made->target, made->file);
    }
    if (status != MT_OK) {
        mt_file_discard(made);
        *file = NULL;
    }
    return status;
}

const char *mt_file_beside(const mt_new_file *file)
{
    return file->beside;
}

/* A signal may interrupt it. */
static mt_status cut(const mt_new_file *file, uint64_t size)
{
    int failed;
    do {
        failed = ftruncate(file->file, (off_t)size);
    } while (failed != 0 && errno == EINTR);
    return failed == 0 ? MT_OK : mt_place_fail(file->target.place.path, errno);
}

/* What a signal interrupts is closed all the same, and was flushed before. */
static mt_status close_beside(mt_new_file *file)
{
    int number = file->file;
    file->file = -1; /* before another file may have it */
    int failed = close(number);
    return failed == 0 || errno == EINTR ? MT_OK : mt_place_fail(file->target.place.path, errno);
}

mt_status mt_file_end(mt_new_file *file, uint64_t size)
{
    const mt_replaced_file *target = &file->target;
    mt_status status = mt_file_settle(file);
    if (status == MT_OK) {
        status = cut(file, size);
    }
    if (status == MT_OK) {
        status = mt_file_flush(file->file, target->place.path);
    }
    if (status == MT_OK && rename(file->beside, target->place.path) != 0) {
        status = mt_place_fail(target->place.path, errno);
    }
    if (status != MT_OK) {
        return status;
    }
    status = close_beside(file);
    /* The rename itself reaches the disk with the folder. */
    return status == MT_OK ? mt_folder_flush(target->place.folder, target->place.path) : status;
}

void mt_file_discard(mt_new_file *file)
{
    if (file == NULL) {
        return;
    }
    mt_file_forget_pieces(file);
    if (file->file >= 0) {
        unlink(file->beside);
        close(file->file);
    }
    free(file);
}

void mt_file_leave(mt_new_file *file)
{
    free(file->gathered.blocks[0]);
    if (file->file >= 0) {
        close(file->file);
    }
    free(file);
}

mt_status mt_file_replace(const char *path, const void *bytes, size_t size)
{
    mt_new_file *file;
    mt_status status = mt_file_begin(path, &file);
    if (status == MT_OK) {
        status = mt_file_put(file, 0, bytes, size);
    }
    if (status == MT_OK) {
        status = mt_file_end(file, size);
    }
    mt_file_discard(file);
    return status;
}
