/* What goes between the command and a tokenizer's process, which mixtape.tokenizer_server tells:
 * frames of a byte, the length of what follows, and that. */
#ifndef MT_COMMAND_TOKENIZER_FRAMES_H
#define MT_COMMAND_TOKENIZER_FRAMES_H

#include <stddef.h>

enum { FRAME_HEADER = 5 };

/* How an answer begins: behind the second and third is a message, and what is damaged is the
 * tokenizer's file, not what was asked. */
enum { FRAME_DONE, FRAME_FAILED, FRAME_DAMAGED };

static inline void frame_begin(unsigned char header[FRAME_HEADER], unsigned char first,
                               size_t length)
{
    header[0] = first;
    for (int i = 1; i < FRAME_HEADER; i++) {
        header[i] = (unsigned char)(length >> 8 * (i - 1));
    }
}

static inline size_t frame_length(const unsigned char header[FRAME_HEADER])
{
    size_t length = 0;
    for (int i = 1; i < FRAME_HEADER; i++) {
        length |= (size_t)header[i] << 8 * (i - 1);
    }
    return length;
}

#endif
