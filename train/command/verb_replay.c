/* mixtape replay RUN: a bad step once more, to see where it goes wrong. */
#include "train/command/arguments.h"
#include "train/command/options.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

typedef struct arguments {
    const char *run, *device;
    long long threads;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case LONG_ONLY + 'd':
        given->device = text;
        return 0;
    case LONG_ONLY + 'T':
        return parsed(parse_threads(text, &given->threads));
    default:
        return parse_argument(key, text, state, "run", &given->run);
    }
}

/* The file itself, or bad_step.h5 in the folder of that name. */
static mt_status find_file(const char *run, char path[TEXT_MAX])
{
    struct stat info;
    bool is_folder = stat(run, &info) == 0 && S_ISDIR(info.st_mode);
    int length = snprintf(path, TEXT_MAX, is_folder ? "%s/bad_step.h5" : "%s", run);
    if (length >= TEXT_MAX) {
        return mt_fail(MT_ERROR_INVALID, "%.32s...: longer than %d bytes", run, TEXT_MAX - 1);
    }
    return is_folder && stat(path, &info) != 0
               ? mt_fail(MT_ERROR_IO, "%s: there is no bad_step.h5 in that folder: no step was bad",
                         run)
               : MT_OK;
}

/* Opens the model of the file, and the task without its data. */
static mt_status open_session(const arguments *given, const mt_checkpoint *checkpoint,
                              const char *path, train_session *session)
{
    run_config config;
    mt_status status = session_config_of(path, checkpoint, &config);
    if (status == MT_OK) {
        status = session_open_apart(checkpoint, config.dtype, given->device, (int)given->threads,
                                    session);
    }
    if (status != MT_OK) {
        run_config_clear(&config);
        return status;
    }
    session->config = config; /* which the session clears from now on */
    status = mt_device_allow_tf32(session->device, config.tf32);
    if (status == MT_OK) {
        status = task_find(config.task, &session->task);
    }
    if (status != MT_OK) {
        session_close(session);
    }
    return status;
}

static mt_status replay(const arguments *given, const mt_checkpoint *checkpoint, const char *path)
{
    train_session session;
    mt_replayed replayed;
    mt_status status = open_session(given, checkpoint, path, &session);
    if (status != MT_OK) {
        return status;
    }
    mt_objective objective = session_objective(&session);
    status = mt_replay(path, session.tape, &objective, session_trained(&session), &replayed);
    if (status == MT_OK) {
        printf("step %" PRId64 ", batch %" PRId64 ", on %s\nloss %g\n%s\n", replayed.step,
               replayed.batch, mt_device_name(session.device),
               isnan(replayed.loss) ? (double)NAN : replayed.loss,
               replayed.found[0] != '\0' ? replayed.found : "every tensor is finite");
    }
    session_close(&session);
    return status;
}

int verb_replay(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"device", LONG_ONLY + 'd', "auto|cpu|cuda[:I]", 0, "Where to compute (default auto)", 0},
        {"threads", LONG_ONLY + 'T', "N", 0, "Threads of the CPU (default 0: all)", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN",
        .doc = "Repeats the last bad step of a run, from its bad_step.h5, or that of the file "
               "named, and tells the first tensor that is not finite: of the batch, forward, then "
               "backward."};
    arguments given = {.device = "auto"};
    char path[TEXT_MAX];
    mt_checkpoint *checkpoint;
    parse_arguments(&argp, argc, argv, &given);
    mt_status status = find_file(given.run, path);
    if (status == MT_OK) {
        status = mt_checkpoint_load(path, &checkpoint);
    }
    if (status == MT_OK) {
        status = replay(&given, checkpoint, path);
        mt_checkpoint_destroy(checkpoint);
    }
    return report(status);
}
