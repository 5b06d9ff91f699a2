/* Whole files: read in one piece, written so that whoever opens the target finds the old one or the
 * new one, whole. */
#ifndef MT_IO_FILE_H
#define MT_IO_FILE_H

#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The file's bytes, with a zero byte behind them; the caller frees them. MT_ERROR_IO with the
 * reason. */
mt_status mt_file_read(const char *path, char **bytes, size_t *size);

/* Tells if something has this name. MT_ERROR_IO where that cannot be found out, and for a link that
 * leads nowhere or to itself, which is not taken for nothing. */
mt_status mt_file_look(const char *path, bool *is_there);

/* A file that was read whole. */
typedef struct mt_file_bytes {
    const char *name;
    char *bytes;
    size_t size;
} mt_file_bytes;

/* Writes a new file beside `path`, flushes it to the disk, and renames it over `path`. On failure
 * (MT_ERROR_IO with the reason) nothing is left beside `path`, and it is what it was; but where the
 * folder alone could not be flushed, it is the new file, which a crash may still undo. A process
 * that is killed may leave `.NAME.XXXXXXXX.part` beside NAME, which the next replacement of NAME
 * removes. A file that is replaced keeps its mode, a new one has what the umask leaves of 0666.
 * Links are followed, to what is not there yet, too; what is there and is no regular file is
 * refused. Writers of the same file do not disturb each other: the last one's is there. */
mt_status mt_file_replace(const char *path, const void *bytes, size_t size);

/* The same of a file that is written piece by piece: it lies beside `path` until it is ended. */
typedef struct mt_new_file mt_new_file;

mt_status mt_file_begin(const char *path, mt_new_file **file);

/* Where it lies. */
const char *mt_file_beside(const mt_new_file *file);

/* Bytes from `at` on. Where nothing was put the file holds zeros, which is what is found beyond its
 * end, too. Large pieces go to the disk past the kernel's cache, where the file system has that and
 * MT_FILE_BLOCK allows it: that takes a tenth of the processor's time. */
mt_status mt_file_put(mt_new_file *file, uint64_t at, const void *bytes, size_t size);
mt_status mt_file_find(mt_new_file *file, uint64_t at, void *bytes, size_t size);

/* Puts bytes there by a thread. They stay as they are until the next call that puts or finds bytes,
 * or ends the file: it waits for them, and may tell of their failure, as do all after it. */
mt_status mt_file_put_behind(mt_new_file *file, uint64_t at, const void *bytes, size_t size);

/* Puts bytes after those that were appended before, from the file's beginning on: into a file that
 * has nothing else. They are gathered, and written by a thread; MT_ERROR_MEMORY, too. */
mt_status mt_file_append(mt_new_file *file, const void *bytes, size_t size);

/* Puts the first `size` bytes in place. */
mt_status mt_file_end(mt_new_file *file, uint64_t size);

/* Removes it, if it was not ended, and frees it. NULL is allowed. */
void mt_file_discard(mt_new_file *file);

/* Frees it in a child of fork, whose parent goes on writing it. */
void mt_file_leave(mt_new_file *file);

/* What goes past the cache: pieces from so many bytes on, whose place and memory are whole
 * multiples of a block. */
enum { MT_FILE_BLOCK = 4096, MT_FILE_LARGE = 1 << 18 };

/* Writes whole blocks from `at` on past the cache, as far as that is possible, and returns how many
 * bytes that were. What is left, for whatever reason, is for mt_file_write_rest, once the file's
 * position, which stays where it was, is behind them. */
size_t mt_file_write_blocks(int file, uint64_t at, const void *bytes, size_t size);

/* Writes all of the bytes, and waits until what was written has reached the disk; both go on where
 * a signal interrupts them. MT_ERROR_IO with `path`, the reason, and how much was written. */
mt_status mt_file_write(int file, const char *path, const void *bytes, size_t size);
mt_status mt_file_flush(int file, const char *path);

/* Writes what is left of so many bytes, of which the first `done` have been. */
mt_status mt_file_write_rest(int file, const char *path, const void *bytes, size_t size,
                             size_t done);

/* Waits until the names in a folder have reached the disk, those that were renamed or made there;
 * nothing is waited for where a file system has no such thing. A failure is one of `path`. */
mt_status mt_folder_flush(const char *folder, const char *path);

/* Tell if a path ends as .safetensors files do, as HDF5's: .h5, .hdf5; and as PyTorch's: .pth, .pt,
 * .bin; in letters of either case. */
bool mt_is_safetensors(const char *path);
bool mt_is_hdf5(const char *path);
bool mt_is_pickle(const char *path);

#ifdef __cplusplus
}
#endif

#endif
