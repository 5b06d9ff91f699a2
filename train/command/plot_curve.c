#include "train/command/plot_curve.h"

#include <math.h>
#include <stdlib.h>

double plot_value(plot_curve curve, const metrics_row *row)
{
    switch (curve) {
    case CURVE_LOSS:
        return row->loss;
    case CURVE_VALIDATION:
        return row->val_loss;
    case CURVE_RATE:
        return row->lr;
    default:
        return row->grad_norm;
    }
}

int plot_points(const plotted_run *run, plot_curve curve, double above,
                plot_point points[MOST_POINTS])
{
    int64_t together = (run->count + MOST_POINTS - 1) / MOST_POINTS;
    int made = 0;
    for (int64_t first = 0; first < run->count; first += together) {
        plot_point point = {.least = INFINITY, .most = -INFINITY};
        int64_t found = 0;
        for (int64_t i = first; i < run->count && i < first + together; i++) {
            double value = plot_value(curve, &run->rows[i]);
            if (isfinite(value) && value > above) {
                point.step += (double)run->rows[i].step;
                point.mean += value;
                point.least = fmin(point.least, value);
                point.most = fmax(point.most, value);
                found++;
            }
        }
        if (found > 0) {
            point.step /= (double)found;
            point.mean /= (double)found;
            points[made++] = point;
        }
    }
    return made;
}

/* The values of some curves, those of points that are drawn. */
typedef struct value_list {
    double *values; /* the highest of each point */
    int64_t count;
    double least, first; /* the least; the highest of those that curves begin with */
} value_list;

/* False where there is no memory for them. */
static bool collect(const plotted_run *runs, int count, const plot_curve *curves, int curve_count,
                    value_list *list)
{
    plot_point points[MOST_POINTS];
    size_t room = (size_t)count * (size_t)curve_count * MOST_POINTS;
    *list = (value_list){calloc(room, sizeof(double)), 0, INFINITY, -INFINITY};
    if (list->values == NULL) {
        return false;
    }
    for (int run = 0; run < count; run++) {
        for (int c = 0; c < curve_count; c++) {
            int found = plot_points(&runs[run], curves[c], -INFINITY, points);
            for (int i = 0; i < found; i++) {
                list->values[list->count++] = points[i].most;
                list->least = fmin(list->least, points[i].least);
            }
            list->first = found > 0 ? fmax(list->first, points[0].most) : list->first;
        }
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static int64_t count_above(const plotted_run *runs, int count, const plot_curve *curves,
                           int curve_count, double top)
{
    int64_t found = 0;
    for (int run = 0; run < count; run++) {
        for (int64_t i = 0; i < runs[run].count; i++) {
            for (int c = 0; c < curve_count; c++) {
                double value = plot_value(curves[c], &runs[run].rows[i]);
                found += isfinite(value) && value > top;
            }
        }
    }
    return found;
}

plot_above plot_find_above(const plotted_run *runs, int count, const plot_curve *curves,
                           int curve_count)
{
    const double higher = 10.0, margin = 0.1;
    value_list list;
    plot_above above = {.count = 0};
    if (collect(runs, count, curves, curve_count, &list) && list.count > 2) {
        qsort(list.values, (size_t)list.count, sizeof *list.values, compare);
        above.most = list.values[list.count - 1];
        double rest = fmax(list.values[list.count - 2 - list.count / 200], list.first);
        double height = rest > list.least ? rest - list.least : fmax(fabs(rest), 1e-12);
        if (above.most - list.least > higher * height) {
            above.top = rest + margin * height;
            above.count = count_above(runs, count, curves, curve_count, above.top);
        }
    }
    free(list.values);
    return above;
}
