#include "train/command/watch_show.h"

#include "kernels/printable.h"
#include "train/command/chart.h"
#include "train/command/phrases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char training_colour[] = "\033[34m", validation_colour[] = "\033[33m";

enum { MOST_NAME = 1024, LEAST_NAME = 12 };

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

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* How far it is: its name, shortened, is on the first line with the rest where that leaves some
 * columns of it, else on a line of its own. Returns the lines. */
static int show_head(FILE *to, const char *run, const run_view *view, int columns, int lines)
{
    enum { NAME, STEP, RATE, LEFT, STATE, COUNT };
    char printable[MOST_NAME], name[MOST_NAME], named[MOST_NAME + 1];
    const run_words words = run_view_words(view);
    char time[sizeof words.left];
    snprintf(time, sizeof time, "%.*s", (int)strcspn(words.left, " "), words.left);
    phrase all[COUNT] = {
        [NAME] = {.text = "", .behind = " ", .rank = 3},
        [STEP] = {.text = words.step, .brief = words.brief_step, .behind = ", ", .rank = 0},
        [RATE] = {.text = words.rate, .behind = ", ", .rank = 4},
        [LEFT] = {.text = words.left, .brief = time, .behind = ", ", .rank = 1},
        [STATE] = {.text = words.state, .behind = ", ", .rank = 2}};
    int rest = columns - phrases_columns(all, COUNT) - (int)strlen(": ");
    mt_printable(run, strlen(run), printable, sizeof printable);
    bool beside = rest >= smaller(text_columns(printable), LEAST_NAME);
    text_shorten(printable, beside ? rest : columns - 1, name, sizeof name);
    snprintf(named, sizeof named, "%s:", name);
    all[NAME].text = named;
    int taken = phrases_fit(all, COUNT, columns, lines);
    phrases_print(to, all, COUNT, columns);
    fputs(taken > 0 ? "\n" : "", to);
    return taken;
}

static double last_validation(const run_view *view)
{
    double found = NAN;
    for (int64_t i = view->count - 1; i >= 0 && isnan(found); i--) {
        found = view->rows[i].val_loss;
    }
    return found;
}

enum { LOSS, VALIDATION, LR, NORM, FIGURES };

/* The latest figures, in the colours of their curves or beside their mark. */
typedef struct figure_phrases {
    char texts[FIGURES][64];
    phrase all[FIGURES];
} figure_phrases;

static void make_figures(const run_view *view, bool coloured, figure_phrases *figures)
{
    static const int ranks[] = {0, 1, 3, 2};
    const metrics_row last = run_view_last(view);
    const double validation = last_validation(view);
    char number[32];
    memset(figures, 0, sizeof *figures);
    for (int i = 0; i < FIGURES; i++) {
        figures->all[i] = (phrase){.text = figures->texts[i], .behind = "  ", .rank = ranks[i]};
    }
    if (view->count == 0) {
        return;
    }
    format_loss(last.loss, 4, number);
    snprintf(figures->texts[LOSS], sizeof figures->texts[LOSS], "loss %s", number);
    figures->all[LOSS].brief = figures->texts[LOSS] + strlen("loss ");
    figures->all[LOSS].colour = coloured ? training_colour : NULL;
    if (!isnan(validation)) {
        format_loss(validation, 4, number);
        snprintf(figures->texts[VALIDATION], sizeof figures->texts[VALIDATION], "validation %s%s",
                 number, coloured ? "" : " (o)");
        figures->all[VALIDATION].colour = coloured ? validation_colour : NULL;
    }
    snprintf(figures->texts[LR], sizeof figures->texts[LR], "lr %.3g", last.lr);
    snprintf(figures->texts[NORM], sizeof figures->texts[NORM], "gradient %.3g", last.grad_norm);
}

static bool has_loss(const run_view *view)
{
    bool has = false;
    for (int64_t i = 0; i < view->count && !has; i++) {
        has = isfinite(view->rows[i].loss) || isfinite(view->rows[i].val_loss);
    }
    return has;
}

static mt_status show_chart(FILE *to, const run_view *view, const watch_screen *screen, int rows)
{
    chart_point *losses, *validations;
    bool coloured = screen->coloured;
    mt_status status = MT_OK;
    if (!has_loss(view)) {
        const char *nothing = view->count == 0 ? "nothing yet" : "no loss is finite";
        phrase told = {.text = nothing, .behind = ""};
        bool fits = phrases_fit(&told, 1, screen->columns, rows) > 0;
        fprintf(to, "%s%s", told.text, fits ? "\n" : "");
        return MT_OK;
    }
    if (make_points(view, &losses, &validations)) {
        const chart_curve curves[] = {
            {losses, view->count, coloured ? training_colour : "", 0},
            {validations, view->count, coloured ? validation_colour : "", coloured ? 0 : 'o'}};
        chart_draw(to, curves, 2, (double)run_view_last(view).step, screen->columns, rows,
                   screen->ascii);
    } else {
        status = mt_fail(MT_ERROR_MEMORY, "no memory for the chart");
    }
    free(losses);
    free(validations);
    return status;
}

mt_status watch_show(FILE *to, const char *run, const run_view *view, const watch_screen *screen)
{
    const int columns = screen->columns, least_bar = 8, most_bar = 80;
    int lines = screen->rows > 1 ? screen->rows - 1 : 1;
    figure_phrases figures;
    make_figures(view, screen->coloured, &figures);
    int below = phrases_fit(figures.all, FIGURES, columns, (lines + 1) / 4);
    lines -= below;
    lines -= show_head(to, run, view, columns, lines > 9 ? lines / 2 : smaller(lines, 4));
    if (view->steps > 0 && lines > 0 && columns >= least_bar) {
        bar_draw(to, (double)run_view_last(view).step / (double)view->steps,
                 smaller(columns, most_bar));
        fputc('\n', to);
        lines--;
    }
    mt_status status = lines > 0 ? show_chart(to, view, screen, lines) : MT_OK;
    if (below > 0) {
        phrases_print(to, figures.all, FIGURES, columns);
        fputc('\n', to);
    }
    return status;
}
