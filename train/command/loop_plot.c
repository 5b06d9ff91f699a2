/* The picture of a run, RUN/loss.svg, drawn by a process of its own while the run goes on. */
#include "train/command/loop_internal.h"
#include "train/command/ranks.h"

#include <stdlib.h>

/* Seconds between two pictures. */
static const double least_interval = 10.0;

/* A failure is told once, and nothing more is drawn. */
static void go_on(train_loop *loop, mt_status status)
{
    if (status != MT_OK) {
        progress_say(&loop->progress, "no picture: %s (the run goes on)", mt_error_message());
        loop->draws = false;
    }
}

static mt_status begin(train_loop *loop)
{
    char path[TEXT_MAX];
    plotted_run run = {.name = loop->folder->path};
    metrics_row *rows;
    mt_status status =
        metrics_read(run_folder_file(loop->folder, "metrics.csv", path), &rows, &run.count);
    if (status == MT_OK) {
        run.rows = rows;
        status = plot_begin(&loop->picture, &run, 1, false,
                            run_folder_file(loop->folder, "loss.svg", path));
    }
    free(rows);
    return status;
}

void loop_plot_open(train_loop *loop)
{
    loop->draws = loop->session->config.plot && ranks_is_first() && plot_is_possible();
    loop->drawn_at = -least_interval;
}

void loop_plot(train_loop *loop)
{
    double now = clock_seconds();
    if (!loop->draws || !plot_is_done(&loop->picture)) {
        return;
    }
    go_on(loop, plot_end(&loop->picture));
    if (loop->draws && now - loop->drawn_at >= least_interval) {
        loop->drawn_at = now;
        go_on(loop, begin(loop));
    }
}

void loop_plot_last(train_loop *loop)
{
    plot_drop(&loop->picture); /* of what was before */
    if (loop->draws) {
        mt_status status = begin(loop);
        go_on(loop, status == MT_OK ? plot_end(&loop->picture) : status);
    }
}
