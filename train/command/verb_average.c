/* mixtape average RUN... -o FILE */
#include "io/weights_file.h"
#include "train/command/arguments.h"
#include "train/command/ending.h"
#include "train/command/kept_files.h"
#include "train/command/lines.h"
#include "train/command/output.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <stdlib.h>

/* As many as open files allow beside others; nobody averages more. */
enum { MOST = 256 };

typedef struct arguments {
    const char *output;
    bool last;
    argument_list runs;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case 'o':
        given->output = text;
        return 0;
    case LONG_ONLY + 'l':
        given->last = true;
        return 0;
    case ARGP_KEY_END:
        if (given->output == NULL) {
            wrong_arguments(state, "name models or runs, and with -o the file to write");
        }
        return parse_several(key, text, state, &given->runs);
    default:
        return parse_several(key, text, state, &given->runs);
    }
}

/* The checkpoints that are averaged. */
typedef struct loaded_models {
    mt_checkpoint *models[MOST];
    int count;
} loaded_models;

static mt_status load_file(const arguments *given, const char *path, loaded_models *loaded)
{
    if (loaded->count == MOST) {
        return mt_fail(MT_ERROR_INVALID, "%s: at most %d models at a time", path, MOST);
    }
    mt_status status = output_refuse("-o", given->output, path, "averaged");
    if (status == MT_OK) {
        status = session_load_file(path, &loaded->models[loaded->count]);
        loaded->count += status == MT_OK;
    }
    return status;
}

/* A run that kept several models, or checkpoints, counts with all of them; the last of these is
 * checkpoint.h5, too. */
static mt_status load_run(const arguments *given, const char *run, loaded_models *loaded)
{
    int64_t steps[MOST_KEPT];
    char path[TEXT_MAX];
    const char *kind = given->last ? "checkpoint" : "best";
    int kept = kept_files_find(run, kind, steps);
    mt_status status = MT_OK;
    for (int i = 0; i < kept && status == MT_OK; i++) {
        status = kept_files_name(run, kind, steps[i], path);
        status = status == MT_OK ? load_file(given, path, loaded) : status;
    }
    if (kept == 0) {
        status = session_find_model(run, !given->last, path);
        status = status == MT_OK ? load_file(given, path, loaded) : status;
    }
    return status;
}

static mt_status load(const arguments *given, loaded_models *loaded)
{
    mt_status status = MT_OK;
    for (int i = 0; i < given->runs.count && status == MT_OK; i++) {
        status = load_run(given, given->runs.texts[i], loaded);
    }
    return status == MT_OK && loaded->count < 2
               ? mt_fail(MT_ERROR_INVALID,
                         "%s: one model alone has no mean (name others, or a run "
                         "that kept some: train --keep-best or --keep)",
                         given->runs.texts[0])
               : status;
}

static mt_status average(const arguments *given, const loaded_models *loaded)
{
    mt_weights *others[MOST];
    mt_checkpoint *first = loaded->models[0];
    for (int i = 1; i < loaded->count; i++) {
        others[i - 1] = loaded->models[i]->weights;
    }
    first->state.best_step = first->state.bad_evals = 0; /* they are of its own weights */
    first->state.best_loss = 0.0;
    mt_status status = mt_weights_average(first->weights, loaded->count - 1, others);
    return status == MT_OK ? mt_checkpoint_convert(first->weights, given->output, &first->state,
                                                   first->run_config)
                           : status;
}

int verb_average(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"output", 'o', "FILE", 0, "The checkpoint to write", 0},
        {"last", LONG_ONLY + 'l', NULL, 0,
         "The last checkpoints of runs (those of --keep), instead of the best", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN... -o FILE",
        .doc =
            "Writes the mean of several models' weights, of runs or files of any layout, into a "
            "checkpoint to be used. They are to be of one training: the mean of models that began "
            "apart is none. A run that kept several of its best (--keep-best) counts with "
            "all of them, or by --last with the checkpoints that it kept (--keep). What else the "
            "checkpoint holds is the first one's."};
    const char *runs[MOST];
    arguments given = {.runs = {runs, .least = 1, .most = MOST, .what = "models or runs"}};
    loaded_models loaded = {.count = 0};
    parse_arguments(&argp, argc, argv, &given);
    ending_catch_weights();
    mt_status status = output_refuse_kind("-o", given.output, OUTPUT_WEIGHTS);
    if (status == MT_OK) {
        status = load(&given, &loaded);
    }
    if (status == MT_OK && loaded.count > 0) {
        status = average(&given, &loaded);
    }
    for (int i = 0; i < loaded.count; i++) {
        mt_checkpoint_destroy(loaded.models[i]);
    }
    if (status == MT_OK) {
        print_line(stdout, "%s", given.output);
    }
    return status != MT_OK && ending_signal() != 0 ? ending_status() : report(status);
}
