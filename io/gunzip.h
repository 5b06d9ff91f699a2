/* What zlib compressed. Internal. */
#ifndef MT_IO_GUNZIP_H
#define MT_IO_GUNZIP_H

#include "io/growing_bytes.h"

#include <stdbool.h>
#include <string.h>

/* Tells if bytes begin as gzip's do. */
static inline bool mt_is_gzip(const char *bytes, size_t size)
{
    return size >= 3 && memcmp(bytes, "\x1F\x8B\x08", 3) == 0;
}

/* Unpacks all the members, as gzip -dc does. MT_ERROR_FORMAT, with the place, where they are
 * damaged, cut, or followed by anything but zeros; or where the library was built without zlib. */
mt_status mt_gunzip(const char *packed, size_t size, mt_growing_bytes *text);

/* Tells if the library was built with zlib. */
bool mt_can_inflate(void);

/* Tells if what HDF5's deflate packed unpacks to just so many bytes; false without zlib. */
bool mt_inflates_to(const char *packed, size_t size, size_t expected);

#endif
