/* Text that a terminal, or a log that is shown on one, may be given. Internal. */
#ifndef MT_KERNELS_PRINTABLE_H
#define MT_KERNELS_PRINTABLE_H

#include <stddef.h>

enum { MT_PRINTABLE_MOST = 4 }; /* bytes for one byte of the text */

/* Copies `length` bytes of text, with a zero byte behind them, as one line that moves no cursor and
 * hides nothing: a control or format character, a separator of lines, and a byte that is not UTF-8
 * become \x1B (a byte) or \u202E (a character beyond ASCII). Text that has been copied so stays as
 * it is. Returns the length of the copy, which is cut, between characters, where `size` ends. */
size_t mt_printable(const char *text, size_t length, char *copy, size_t size);

#endif
