/* Pictures of runs, drawn by gnuplot, a program of its own that need not be there: the losses, the
 * learning rate and the norm of the gradient over the steps. */
#ifndef MT_COMMAND_PLOT_H
#define MT_COMMAND_PLOT_H

#include "train/command/plot_script.h"

#include <stdbool.h>
#include <sys/types.h>

/* A picture that is being drawn; all zeros: none. */
typedef struct plot {
    pid_t process; /* gnuplot; 0: none */
    double begun;  /* the clock */
    int output, errors;
    char *path;
} plot;

/* Tells if gnuplot is to be had: in PATH, or where MIXTAPE_GNUPLOT says; none where that is "". */
bool plot_is_possible(void);

/* Tells if a picture can have this name: one that ends in .svg or .png, in letters of any case, or
 * "-", which is standard output. */
bool plot_is_name(const char *path);

/* Begins to draw runs into a file, PNG where its name ends so, else SVG, with losses on a linear
 * axis or a logarithmic one. MT_ERROR_IO without gnuplot. */
mt_status plot_begin(plot *drawn, const plotted_run *runs, int count, bool logarithmic,
                     const char *path);

/* Tells if it is done, or has taken too long, and plot_end need not wait. */
bool plot_is_done(const plot *drawn);

/* Waits for gnuplot, but not for ever, and puts the picture in place. MT_OK where there is none. */
mt_status plot_end(plot *drawn);

/* Ends gnuplot and gives the picture up. */
void plot_drop(plot *drawn);

#endif
