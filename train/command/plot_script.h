/* What gnuplot is told of runs, so that it draws their losses, the learning rate and the norm of
 * the gradient over the steps. */
#ifndef MT_COMMAND_PLOT_SCRIPT_H
#define MT_COMMAND_PLOT_SCRIPT_H

#include "train/metrics.h"

#include <stdbool.h>
#include <stdio.h>

/* A run to be drawn, by this name; its rows are those of metrics.csv. */
typedef struct plotted_run {
    const char *name;
    const metrics_row *rows;
    int64_t count;
} plotted_run;

enum { MOST_PLOTTED = 16 };

typedef struct plot_look {
    bool png;         /* else SVG */
    bool logarithmic; /* the axis of the losses */
} plot_look;

/* Writes the script, data included. */
void plot_script_write(FILE *to, const plotted_run *runs, int count, plot_look look);

#endif
