/* Transcripts of texts that are in memory already. Internal. */
#ifndef MT_IO_TRANSCRIPTS_FILES_H
#define MT_IO_TRANSCRIPTS_FILES_H

#include <mixtape/transcripts.h>

#include "io/file.h"

/* What makes labels of an utterance's text: the tokens, by units, or else `encode`, which gets what
 * stands between the blanks at both ends, and whose labels are the caller's to free. */
typedef struct mt_transcript_labels {
    const mt_token_list *tokens;
    mt_token_unit unit;
    mt_status (*encode)(void *context, const char *text, size_t size, int32_t **labels,
                        int64_t *count); /* or NULL */
    void *context;
} mt_transcript_labels;

/* Reads and encodes all the files together, as mt_transcripts_load does with one: no utterance may
 * be in two of them. */
mt_status mt_transcripts_read(const mt_file_bytes *files, int64_t count,
                              const mt_transcript_labels *labels, mt_transcripts **transcripts);

#endif
