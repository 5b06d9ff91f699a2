#include "train/lanes.h"

#include "io/ascending.h"
#include "train/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct lanes {
    lane_source source;
    uint64_t seed;
    bool is_drawn;        /* the order of documents is drawn for each pass, else it is their own */
    int64_t rows, length; /* lanes, and windows of each */
    int64_t count;        /* windows that are laid */
    int64_t pass;         /* the one that is laid; -1: none yet */
    int64_t *order;       /* (documents) of that pass, */
    int64_t *before;      /* and how many windows come before each of these */
    bool *begins;
};

void lanes_free(lanes *of)
{
    if (of != NULL) {
        free(of->order);
        free(of->before);
        free(of->begins);
        free(of);
    }
}

static mt_status make(const run_config *config, const lane_source *source, lanes **made)
{
    size_t documents = (size_t)source->documents, rows = (size_t)config->batch;
    lanes *of = calloc(1, sizeof *of);
    *made = NULL;
    if (of != NULL) {
        *of = (lanes){.source = *source,
                      .seed = (uint64_t)config->seed,
                      .rows = config->batch,
                      .pass = -1,
                      .order = malloc(documents * sizeof *of->order),
                      .before = malloc(documents * sizeof *of->before),
                      .begins = calloc(rows, sizeof *of->begins)};
    }
    if (of == NULL || of->order == NULL || of->before == NULL || of->begins == NULL) {
        lanes_free(of);
        return mt_fail(MT_ERROR_MEMORY, "no memory for the order of %" PRId64 " documents",
                       source->documents);
    }
    for (int64_t d = 0; d < source->documents; d++) {
        of->count += source->windows_of(source->context, d);
    }
    *made = of;
    return MT_OK;
}

mt_status lanes_to_train(const run_config *config, const lane_source *source, lanes **made)
{
    mt_status status = make(config, source, made);
    if (status != MT_OK) {
        return status;
    }
    lanes *of = *made;
    of->is_drawn = true;
    of->length = of->count / of->rows;
    if (of->length == 0) {
        status = mt_fail(MT_ERROR_INVALID,
                         "--batch %" PRId64 ": there are %" PRId64 " windows of --length %" PRId64
                         " to train on, and with --carry each row goes on in windows of its own",
                         of->rows, of->count, config->length);
        lanes_free(of);
        *made = NULL;
    }
    return status;
}

mt_status lanes_to_validate(const run_config *config, const lane_source *source, lanes **made)
{
    mt_status status = make(config, source, made);
    if (status == MT_OK) {
        lanes *of = *made;
        int64_t most = config->eval_batches <= of->count / of->rows
                           ? config->eval_batches * of->rows
                           : of->count;
        of->count = most;
        of->length = (most + of->rows - 1) / of->rows;
    }
    return status;
}

/* Fisher and Yates. */
static void draw_order(lanes *of, int64_t pass)
{
    mt_random random = task_random_of_pass(of->seed, pass);
    for (int64_t i = of->source.documents - 1; i > 0; i--) {
        int64_t j = (int64_t)mt_random_below(&random, (uint64_t)i + 1), kept = of->order[i];
        of->order[i] = of->order[j];
        of->order[j] = kept;
    }
}

static void lay(lanes *of, int64_t pass)
{
    int64_t windows = 0;
    for (int64_t i = 0; i < of->source.documents; i++) {
        of->order[i] = i;
    }
    if (of->is_drawn) {
        draw_order(of, pass);
    }
    for (int64_t i = 0; i < of->source.documents; i++) {
        of->before[i] = windows;
        windows += of->source.windows_of(of->source.context, of->order[i]);
    }
    of->pass = pass;
}

lane_window lanes_at(lanes *of, int64_t index, int64_t row)
{
    int64_t pass = of->is_drawn ? index / of->length : 0, in_lane = index - pass * of->length;
    int64_t at = row * of->length + in_lane;
    if (of->pass != pass) {
        lay(of, pass);
    }
    of->begins[row] = true;
    if (in_lane >= of->length || at >= of->count) {
        return (lane_window){.number = -1};
    }
    int64_t place = mt_find_last(of->before, of->source.documents, at);
    int64_t number = at - of->before[place];
    of->begins[row] = number == 0 || in_lane == 0;
    return (lane_window){of->order[place], number};
}

const bool *lanes_begins(const lanes *of)
{
    return of->begins;
}
