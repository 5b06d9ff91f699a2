/* What a model writes behind one line, from when that was read until it is written as a line of
 * JSON. */
#ifndef MT_COMMAND_ANSWER_H
#define MT_COMMAND_ANSWER_H

#include "train/command/lines.h"
#include "train/command/shown_text.h"

/* Bytes that are kept until they are written. */
typedef struct kept_bytes {
    char *bytes;
    size_t size, room;
} kept_bytes;

typedef struct answer {
    int64_t line;       /* from 1 */
    bool refused, done; /* it is no prompt; there is nothing left to do but to write it */
    int32_t *ids;       /* of the prompt, with what is fed before it: */
    int64_t count;      /* so many */
    int32_t symbol;     /* the last one that was chosen, */
    mt_status drawn;    /* if it could be */
    int64_t chosen, position;
    shown_text shown;
    kept_bytes prompt, answer;
} answer;

/* Closed even after a failure, and stays where it is in between. */
mt_status answer_open(answer *of, int64_t line, const text_symbols *symbols, const text_stop *stop);
void answer_close(answer *of);

/* Makes symbols of a line, and shows them. MT_ERROR_FORMAT or MT_ERROR_INVALID for a line that is
 * no prompt. */
mt_status answer_prompt(answer *of, const char *line);

/* Writes {"line": 1, "prompt": "ROMEO:", "answer": " what light"}, with U+FFFD in the place of
 * bytes that are no text, and null in the place of both where the line was refused. */
mt_status answer_write(const answer *of, text_output *output);

#endif
