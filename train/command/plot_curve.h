/* The curves of a picture: which fields of rows they show, which points of many are drawn, and how
 * high their diagram is. */
#ifndef MT_COMMAND_PLOT_CURVE_H
#define MT_COMMAND_PLOT_CURVE_H

#include "train/command/plot_script.h"

typedef enum plot_curve { CURVE_LOSS, CURVE_VALIDATION, CURVE_RATE, CURVE_NORM } plot_curve;

enum { PLOT_CURVES = CURVE_NORM + 1 };

/* The value of a row; what is not finite is not drawn. */
double plot_value(plot_curve curve, const metrics_row *row);

/* A point that stands for neighbouring rows: their mean, and the least and the most of them. */
typedef struct plot_point {
    double step, mean, least, most;
} plot_point;

/* A picture of 1000 columns would hardly show more. */
enum { MOST_POINTS = 600 };

/* The points of a run's curve, of values above `above`: at most MOST_POINTS. Returns how many. */
int plot_points(const plotted_run *run, plot_curve curve, double above,
                plot_point points[MOST_POINTS]);

/* What of a diagram's values is so far above all others that it would flatten their curves. */
typedef struct plot_above {
    int64_t count;    /* 0: nothing, and the diagram ends where the curves do */
    double top, most; /* where the diagram ends instead; the highest value */
} plot_above;

/* Of some curves of all runs: a few values (one in 200) are above where the rest reaches not a
 * tenth as high. How runs begin is never above: it is what falls. */
plot_above plot_find_above(const plotted_run *runs, int count, const plot_curve *curves,
                           int curve_count);

#endif
