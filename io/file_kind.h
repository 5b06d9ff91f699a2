/* What a file is that stands where weights should be. Internal. */
#ifndef MT_IO_FILE_KIND_H
#define MT_IO_FILE_KIND_H

#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>

/* MT_ERROR_FORMAT where the first bytes tell that it is something else than `wanted` ("an HDF5
 * file"): "path: not an HDF5 file, but a pointer of Git LFS ...". MT_OK where they do not tell. */
mt_status mt_file_check_kind(const char *path, const char *wanted);

/* Tells if a file that begins so, of 512 bytes or more, those behind `size` being zero, is text,
 * and no page or pointer in the place of a file. */
bool mt_file_is_text(const char *bytes, size_t size);

#endif
