/* Texts as Python's repr writes them: 'text', "text" or b'bytes'. Internal. */
#ifndef MT_IO_PYTHON_TEXT_H
#define MT_IO_PYTHON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Reads one, which `*at` is moved behind: its bytes, of a text in UTF-8, which are fewer than those
 * that it is written with. A zero byte ends what can be read. False for what repr does not write,
 * and for half of a pair of surrogates. */
bool mt_python_text_read(const char **at, char *bytes, size_t *size);

#endif
