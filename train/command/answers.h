/* What a model writes behind the lines of a file, each a prompt of its own: many at once, in the
 * order of the lines. */
#ifndef MT_COMMAND_ANSWERS_H
#define MT_COMMAND_ANSWERS_H

#include <mixtape/model.h>
#include <mixtape/sampling.h>

#include "train/command/shown_text.h"

typedef struct answers_asked {
    const char *prompts; /* the file, or "-": standard input */
    int64_t batch;       /* lines at once */
    int64_t length;      /* of each answer, at most */
    uint64_t seed;       /* of the first line; each line has that of the line before + 1 */
} answers_asked;

/* Writes a line of JSON to standard output for each line of the file (answer.h). A line that is no
 * prompt is told on standard error, and `failed` is set; the others are answered all the same. A
 * signal (ending.h) leaves out the answers that are not whole. The sampler chooses for all lines,
 * by the seed of each. */
mt_status answers_write(mt_model *model, const text_symbols *symbols, const text_stop *stop,
                        mt_sampler *sampler, const answers_asked *asked, bool *failed);

#endif
