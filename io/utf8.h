/* The check that bytes are text. Internal. */
#ifndef MT_IO_UTF8_H
#define MT_IO_UTF8_H

/* The first byte that is not UTF-8, or the zero byte at the end. */
const char *mt_utf8_end(const char *text);

#endif
