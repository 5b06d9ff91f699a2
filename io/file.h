/* Whole files: read in one piece, written so that whoever opens the target finds the old one or the
 * new one, whole. */
#ifndef MT_IO_FILE_H
#define MT_IO_FILE_H

#include "../kernels/error.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The file's bytes, with a zero byte behind them; the caller frees them. MT_ERROR_IO with the
 * reason. */
mt_status mt_file_read(const char *path, char **bytes, size_t *size);

/* Writes a new file beside `path`, flushes it to the disk, and renames it over `path`. On failure
 * (MT_ERROR_IO with the reason) nothing is left beside `path`, and it is what it was; but where the
 * folder alone could not be flushed, it is the new file, which a crash may still undo. Links are
 * followed; what is there and is no regular file is refused. */
mt_status mt_file_replace(const char *path, const void *bytes, size_t size);

/* Whether a path ends as .safetensors files do. */
bool mt_is_safetensors(const char *path);

#ifdef __cplusplus
}
#endif

#endif
