/* The vocabulary of texts that are in memory already. Internal. */
#ifndef MT_IO_TEXT_FILES_H
#define MT_IO_TEXT_FILES_H

#include <mixtape/text.h>

#include "io/file.h"

/* Makes the vocabulary of all the files together, as mt_text_load makes that of one; or, where
 * there is one, adds the characters that it lacks behind its own. A failure, which names the file,
 * leaves it as it was. */
mt_status mt_text_vocabulary(const mt_file_bytes *files, int64_t count, mt_text_unit unit,
                             mt_token_list **vocabulary);

/* Tells if a vocabulary is that of bytes. */
bool mt_text_is_of_bytes(const mt_token_list *vocabulary);

/* Encodes a file; a failure names it. */
mt_status mt_text_encode_file(const mt_file_bytes *file, mt_text_unit unit,
                              const mt_token_list *vocabulary, mt_text *text);

/* Tells if there is nothing in the file but a byte order mark, which is no character. */
bool mt_text_is_empty(const mt_file_bytes *file, mt_text_unit unit);

#endif
