/* mixtape average RUN... -o FILE */
#include "io/weights_file.h"
#include "train/command/arguments.h"
#include "train/command/ending.h"
#include "train/command/lines.h"
#include "train/command/output.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <stdlib.h>

/* As many as open files allow beside others; nobody averages more. */
enum { MOST = 256 };

typedef struct arguments {
    const char *models[MOST], *output;
    int count;
    bool last;
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
    case ARGP_KEY_ARG:
        if (given->count == MOST) {
            wrong_arguments(state, "at most %d models at a time", MOST);
        }
        given->models[given->count++] = text;
        return 0;
    case ARGP_KEY_NO_ARGS:
    case ARGP_KEY_END:
        if (given->count < 2 || given->output == NULL) {
            wrong_arguments(state, "name two models or more, and with -o the file to write");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static mt_status load(const arguments *given, mt_checkpoint **loaded)
{
    mt_status status = MT_OK;
    for (int i = 0; i < given->count && status == MT_OK; i++) {
        char path[TEXT_MAX];
        status = session_find_model(given->models[i], !given->last, path);
        if (status == MT_OK) {
            status = output_refuse(given->output, path, "averaged");
        }
        if (status == MT_OK) {
            status = session_load_file(path, &loaded[i]);
        }
    }
    return status;
}

static mt_status average(const arguments *given, mt_checkpoint **loaded)
{
    mt_weights *others[MOST];
    mt_checkpoint *first = loaded[0];
    for (int i = 1; i < given->count; i++) {
        others[i - 1] = loaded[i]->weights;
    }
    first->state.best_step = first->state.bad_evals = 0; /* they are of its own weights */
    first->state.best_loss = 0.0;
    mt_status status = mt_weights_average(first->weights, given->count - 1, others);
    return status == MT_OK ? mt_checkpoint_convert(first->weights, given->output, &first->state,
                                                   first->run_config)
                           : status;
}

int verb_average(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"output", 'o', "FILE", 0, "The checkpoint to write", 0},
        {"last", LONG_ONLY + 'l', NULL, 0, "The last checkpoints of runs, instead of the best", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN... -o FILE",
        .doc = "Writes the mean of several models' weights, of runs or files of any layout, into a "
               "checkpoint to be used. What else it holds is the first one's."};
    arguments given = {.count = 0};
    mt_checkpoint *loaded[MOST] = {NULL};
    parse_arguments(&argp, argc, argv, &given);
    ending_catch_weights();
    mt_status status = output_refuse_kind(given.output);
    if (status == MT_OK) {
        status = load(&given, loaded);
    }
    if (status == MT_OK && loaded[0] != NULL) {
        status = average(&given, loaded);
    }
    for (int i = 0; i < given.count; i++) {
        mt_checkpoint_destroy(loaded[i]);
    }
    if (status == MT_OK) {
        print_line(stdout, "%s", given.output);
    }
    return status != MT_OK && ending_signal() != 0 ? ending_status() : report(status);
}
