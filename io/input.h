/* Texts that a person gives to be read: files, pipes and standard input, plain or compressed by
 * gzip, which is told by what they hold and not by their names. Internal. */
#ifndef MT_IO_INPUT_H
#define MT_IO_INPUT_H

#include "io/file.h"

/* Tells if a name stands for what can be read only once: "-", standard input, or a pipe, that of a
 * shell's <(...) too. */
bool mt_input_is_stream(const char *name);

/* Reads all of it, with a zero byte behind it; the caller frees it. What streams, and what is
 * unpacked, has at most `most` bytes, as it could be endless. MT_ERROR_IO, with the reason;
 * MT_ERROR_INVALID beyond `most` bytes; MT_ERROR_FORMAT for what gzip compressed and is damaged or
 * cut, with the place, and for what other programs compressed, with the one that unpacks it. */
mt_status mt_input_read(const char *name, size_t most, char **bytes, size_t *size);

/* How much of what streams there is memory for: an eighth of the machine's, as the symbols of a
 * text take four times its bytes. */
size_t mt_input_most(void);

/* MT_ERROR_FORMAT, with what they are, for bytes that stand where text in UTF-8 should be but begin
 * as UTF-16, an archive, a table or an array, or a pointer of Git LFS does. */
mt_status mt_input_check_text(const char *bytes, size_t size);

/* The same for bytes that a program compressed, with the one that unpacks them. */
mt_status mt_input_check_unpacked(const char *bytes, size_t size);

/* As mt_input_check_text with the name in front, and for a zero byte, which no
 * line has. */
mt_status mt_input_check_lines(const char *name, const char *bytes, size_t size);

/* Ends a line with a zero byte, in place of its newline or of the carriage return before that, and
 * tells where the next one begins: at the zero byte behind the text, after the last. */
char *mt_input_cut_line(char *line);

#endif
