/* Windows of texts, each of which is a document: at random places to train on, consecutive ones to
 * validate on, or in lanes (train/lanes.h). No window reaches from one document into the next, and
 * what is behind a document's end is not counted. */
#ifndef MT_TRAIN_TEXT_WINDOWS_H
#define MT_TRAIN_TEXT_WINDOWS_H

#include <mixtape/text.h>

#include "train/lanes.h"
#include "train/task.h"

/* Consecutive symbols of a file. */
typedef struct document {
    const int32_t *ids;
    int64_t length;
    int64_t before; /* how many windows the documents before it have */
} document;

/* The documents of one split, of which each has at least two symbols: one to begin with, one to
 * predict. */
typedef struct text_split {
    int64_t count, symbols, windows;
    document *documents;
    task_split which;
    int64_t T;    /* of a window */
    lanes *lanes; /* NULL: nothing is carried */
} text_split;

/* What the texts have from symbol `first` to before `end`, counted over all of them, in windows of
 * T steps; to be freed after a failure, too. The texts outlive it. */
mt_status text_split_make(const mt_text *texts, int64_t count, int64_t first, int64_t end,
                          int64_t T, task_split which, text_split *split);
void text_split_free(text_split *split);

/* Lays the windows in lanes; the split stays where it is. */
mt_status text_split_lay(const run_config *config, text_split *split);

/* Fills row b of a batch, T of `input` and of `target`. */
void text_split_fill(const run_config *config, const text_split *split, int64_t index, int64_t b,
                     mt_random *random, int32_t *input, int32_t *target);

#endif
