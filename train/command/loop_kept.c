/* What a run keeps beside its newest checkpoint and its best model: --keep and --keep-best. */
#include "train/command/loop_internal.h"
#include "train/command/ranks.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static const char checkpoint[] = "checkpoint", best[] = "best";

/* ---- the last checkpoints ---- */

static void drop_oldest(const train_loop *loop, int64_t step)
{
    int64_t steps[MOST_KEPT];
    int count = kept_files_find(loop->folder->path, checkpoint, steps), passed = 0;
    while (passed < count && steps[passed] <= step) {
        passed++; /* those behind are of a run that has gone back */
    }
    for (int i = 0; i < passed - (int)loop->session->config.keep; i++) {
        kept_files_remove(loop->folder->path, checkpoint, steps[i]);
    }
}

void loop_keep_checkpoint(train_loop *loop, int64_t step)
{
    if (loop->session->config.keep == 0 || step == 0 || !ranks_is_first()) {
        return;
    }
    if (kept_files_add(loop->folder->path, checkpoint, step) == MT_OK) {
        drop_oldest(loop, step);
    } else {
        progress_say(&loop->progress, "not kept: %s (the run goes on)", mt_error_message());
    }
}

/* ---- the best models ---- */

/* The validation loss of a step, by the rows of metrics.csv; NaN: there is none. */
static double loss_of(const metrics_row *rows, int64_t count, int64_t step)
{
    for (int64_t i = count - 1; i >= 0; i--) {
        if (rows[i].step == step) {
            return rows[i].val_loss;
        }
    }
    return NAN;
}

mt_status loop_kept_open(train_loop *loop)
{
    char path[TEXT_MAX];
    int64_t steps[MOST_KEPT], rows_count = 0;
    metrics_row *rows = NULL;
    if (loop->session->config.keep_best == 0) {
        return MT_OK;
    }
    if (ranks_is_first() && metrics_read(run_folder_file(loop->folder, "metrics.csv", path), &rows,
                                         &rows_count) == MT_OK) {
        int count = kept_files_find(loop->folder->path, best, steps);
        for (int i = 0; i < count; i++) {
            double loss = loss_of(rows, rows_count, steps[i]);
            if (!isnan(loss)) {
                loop->kept[loop->kept_count++] = (kept_model){steps[i], loss};
            }
        }
    }
    free(rows);
    mt_status status = ranks_share(&loop->kept_count, sizeof loop->kept_count);
    return status == MT_OK ? ranks_share(loop->kept, sizeof loop->kept) : status;
}

static int find_worst(const train_loop *loop)
{
    int worst = 0;
    for (int i = 1; i < loop->kept_count; i++) {
        worst = loop->kept[i].loss > loop->kept[worst].loss ? i : worst;
    }
    return worst;
}

static void drop_worst(train_loop *loop)
{
    int worst = find_worst(loop);
    if (ranks_is_first()) {
        kept_files_remove(loop->folder->path, best, loop->kept[worst].step);
    }
    loop->kept[worst] = loop->kept[--loop->kept_count];
}

mt_status loop_keep_best(train_loop *loop, double loss, bool is_best)
{
    const int64_t most = loop->session->config.keep_best, step = loop->state->step;
    mt_status status = MT_OK;
    if (most == 0 || (loop->kept_count >= most && !(loss < loop->kept[find_worst(loop)].loss))) {
        return MT_OK;
    }
    if (!is_best) {
        char name[64];
        snprintf(name, sizeof name, "best-%" PRId64 ".h5", step);
        status = loop_save_model(loop, name);
    } else if (ranks_is_first()) {
        status = kept_files_add(loop->folder->path, best, step);
    }
    status = ranks_agree(status);
    if (status != MT_OK) {
        return loop_go_on_without(loop, status);
    }
    loop->kept[loop->kept_count++] = (kept_model){step, loss};
    while (loop->kept_count > most) {
        drop_worst(loop);
    }
    return MT_OK;
}
