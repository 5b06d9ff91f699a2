/* Transcripts of texts that are in memory already. Internal. */
#ifndef MT_IO_TRANSCRIPTS_FILES_H
#define MT_IO_TRANSCRIPTS_FILES_H

#include <mixtape/transcripts.h>

#include "io/file.h"

/* Reads and encodes all the files together, as mt_transcripts_load does with one: no utterance may
 * be in two of them. */
mt_status mt_transcripts_read(const mt_file_bytes *files, int64_t count,
                              const mt_token_list *tokens, mt_token_unit unit,
                              mt_transcripts **transcripts);

#endif
