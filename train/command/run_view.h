/* How far a run is, as seen from outside: its folder alone is read, and nothing of it changed. */
#ifndef MT_COMMAND_RUN_VIEW_H
#define MT_COMMAND_RUN_VIEW_H

#include "train/metrics.h"

#include <stdbool.h>

typedef struct run_view {
    metrics_row *rows;
    int64_t count;
    int64_t steps;       /* that it is to make; 0: its configuration does not tell */
    bool is_at_work;     /* a process trains there */
    double seconds_left; /* by the speed of its latest rows; NaN: not known */
} run_view;

/* Tells if this is the folder of a run. */
bool run_view_is_run(const char *folder);

/* MT_ERROR_IO or MT_ERROR_FORMAT with the file. The caller frees it, after a failure, too. */
mt_status run_view_read(const char *folder, run_view *view);
void run_view_free(run_view *view);

/* The last row, or zeros. */
metrics_row run_view_last(const run_view *view);

/* How far it is, in words. */
typedef struct run_words {
    char step[64], brief_step[48]; /* "step 300 of 1000", "300/1000" */
    char rate[32];                 /* "5123 tokens/s", or empty */
    char left[40];                 /* "0:12 left"; "": not known */
    const char *state;             /* "at work", "done", "stopped" */
} run_words;

run_words run_view_words(const run_view *view);

/* "step 300 of 1000, 5123 tokens/s, 0:12 left, at work" */
void run_view_tell(const run_view *view, char *text, size_t size);

/* "1:05", "2:03:04"; "0:00" for what is no time. */
void format_duration(double seconds, char text[32]);

/* A loss with so many decimals, or, where that would hide how small it is, with so many digits:
 * "1.2345", "1.235e-05". */
void format_loss(double loss, int decimals, char text[32]);

#endif
