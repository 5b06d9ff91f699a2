/* mixtape eval RUN */
#include "io/input.h"
#include "train/command/arguments.h"
#include "train/command/options.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct arguments {
    const char *run, *data, *device, *threads;
    bool last;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case LONG_ONLY + 'l':
        given->last = true;
        return 0;
    case LONG_ONLY + 'd':
        given->data = text;
        return 0;
    case LONG_ONLY + 'v':
        given->device = text;
        return 0;
    case LONG_ONLY + 'T':
        given->threads = text;
        return 0;
    default:
        return parse_argument(key, text, state, "run", &given->run);
    }
}

/* All of a file is held out; what the run was trained on need not be there any more. */
static mt_status take_data(const char *file, run_config *config)
{
    if (file[0] == '\0') {
        return mt_fail(MT_ERROR_INVALID, "--data: no file is named");
    }
    options_empty_list(config, "data");
    options_empty_list(config, "valid-data");
    config->eval_batches = INT64_MAX;
    mt_status status = options_set_for(config->task, config, "data", file);
    if (status == MT_OK && mt_input_is_stream(file)) { /* which can be read once */
        options_empty_list(config, "data");
    }
    return status == MT_OK ? options_set(config, "valid-data", file) : status;
}

static mt_status open_session(const mt_checkpoint *checkpoint, const arguments *given,
                              train_session *session)
{
    run_config config;
    mt_status status = session_config_of(given->run, checkpoint, &config);
    if (status == MT_OK && given->data != NULL) {
        status = take_data(given->data, &config);
    }
    if (status == MT_OK && given->device != NULL) {
        status = options_set(&config, "device", given->device);
    }
    if (status == MT_OK && given->threads != NULL) {
        status = options_set(&config, "threads", given->threads);
    }
    if (status == MT_OK) {
        status = session_open(&config, checkpoint, NULL, session);
    }
    run_config_clear(&config);
    return status;
}

static mt_status evaluate(const mt_checkpoint *checkpoint, const arguments *given)
{
    train_session session;
    mt_evaluation found;
    mt_status status = open_session(checkpoint, given, &session);
    if (status != MT_OK) {
        return status;
    }
    status = mt_checkpoint_restore(checkpoint, session.model, NULL);
    if (status == MT_OK) {
        status = session_evaluate(&session, session.tape, &found);
    }
    if (status == MT_OK) {
        printf("step %" PRId64 "\nloss %.6f\n", checkpoint->state.step, found.loss);
        if (session.task->language) {
            printf("perplexity %.4f\n", exp(found.loss));
        }
        if (!session.task->regression) {
            printf("accuracy %.6f\n", found.accuracy);
        }
        printf("counted %" PRId64 "\n", found.counted);
    }
    session_close(&session);
    return status;
}

int verb_eval(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"last", LONG_ONLY + 'l', NULL, 0, "The last checkpoint, instead of the best", 0},
        {"data", LONG_ONLY + 'd', "FILE", 0,
         "Measure on all of this file, instead of the run's held-out data", 0},
        {"device", LONG_ONLY + 'v', "NAME", 0, "auto, cpu, cuda or cuda:I (else the run's)", 0},
        {"threads", LONG_ONLY + 'T', "N", 0, "Threads of the CPU, 0: all (else the run's)", 0},
        {0}};
    const struct argp argp = {.options = options,
                              .parser = parse,
                              .args_doc = "RUN",
                              .doc = "Measures a run's model on held-out data."};
    arguments given = {.run = NULL};
    parse_arguments(&argp, argc, argv, &given);
    mt_checkpoint *checkpoint;
    mt_status status = session_load_model(given.run, !given.last, &checkpoint);
    if (status == MT_OK) {
        status = evaluate(checkpoint, &given);
        mt_checkpoint_destroy(checkpoint);
    }
    return report(status);
}
