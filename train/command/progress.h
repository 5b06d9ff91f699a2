/* The view that a person has of a training run: on a terminal one live line, elsewhere, and in the
 * log, a line now and then. */
#ifndef MT_COMMAND_PROGRESS_H
#define MT_COMMAND_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct train_progress {
    FILE *log; /* or NULL */
    bool terminal;
    bool language; /* perplexity instead of accuracy */
    int64_t steps;
    double shown,
        logged;       /* when a line last went to the terminal, to the log: seconds of the run */
    double validated; /* when a validation was last shown: the clock */
    bool line_open;   /* the live line is on the screen */
} train_progress;

/* Tells if a file is a terminal whose cursor can be moved. */
bool is_terminal(int file);

train_progress progress_make(FILE *log, bool language, int64_t steps);

/* After a step. `accuracy` NaN: not known. Shows what is due. */
void progress_step(train_progress *progress, int64_t step, double loss, double accuracy,
                   double tokens_per_s, double seconds, double seconds_left);

/* Before a batch of a validation, counted from 0: on a terminal it is shown how far that is. */
void progress_validate(train_progress *progress, int64_t batch, int64_t batches);

/* Takes the live line away. */
void progress_clear(train_progress *progress);

/* A line that stays, on standard error and in the log. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void progress_say(train_progress *progress, const char *format, ...);

/* Ends the live line, for others to write after it. */
void progress_end(train_progress *progress);

/* The clock that runs and benchmarks are timed by: seconds since some moment in the past, never set
 * back. */
double clock_seconds(void);

#endif
