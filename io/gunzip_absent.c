/* A build without zlib. */
#include "io/gunzip.h"

mt_status mt_gunzip(const char *packed, size_t size, mt_growing_bytes *text)
{
    (void)packed;
    (void)size;
    return mt_fail(MT_ERROR_FORMAT,
                   "%s: compressed by gzip, which this build of Mixtape cannot read (unpack it, or "
                   "let `gzip -dc` write it to -, standard input)",
                   text->name);
}

bool mt_can_inflate(void)
{
    return false;
}

bool mt_inflates_to(const char *packed, size_t size, size_t expected)
{
    (void)packed;
    (void)size;
    (void)expected;
    return false;
}
