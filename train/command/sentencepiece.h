/* A model of SentencePiece, read by its C++ library where the command was built with that. Models
 * may be hostile, and what they crash is the process: tokenizer_child.h calls this in one of its
 * own. */
#ifndef MT_COMMAND_SENTENCEPIECE_H
#define MT_COMMAND_SENTENCEPIECE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sentencepiece_model sentencepiece_model;

/* A frame but for its header (tokenizer_frames.h). The bytes stay until the next answer. */
typedef struct sentencepiece_answer {
    unsigned char status;
    const char *bytes;
    size_t length;
} sentencepiece_answer;

/* The library's version; NULL: the command was built without it, and has none of the others. */
const char *sentencepiece_version(void);

/* A model that is not loaded yet, for as long as the process lives; NULL: there is no memory. The
 * name is for messages. */
sentencepiece_model *sentencepiece_create(const char *name);

/* What mixtape.tokenizer_server answers to these bytes, behind which is a zero byte: to 'L' first,
 * then to any letter that it knows. No exception leaves it. */
sentencepiece_answer sentencepiece_ask(sentencepiece_model *model, char asked, const char *bytes,
                                       size_t size);

#ifdef __cplusplus
}
#endif

#endif
