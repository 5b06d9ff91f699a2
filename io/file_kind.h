/* What a file is that stands where weights should be. Internal. */
#ifndef MT_IO_FILE_KIND_H
#define MT_IO_FILE_KIND_H

#include <mixtape/error.h>

/* MT_ERROR_FORMAT where the first bytes tell that it is something else than `wanted` ("an HDF5
 * file"): "path: not an HDF5 file, but a pointer of Git LFS ...". MT_OK where they do not tell. */
mt_status mt_file_check_kind(const char *path, const char *wanted);

#endif
