/* mixtape plot RUN... */
#include "train/command/arguments.h"
#include "train/command/lines.h"
#include "train/command/plot.h"
#include "train/command/verbs.h"
#include "train/run_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

typedef struct arguments {
    const char *output;
    argument_list runs;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    if (key == 'o') {
        given->output = text;
        return 0;
    }
    return parse_several(key, text, state, &given->runs);
}

/* A run's folder, or a file of rows. */
static mt_status read_run(const char *name, metrics_row **rows, int64_t *count)
{
    char path[TEXT_MAX];
    struct stat info;
    bool is_folder = stat(name, &info) == 0 && S_ISDIR(info.st_mode);
    int length = snprintf(path, sizeof path, "%s%s", name, is_folder ? "/metrics.csv" : "");
    return length > 0 && length < TEXT_MAX
               ? metrics_read(path, rows, count)
               : mt_fail(MT_ERROR_INVALID, "%.32s...: longer than %d bytes", name, TEXT_MAX - 1);
}

int verb_plot(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"output", 'o', "FILE", 0,
         "The picture: SVG, or PNG where the name ends in .png (default "
         "RUN/loss.svg, of several runs loss.svg)",
         0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN...",
        .doc = "Draws the losses of runs, the learning rate and the norm of the gradient, all runs "
               "in one picture. gnuplot does it."};
    const char *names[MOST_PLOTTED];
    arguments given = {.runs = {names, .least = 1, .most = MOST_PLOTTED, .what = "runs"}};
    parse_arguments(&argp, argc, argv, &given);
    plot drawn = {.process = 0};
    metrics_row *rows[MOST_PLOTTED] = {NULL};
    plotted_run runs[MOST_PLOTTED];
    char path[TEXT_MAX + 16];
    snprintf(path, sizeof path, given.runs.count == 1 ? "%s/loss.svg" : "loss.svg", names[0]);
    const char *to = given.output != NULL ? given.output : path;
    mt_status status = MT_OK;
    for (int i = 0; i < given.runs.count && status == MT_OK; i++) {
        runs[i] = (plotted_run){.name = names[i]};
        status = read_run(names[i], &rows[i], &runs[i].count);
        runs[i].rows = rows[i];
    }
    if (status == MT_OK) {
        status = plot_begin(&drawn, runs, given.runs.count, to);
    }
    if (status == MT_OK) {
        status = plot_end(&drawn);
    }
    for (int i = 0; i < given.runs.count; i++) {
        free(rows[i]);
    }
    if (status == MT_OK) {
        print_line(stdout, "%s", to);
    }
    return report(status);
}
