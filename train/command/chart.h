/* Curves in a terminal, by Braille characters: each cell has two columns of four dots. */
#ifndef MT_COMMAND_CHART_H
#define MT_COMMAND_CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A point; one whose y is not finite is left out. */
typedef struct chart_point {
    double x, y;
} chart_point;

typedef struct chart_curve {
    const chart_point *points;
    int64_t count;
    const char *colour; /* an escape sequence, or "" */
} chart_curve;

/* Draws curves over x = 0 .. last_x in `columns` by `rows` cells, the labels of y among the
 * columns, later curves over former ones; below them a line with the labels of x. Neighbours are
 * joined. Without a point it says "nothing yet". */
void chart_draw(FILE *to, const chart_curve *curves, int count, double last_x, int columns,
                int rows);

/* A bar of so many columns of which a share is done: "[=====>    ]". */
void bar_draw(FILE *to, double share, int columns);

#endif
