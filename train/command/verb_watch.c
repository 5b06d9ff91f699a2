/* mixtape watch RUN */
#include "train/command/arguments.h"
#include "train/command/chart.h"
#include "train/command/lines.h"
#include "train/command/progress.h"
#include "train/command/run_view.h"
#include "train/command/verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

typedef struct arguments {
    const char *run;
    bool once;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case LONG_ONLY + 'o':
        given->once = true;
        return 0;
    default:
        return parse_argument(key, text, state, "run", &given->run);
    }
}

/* The terminal's size, or that of one that is not there. */
static void find_size(int *columns, int *rows)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    *columns = known ? size.ws_col : 80;
    *rows = known && size.ws_row > 0 ? size.ws_row : 24;
}

/* The columns of losses as curves, of which the caller frees both. */
static bool make_points(const run_view *view, chart_point **losses, chart_point **validations)
{
    size_t room = (size_t)view->count + 1;
    *losses = calloc(room, sizeof **losses);
    *validations = calloc(room, sizeof **validations);
    if (*losses == NULL || *validations == NULL) {
        return false;
    }
    for (int64_t i = 0; i < view->count; i++) {
        const metrics_row *row = &view->rows[i];
        (*losses)[i] = (chart_point){(double)row->step, row->loss};
        (*validations)[i] = (chart_point){(double)row->step, row->val_loss};
    }
    return true;
}

static void print_figures(const run_view *view)
{
    const metrics_row last = run_view_last(view);
    double validation = NAN;
    for (int64_t i = view->count - 1; i >= 0 && isnan(validation); i--) {
        validation = view->rows[i].val_loss;
    }
    printf("loss %.4f", last.loss);
    if (!isnan(validation)) {
        printf("  validation %.4f", validation);
    }
    printf("  lr %.3g  gradient %.3g\n", last.lr, last.grad_norm);
}

static mt_status show(const char *run, const run_view *view, bool coloured)
{
    char told[128];
    int columns, rows;
    chart_point *losses, *validations;
    mt_status status = MT_OK;
    find_size(&columns, &rows);
    run_view_tell(view, told, sizeof told);
    print_line(stdout, "%s: %s", run, told);
    if (view->steps > 0) {
        bar_draw(stdout, (double)run_view_last(view).step / (double)view->steps,
                 columns < 80 ? columns : 80);
        printf("\n");
    }
    if (make_points(view, &losses, &validations)) {
        const chart_curve curves[] = {{losses, view->count, coloured ? "\033[34m" : ""},
                                      {validations, view->count, coloured ? "\033[33m" : ""}};
        chart_draw(stdout, curves, 2, (double)run_view_last(view).step, columns,
                   rows > 10 ? rows - 6 : 4);
    } else {
        status = mt_fail(MT_ERROR_MEMORY, "no memory for the chart");
    }
    free(losses);
    free(validations);
    if (view->count > 0) {
        print_figures(view);
    }
    return status;
}

/* Once a second, over what was shown before, for as long as a process trains there. */
static mt_status watch(const arguments *given)
{
    const struct timespec second = {.tv_sec = 1};
    bool terminal = is_terminal(STDOUT_FILENO), goes_on = true;
    bool coloured = terminal && getenv("NO_COLOR") == NULL;
    mt_status status = MT_OK;
    while (goes_on && status == MT_OK) {
        run_view view;
        status = run_view_read(given->run, &view);
        goes_on = status == MT_OK && terminal && !given->once && view.is_at_work;
        if (status == MT_OK) {
            printf("%s", terminal && !given->once ? "\033[H\033[J" : "");
            status = show(given->run, &view, coloured);
        }
        run_view_free(&view);
        flush_output();
        goes_on = goes_on && output_failure() == 0;
        if (goes_on) {
            nanosleep(&second, NULL);
        }
    }
    return status;
}

int verb_watch(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"once", LONG_ONLY + 'o', NULL, 0, "Show it once, as where there is no terminal", 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN",
        .doc =
            "Shows how far a run of another process is, with the curves of its losses, and shows "
            "it anew each second while it is at work."};
    arguments given = {.run = NULL};
    parse_arguments(&argp, argc, argv, &given);
    return report(watch(&given));
}
