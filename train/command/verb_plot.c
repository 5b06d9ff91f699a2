/* mixtape plot RUN... */
#include "train/command/arguments.h"
#include "train/command/lines.h"
#include "train/command/output.h"
#include "train/command/plot.h"
#include "train/command/verbs.h"
#include "train/run_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct arguments {
    const char *output;
    bool logarithmic;
    argument_list runs;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case 'o':
        if (!plot_is_name(text)) {
            wrong_arguments(state, "-o %s: its name ends neither in .svg nor in .png", text);
        }
        given->output = text;
        return 0;
    case LONG_ONLY + 'l':
        given->logarithmic = true;
        return 0;
    default:
        return parse_several(key, text, state, &given->runs);
    }
}

static bool is_folder(const char *name)
{
    struct stat info;
    return stat(name, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The rows of a run's folder, or of a file, which is not to be replaced by its picture. */
static mt_status read_run(const char *name, const char *to, metrics_row **rows, int64_t *count)
{
    char path[TEXT_MAX];
    int length = snprintf(path, sizeof path, "%s%s", name, is_folder(name) ? "/metrics.csv" : "");
    if (length >= TEXT_MAX) {
        return mt_fail(MT_ERROR_INVALID, "%.32s...: longer than %d bytes", name, TEXT_MAX - 1);
    }
    mt_status status = output_refuse("-o", to, path, "drawn");
    return status == MT_OK ? metrics_read(path, rows, count) : status;
}

static mt_status draw(const arguments *given, const char *to)
{
    plot drawn = {.process = 0};
    metrics_row *rows[MOST_PLOTTED] = {NULL};
    plotted_run runs[MOST_PLOTTED];
    const int count = given->runs.count;
    const char *file = strcmp(to, "-") != 0 ? to : ""; /* which is none */
    mt_status status = output_refuse_kind("-o", file, OUTPUT_PICTURE);
    for (int i = 0; i < count && status == MT_OK; i++) {
        runs[i] = (plotted_run){.name = given->runs.texts[i]};
        status = read_run(runs[i].name, file, &rows[i], &runs[i].count);
        runs[i].rows = rows[i];
    }
    if (status == MT_OK) {
        status = plot_begin(&drawn, runs, count, given->logarithmic, to);
    }
    if (status == MT_OK) {
        status = plot_end(&drawn);
    }
    for (int i = 0; i < count; i++) {
        free(rows[i]);
    }
    return status;
}

int verb_plot(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"output", 'o', "FILE", 0,
         "The picture: SVG or PNG, as the name ends in .svg or .png; - is SVG on standard output "
         "(default RUN/loss.svg, of several runs loss.svg)",
         0},
        {"log", LONG_ONLY + 'l', NULL, 0, "Draw the losses on a logarithmic axis", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN...",
        .doc = "Draws the losses of runs, the learning rate and the norm of the gradient, all runs "
               "in one picture. gnuplot does it. Where a point stands for many rows it shows their "
               "mean, and a band between the least and the most of them. A few losses that would "
               "flatten all others are cut off, which the title tells."};
    const char *names[MOST_PLOTTED];
    arguments given = {.runs = {names, .least = 1, .most = MOST_PLOTTED, .what = "runs"}};
    parse_arguments(&argp, argc, argv, &given);
    char path[TEXT_MAX + 16] = "loss.svg";
    if (given.runs.count == 1 && is_folder(names[0])) {
        snprintf(path, sizeof path, "%s/loss.svg", names[0]);
    }
    const char *to = given.output != NULL ? given.output : path;
    mt_status status = draw(&given, to);
    if (status == MT_OK && strcmp(to, "-") != 0) {
        print_line(stdout, "%s", to);
    }
    return report(status);
}
