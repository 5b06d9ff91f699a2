/* What `mixtape watch` shows of a run, on a terminal of any size. */
#ifndef MT_COMMAND_WATCH_SHOW_H
#define MT_COMMAND_WATCH_SHOW_H

#include <mixtape/error.h>

#include "train/command/run_view.h"

#include <stdio.h>

typedef struct watch_screen {
    int columns, rows;
    bool coloured; /* else the two curves have other marks */
    bool ascii;
} watch_screen;

/* Prints how far the run is, a bar, its losses as curves and its latest figures, in at most
 * `columns` and one row less than there are, which is the cursor's. Where that is little the least
 * important is left out: the run's name is shortened first, and the step, the time that is left and
 * the loss stay longest. */
mt_status watch_show(FILE *to, const char *run, const run_view *view, const watch_screen *screen);

#endif
