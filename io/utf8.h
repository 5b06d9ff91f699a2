/* The check that bytes are text. Internal. */
#ifndef MT_IO_UTF8_H
#define MT_IO_UTF8_H

#include <stddef.h>

/* The first byte that is not UTF-8, or the zero byte at the end. */
const char *mt_utf8_end(const char *text);

/* The bytes of the mark that some editors put before a text (U+FEFF), which is none of its
 * characters: 3, or 0 where there is none. */
size_t mt_utf8_mark(const char *bytes, size_t size);

#endif
