/* Curves in a terminal, by Braille characters, whose cells have two columns of four dots, or by
 * ASCII. */
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
    char mark;          /* shown at each point; 0: dots, and neighbours are joined */
} chart_curve;

/* Below these there is no room for a chart. */
enum { CHART_LEAST_COLUMNS = 20, CHART_LEAST_ROWS = 3 };

/* Draws curves over x = 0 .. last_x in `columns` by `rows` cells, the labels of y among the
 * columns, and those of x in the last row; later curves over former ones. Braille characters, or
 * ASCII. Returns false, and draws nothing, without a point, room or memory. */
bool chart_draw(FILE *to, const chart_curve *curves, int count, double last_x, int columns,
                int rows, bool ascii);

/* A bar of so many columns of which a share is done: "[=====>    ]". */
void bar_draw(FILE *to, double share, int columns);

#endif
