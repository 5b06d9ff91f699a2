#include "train/command/plot_script.h"

#include "kernels/printable.h"
#include "train/command/phrases.h"
#include "train/command/plot_curve.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* No colour of text has a contrast of 4.5 with white pages and with dark ones: with #1e1e1e and
 * white it is 4.08 at best, the root of theirs, 16.67. So pictures have a ground of their own: text
 * has 7.0, and each curve at least 3.8, on which it is also 3.8 or more from #1e1e1e. */
static const char ground[] = "#ffffff", ink[] = "#595959", lines[] = "#d0d0d0";
static const char *const colours[] = {"#3b82c4", "#c8690c", "#1f8f5f", "#d34f45",
                                      "#9467bd", "#80801f", "#c7559a", "#6b7f8c"};

enum { COLOURS = sizeof colours / sizeof *colours };

/* Of a diagram: which curves it shows, and what lies above it. */
typedef struct diagram {
    const char *title;
    const plot_curve *curves;
    int curve_count;
    bool logarithmic;
} diagram;

/* How many points of each curve are drawn, of each run. */
typedef int point_counts[MOST_PLOTTED][PLOT_CURVES];

/* A block of data. A logarithmic axis has no place for what is not above zero. */
static int write_data(FILE *to, const plotted_run *run, int number, plot_curve curve,
                      plot_look look)
{
    plot_point points[MOST_POINTS];
    bool is_loss = curve == CURVE_LOSS || curve == CURVE_VALIDATION;
    int count = plot_points(run, curve, is_loss && look.logarithmic ? 0.0 : -INFINITY, points);
    fprintf(to, "$d%d_%d << EOD\n", curve, number);
    for (int i = 0; i < count; i++) {
        const plot_point *at = &points[i];
        fprintf(to, "%.9g %.9g %.9g %.9g\n", at->step, at->mean, at->least, at->most);
    }
    fprintf(to, "EOD\n");
    return count;
}

/* A text in quotes. gnuplot does nothing with what stands between single ones, but it takes two of
 * them for the end of one text and the beginning of another, so an apostrophe is a typographic one.
 */
static void write_quoted(FILE *to, const char *text)
{
    fputc('\'', to);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\'') {
            fputs("\xe2\x80\x99", to);
        } else {
            fputc(*at, to);
        }
    }
    fputc('\'', to);
}

/* A run's colour; beyond the last one they begin anew, dashed. A run alone has its validation in
 * another one. */
static void write_stroke(FILE *to, int run, bool is_other, double width)
{
    fprintf(to, "linecolor rgb '%s' linewidth %g dashtype %s", colours[(run + is_other) % COLOURS],
            width, run < COLOURS ? "solid" : "'-'");
}

static double width_of(plot_curve curve)
{
    return curve == CURVE_VALIDATION ? 2.5 : 1.2;
}

/* Few points are shown as such. */
static const char *style_of(int points)
{
    return points < 3    ? "linespoints pointtype 7 pointsize 1"
           : points < 40 ? "linespoints pointtype 7 pointsize 0.4"
                         : "lines";
}

static const char *nothing_of(const plotted_run *run, bool logarithmic)
{
    return run->count == 0 ? "nothing yet"
           : logarithmic   ? "no loss is above zero"
                           : "no loss is finite";
}

/* The entries of the key, in the order of the runs, also of those that have nothing to be drawn. */
static void write_key(FILE *to, const plotted_run *runs, int count, const point_counts points,
                      bool logarithmic)
{
    enum { MOST_COLUMNS = 32 };
    char printable[512], name[512], entry[600];
    for (int i = 0; i < count; i++) {
        bool is_empty = points[i][CURVE_LOSS] == 0 && points[i][CURVE_VALIDATION] == 0;
        mt_printable(runs[i].name, strlen(runs[i].name), printable, sizeof printable);
        text_shorten(printable, MOST_COLUMNS, name, sizeof name);
        snprintf(entry, sizeof entry, "%s%s%s", name, is_empty ? ": " : "",
                 is_empty ? nothing_of(&runs[i], logarithmic) : "");
        fprintf(to, "%sNaN with lines ", i > 0 ? ", " : "");
        write_stroke(to, i, false, 2.5);
        fprintf(to, " title ");
        write_quoted(to, entry);
    }
}

/* The curve of a run: where a point stands for many rows it goes between their extremes, of which
 * the upper one has a line of its own, so that a peak is seen up to its end. */
static void write_curve(FILE *to, const plotted_run *runs, int run, plot_curve curve, int points,
                        bool alone)
{
    bool is_validation = curve == CURVE_VALIDATION, is_other = alone && is_validation;
    if (runs[run].count > MOST_POINTS) {
        const char *colour = colours[(run + is_other) % COLOURS];
        fprintf(to, "$d%d_%d using 1:3:4 with filledcurves fillstyle transparent solid 0.4 ", curve,
                run);
        fprintf(to, "noborder fillcolor rgb '%s' notitle, ", colour);
        fprintf(to, "$d%d_%d using 1:4 with lines linewidth 0.5 linecolor rgb '%s' notitle, ",
                curve, run, colour);
    }
    fprintf(to, "$d%d_%d using 1:2 with %s ", curve, run, style_of(points));
    write_stroke(to, run, is_other, width_of(curve));
    if (alone) {
        fprintf(to, " title '%s'", is_validation ? "validation" : "training");
    } else {
        fprintf(to, " notitle");
    }
}

static void write_title(FILE *to, const diagram *shown, bool alone, const plot_above *above)
{
    const bool of_losses = shown->curve_count > 1;
    char cut[96] = "", top[32] = "*";
    if (above->count > 0) {
        snprintf(top, sizeof top, "%.9g", above->top);
        snprintf(cut, sizeof cut, "; %" PRId64 " value%s above, up to %.3g", above->count,
                 above->count == 1 ? "" : "s", above->most);
    }
    fprintf(to, "set yrange [%s:%s]\n", of_losses ? "*" : "0", top);
    fprintf(to, "set title '%s%s%s' textcolor rgb '%s'\n", shown->title,
            of_losses && !alone ? " (thin: training, thick: validation)" : "", cut, ink);
}

static const char *nothing_of_all(const diagram *shown, int64_t rows)
{
    return rows == 0                ? "nothing yet"
           : shown->logarithmic     ? "no loss is above zero"
           : shown->curve_count > 1 ? "no loss is finite"
                                    : "none is finite";
}

/* Begins to plot; where nothing is drawn, axes of no meaning. */
static void write_axes(FILE *to, const diagram *shown, int64_t rows, bool is_empty)
{
    if (is_empty) {
        fprintf(to, "set label 1 '%s' at graph 0.5, graph 0.5 center textcolor rgb '%s'\n",
                nothing_of_all(shown, rows), ink);
        fprintf(to, "plot [0:1][0:1] ");
    } else {
        fprintf(to, "%splot ", shown->logarithmic ? "set logscale y\nset format y '%g'\n" : "");
    }
}

/* One diagram: the curves of all runs. Without a point there is an empty one, which says so. */
static void write_diagram(FILE *to, const plotted_run *runs, int count, const point_counts points,
                          const diagram *shown)
{
    plot_above above = {.count = 0};
    if (!shown->logarithmic) {
        above = plot_find_above(runs, count, shown->curves, shown->curve_count);
    }
    bool alone = count == 1, has_key = shown->curve_count > 1 && !alone;
    int64_t rows = 0, drawn = 0;
    for (int i = 0; i < count; i++) {
        rows += runs[i].count;
        for (int c = 0; c < shown->curve_count; c++) {
            drawn += points[i][shown->curves[c]];
        }
    }
    write_title(to, shown, alone, &above);
    write_axes(to, shown, rows, drawn == 0);
    if (has_key) {
        write_key(to, runs, count, points, shown->logarithmic);
    } else if (drawn == 0) {
        fprintf(to, "NaN notitle");
    }
    const char *before = has_key ? ", " : "";
    for (int c = 0; c < shown->curve_count; c++) {
        for (int i = 0; i < count; i++) {
            if (points[i][shown->curves[c]] > 0) {
                fprintf(to, "%s", before);
                write_curve(to, runs, i, shown->curves[c], points[i][shown->curves[c]],
                            alone && shown->curve_count > 1);
                before = ", ";
            }
        }
    }
    fprintf(to, "\nunset label 1\nunset logscale y\nset format y\n");
}

/* The last step that any run has a row of. */
static int64_t last_step(const plotted_run *runs, int count)
{
    int64_t last = 1;
    for (int i = 0; i < count; i++) {
        int64_t step = runs[i].count > 0 ? runs[i].rows[runs[i].count - 1].step : 0;
        last = step > last ? step : last;
    }
    return last;
}

void plot_script_write(FILE *to, const plotted_run *runs, int count, plot_look look)
{
    static const plot_curve losses[] = {CURVE_LOSS, CURVE_VALIDATION}, rate[] = {CURVE_RATE},
                            norm[] = {CURVE_NORM};
    const diagram of_losses = {"loss", losses, 2, look.logarithmic};
    const diagram of_rate = {"learning rate", rate, 1, false};
    const diagram of_norm = {"norm of the gradient", norm, 1, false};
    point_counts points;
    fprintf(to, "set encoding utf8\nset terminal %s size 1000,700 noenhanced background rgb '%s' ",
            look.png ? "pngcairo" : "svg dynamic", ground);
    fprintf(to, "font 'sans-serif,11'\n");
    for (int i = 0; i < count; i++) {
        for (int curve = 0; curve < PLOT_CURVES; curve++) {
            points[i][curve] = write_data(to, &runs[i], i, (plot_curve)curve, look);
        }
    }
    fprintf(to, "set border 3 linecolor rgb '%s'\nset tics nomirror textcolor rgb '%s'\n", ink,
            ink);
    fprintf(to,
            "set grid linetype 1 linecolor rgb '%s' linewidth 0.5\nset clip one\nset clip two\n",
            lines);
    fprintf(to, "set key outside %s textcolor rgb '%s' noenhanced\n",
            count > 1 ? "right top vertical Left reverse" : "right top horizontal", ink);
    fprintf(to,
            "%sset samples 2\nset xrange [0:%" PRId64 "]\nset multiplot\n"
            "set origin 0, 0.36\nset size 1, 0.64\n",
            count > 1 ? "" : "set rmargin 5\n", last_step(runs, count));
    write_diagram(to, runs, count, points, &of_losses);
    fprintf(to, "unset key\nset rmargin 5\nset origin 0, 0\nset size 0.5, 0.36\n");
    fprintf(to, "set xlabel 'step' textcolor rgb '%s'\n", ink);
    write_diagram(to, runs, count, points, &of_rate);
    fprintf(to, "set origin 0.5, 0\n");
    write_diagram(to, runs, count, points, &of_norm);
    fprintf(to, "unset multiplot\n");
}
