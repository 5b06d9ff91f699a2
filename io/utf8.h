/* Text in UTF-8: where it ends, and its blanks. Internal. */
#ifndef MT_IO_UTF8_H
#define MT_IO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first byte that is not UTF-8, or the zero byte at the end. */
const char *mt_utf8_end(const char *text);

/* The bytes of the mark that some editors put before a text (U+FEFF), which is none of its
 * characters: 3, or 0 where there is none. */
size_t mt_utf8_mark(const char *bytes, size_t size);

/* A copy of bytes in which U+FFFD stands for each that is not UTF-8, and its length. The caller
 * frees it; NULL without memory. */
char *mt_utf8_replace(const char *bytes, size_t size, size_t *length);

/* How many characters a text in UTF-8 has. */
size_t mt_utf8_characters(const char *text);

/* Tells if a character separates words in Python's str.split, and so in ESPnet's transcripts:
 * blanks, controls that end lines or records, and the spaces of Unicode. */
bool mt_utf8_is_blank(int32_t c);

/* Behind the blanks that a text begins with; before those that it ends with; and the bytes in front
 * of the first. The text is UTF-8. */
const char *mt_utf8_skip_blanks(const char *text);
const char *mt_utf8_before_blanks(const char *text);
size_t mt_utf8_word_length(const char *text);

#endif
