/* What is put into a new file, of file.h. A piece at a time is written by a thread, for which every
 * other call that writes or reads the file waits. */
#include "io/new_file.h"
#include "kernels/own_thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GATHERED = 4 << 20 };

static mt_status put_now(mt_new_file *file, uint64_t at, const void *bytes, size_t size)
{
    size_t done = mt_file_write_blocks(file->file, at, bytes, size);
    return lseek(file->file, (off_t)(at + done), SEEK_SET) < 0
               ? mt_place_fail(file->target.place.path, errno)
               : mt_file_write_rest(file->file, file->target.place.path, bytes, size, done);
}

/* ---- behind ---- */

static void *write_piece(void *context)
{
    mt_new_file *file = context;
    mt_behind *behind = &file->behind;
    behind->status = put_now(file, behind->at, behind->bytes, behind->size);
    if (behind->status != MT_OK) {
        snprintf(behind->error, sizeof behind->error, "%s", mt_error_message());
    }
    return NULL;
}

/* Waits for the piece at work; a failure stays. */
static mt_status wait_for_piece(mt_new_file *file)
{
    mt_behind *behind = &file->behind;
    if (behind->is_at_work) {
        pthread_join(behind->thread, NULL);
        behind->is_at_work = false;
    }
    return behind->status == MT_OK ? MT_OK : mt_fail(behind->status, "%s", behind->error);
}

mt_status mt_file_put_behind(mt_new_file *file, uint64_t at, const void *bytes, size_t size)
{
    mt_behind *behind = &file->behind;
    mt_status status = wait_for_piece(file);
    if (status != MT_OK) {
        return status;
    }
    behind->at = at;
    behind->bytes = bytes;
    behind->size = size;
    int before = errno; /* without memory for a thread, or to go past the cache, nothing is lost */
    behind->is_at_work =
        size >= MT_FILE_LARGE && mt_own_thread_begin(&behind->thread, write_piece, file);
    if (!behind->is_at_work) {
        write_piece(file);
    }
    errno = before;
    return behind->is_at_work ? MT_OK : wait_for_piece(file);
}

/* ---- appended ---- */

static bool have_blocks(mt_gathered *gathered)
{
    if (gathered->blocks[0] == NULL) {
        gathered->blocks[0] = aligned_alloc(MT_FILE_BLOCK, 2 * (size_t)GATHERED);
    }
    if (gathered->blocks[0] == NULL) {
        return false;
    }
    gathered->blocks[1] = gathered->blocks[0] + GATHERED;
    return true;
}

static mt_status write_gathered(mt_new_file *file)
{
    mt_gathered *gathered = &file->gathered;
    const char *block = gathered->blocks[gathered->filling];
    uint64_t at = gathered->at;
    size_t size = gathered->filled;
    gathered->filling = 1 - gathered->filling;
    gathered->filled = 0;
    gathered->at += size;
    return mt_file_put_behind(file, at, block, size);
}

mt_status mt_file_append(mt_new_file *file, const void *bytes, size_t size)
{
    mt_gathered *gathered = &file->gathered;
    mt_status status = MT_OK;
    if (!have_blocks(gathered)) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %d bytes", file->target.place.path,
                       2 * GATHERED);
    }
    for (size_t done = 0; done < size && status == MT_OK;) {
        size_t room = GATHERED - gathered->filled;
        size_t taken = size - done < room ? size - done : room;
        memcpy(gathered->blocks[gathered->filling] + gathered->filled, (const char *)bytes + done,
               taken);
        gathered->filled += taken;
        done += taken;
        status = taken == room ? write_gathered(file) : MT_OK;
    }
    return status;
}

mt_status mt_file_settle(mt_new_file *file)
{
    mt_status status = file->gathered.filled > 0 ? write_gathered(file) : MT_OK;
    return status == MT_OK ? wait_for_piece(file) : status;
}

void mt_file_forget_pieces(mt_new_file *file)
{
    if (file->behind.is_at_work) {
        pthread_join(file->behind.thread, NULL);
    }
    free(file->gathered.blocks[0]);
}

/* ---- at once ---- */

mt_status mt_file_put(mt_new_file *file, uint64_t at, const void *bytes, size_t size)
{
    mt_status status = wait_for_piece(file);
    return status == MT_OK ? put_now(file, at, bytes, size) : status;
}

mt_status mt_file_find(mt_new_file *file, uint64_t at, void *bytes, size_t size)
{
    mt_status status = wait_for_piece(file);
    for (size_t done = 0; done < size && status == MT_OK;) {
        ssize_t got = pread(file->file, (char *)bytes + done, size - done, (off_t)(at + done));
        if (got < 0 && errno != EINTR) {
            return mt_place_fail(file->target.place.path, errno);
        }
        if (got == 0) {
            memset((char *)bytes + done, 0, size - done);
            break;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return status;
}
