/* Transcripts as Kaldi and ESPnet keep them: a file of lines `utterance-id text`. */
#ifndef MIXTAPE_TRANSCRIPTS_H
#define MIXTAPE_TRANSCRIPTS_H

#include <mixtape/api.h>
#include <mixtape/token_list.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_transcript {
    char *utterance;
    int32_t *labels;
    int64_t length; /* at least 1 */
} mt_transcript;

typedef struct mt_transcripts {
    int64_t count;
    mt_transcript *items;
} mt_transcripts;

/* Reads and encodes a file. An utterance without text is left out, as it has nothing to predict; so
 * is a byte order mark.
 * MT_ERROR_FORMAT, with file and line, for an empty line, an utterance that is there twice, a token
 * that is not in the list, bytes that are not text, or a file with no transcript at all. The caller
 * destroys them. */
MT_API mt_status mt_transcripts_load(const char *path, const mt_token_list *tokens,
                                     mt_token_unit unit, mt_transcripts **transcripts);
MT_API void mt_transcripts_destroy(mt_transcripts *transcripts); /* NULL is allowed */

#ifdef __cplusplus
}
#endif

#endif
