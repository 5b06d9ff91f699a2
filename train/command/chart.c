#include "train/command/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL = 10, MOST_COLUMNS = 240, MOST_ROWS = 60 };

/* The dots of each cell, and the curve that was last there. */
typedef struct dot_canvas {
    int columns, rows;
    unsigned char dots[MOST_ROWS][MOST_COLUMNS];
    unsigned char curve[MOST_ROWS][MOST_COLUMNS];
} dot_canvas;

typedef struct value_range {
    double least, most;
} value_range;

static value_range range_of(const chart_curve *curves, int count)
{
    value_range found = {INFINITY, -INFINITY};
    for (int c = 0; c < count; c++) {
        for (int64_t i = 0; i < curves[c].count; i++) {
            double y = curves[c].points[i].y;
            if (isfinite(y)) {
                found.least = fmin(found.least, y);
                found.most = fmax(found.most, y);
            }
        }
    }
    if (found.least == found.most) { /* a line through the middle */
        double margin = found.least != 0.0 ? fabs(found.least) / 10.0 : 1.0;
        found = (value_range){found.least - margin, found.most + margin};
    }
    return found;
}

/* Sets the dot in this column and row of dots, counted from the upper left. */
static void set_dot(dot_canvas *canvas, int curve, int x, int y)
{
    static const unsigned char bits[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    canvas->dots[y / 4][x / 2] |= bits[y % 4][x % 2];
    canvas->curve[y / 4][x / 2] = (unsigned char)curve;
}

static void join(dot_canvas *canvas, int curve, int x0, int y0, int x1, int y1)
{
    int steps = abs(x1 - x0) > abs(y1 - y0) ? abs(x1 - x0) : abs(y1 - y0);
    for (int i = 0; i <= steps; i++) {
        double share = steps > 0 ? (double)i / steps : 0.0;
        set_dot(canvas, curve, x0 + (int)lround(share * (x1 - x0)),
                y0 + (int)lround(share * (y1 - y0)));
    }
}

/* A coordinate among `dots` of them; what lies outside is at the border. */
static int place(double share, int dots)
{
    return (int)lround(fmin(fmax(share, 0.0), 1.0) * (dots - 1));
}

static void draw_curve(dot_canvas *canvas, const chart_curve *curve, int number, double last_x,
                       value_range y)
{
    int before_x = -1, before_y = -1;
    for (int64_t i = 0; i < curve->count; i++) {
        const chart_point *point = &curve->points[i];
        if (!isfinite(point->y)) {
            continue;
        }
        int at_x = place(point->x / fmax(last_x, 1.0), 2 * canvas->columns);
        int at_y = place((y.most - point->y) / (y.most - y.least), 4 * canvas->rows);
        bool joined = before_x >= 0 && curve->mark == 0;
        join(canvas, number, joined ? before_x : at_x, joined ? before_y : at_y, at_x, at_y);
        before_x = at_x;
        before_y = at_y;
    }
}

static void print_cell(FILE *to, unsigned char dots, const chart_curve *curve, bool ascii)
{
    const unsigned upper = 0x1BU, lower = 0xE4U, code = 0x2800U + dots; /* in UTF-8 */
    const bool is_above = (dots & upper) != 0, is_below = (dots & lower) != 0;
    fprintf(to, "%s", curve->colour);
    if (curve->mark != 0 || ascii) {
        fputc(curve->mark != 0 ? curve->mark : !is_below ? '\'' : is_above ? ':' : '.', to);
    } else {
        fprintf(to, "%c%c%c", (int)(0xE0U | code >> 12), (int)(0x80U | (code >> 6 & 0x3FU)),
                (int)(0x80U | (code & 0x3FU)));
    }
    fprintf(to, "%s", curve->colour[0] != '\0' ? "\033[0m" : "");
}

/* A number in so many columns, with as many digits as these have room for. */
static void print_number(FILE *to, int columns, int most_digits, double number)
{
    char text[32];
    int digits = most_digits;
    do {
        snprintf(text, sizeof text, "%.*g", digits, number);
        digits--;
    } while ((int)strlen(text) > columns && digits > 0);
    fprintf(to, "%*s", columns, text);
}

static void print_rows(FILE *to, const dot_canvas *canvas, const chart_curve *curves, value_range y,
                       bool ascii)
{
    for (int row = 0; row < canvas->rows; row++) {
        double share = canvas->rows > 1 ? (double)row / (canvas->rows - 1) : 0.0;
        bool labelled = row == 0 || row == canvas->rows - 1 || row == canvas->rows / 2;
        if (labelled) {
            print_number(to, LABEL - 2, 4, y.most - share * (y.most - y.least));
        } else {
            fprintf(to, "%*s", LABEL - 2, "");
        }
        fputs(" |", to);
        for (int column = 0; column < canvas->columns; column++) {
            unsigned char dots = canvas->dots[row][column];
            if (dots == 0) {
                fputc(' ', to);
            } else {
                print_cell(to, dots, &curves[canvas->curve[row][column]], ascii);
            }
        }
        fputc('\n', to);
    }
}

bool chart_draw(FILE *to, const chart_curve *curves, int count, double last_x, int columns,
                int rows, bool ascii)
{
    value_range y = range_of(curves, count);
    dot_canvas *made = NULL;
    if (isfinite(y.least) && columns >= CHART_LEAST_COLUMNS && rows >= CHART_LEAST_ROWS) {
        made = calloc(1, sizeof *made);
    }
    if (made == NULL) {
        return false;
    }
    made->columns = (columns > MOST_COLUMNS ? MOST_COLUMNS : columns) - LABEL;
    made->rows = rows - 1 > MOST_ROWS ? MOST_ROWS : rows - 1;
    for (int i = 0; i < count; i++) {
        draw_curve(made, &curves[i], i, last_x, y);
    }
    print_rows(to, made, curves, y, ascii);
    fprintf(to, "%*s0", LABEL, "");
    print_number(to, made->columns - 1, 12, last_x);
    fputc('\n', to);
    free(made);
    return true;
}

void bar_draw(FILE *to, double share, int columns)
{
    int inside = columns - 2, done = (int)(fmin(fmax(share, 0.0), 1.0) * inside);
    fputc('[', to);
    for (int i = 0; i < inside; i++) {
        fputc(i < done ? '=' : i == done ? '>' : ' ', to);
    }
    fputc(']', to);
}
