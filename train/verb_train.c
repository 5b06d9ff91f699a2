/* mixtape train TASK [options], mixtape train --resume RUN [options] */
#include "train/arguments.h"
#include "train/espnet_config.h"
#include "train/loop.h"
#include "train/options.h"
#include "train/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESUME_KEY = 'r', ESPNET_KEY = 'e', MOST_OPTIONS = 128 };

/* Options as they stand on the command line: they are set once the task's own defaults are. */
typedef struct arguments {
    const char *task, *resume, *espnet_config;
    int count;
    struct {
        const char *name, *text;
    } options[MOST_OPTIONS];
} arguments;

/* The options of the table. */
static error_t parse_option(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    const char *name = options_name(key);
    if (name == NULL) {
        return ARGP_ERR_UNKNOWN;
    }
    if (given->count == MOST_OPTIONS) {
        wrong_arguments(state, "more than %d options", MOST_OPTIONS);
    }
    given->options[given->count].name = name;
    given->options[given->count++].text = text != NULL ? text : "true";
    return 0;
}

/* The verb's own. */
static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = given;
        return 0;
    case RESUME_KEY:
        given->resume = text;
        return 0;
    case ESPNET_KEY:
        given->espnet_config = text;
        return 0;
    case ARGP_KEY_ARG:
        if (given->task != NULL) {
            wrong_arguments(state, "one task is enough: '%s' or '%s'", given->task, text);
        }
        given->task = text;
        return 0;
    case ARGP_KEY_END:
        if (given->espnet_config != NULL) {
            if (given->resume != NULL) {
                wrong_arguments(state, "--espnet-config is for a new run, not for --resume");
            }
            given->task = given->task != NULL ? given->task : "tokens";
        }
        if ((given->task == NULL) == (given->resume == NULL)) {
            wrong_arguments(state, "name a task, or a run with --resume, and not both");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static mt_status set_options(const arguments *given, run_config *config)
{
    mt_status status = MT_OK;
    for (int i = 0; i < given->count && status == MT_OK; i++) {
        const char *name = given->options[i].name;
        if (strcmp(name, "dropout") == 0) { /* a file's own rates are over */
            config->embed_dropout = config->att_dropout = config->ffn_dropout = -1.0;
        }
        status = options_set(config, name, given->options[i].text);
    }
    return status;
}

/* The file that --init names, or NULL. */
static mt_status load_init(const arguments *given, mt_checkpoint **init)
{
    const char *file = NULL;
    for (int i = 0; i < given->count; i++) {
        file = strcmp(given->options[i].name, "init") == 0 ? given->options[i].text : file;
    }
    *init = NULL;
    return file != NULL ? session_load_model(file, true, init) : MT_OK;
}

/* The task's configuration; over it ESPnet's, and the sizes of `init`, or NULL; over those the
 * command line. */
static mt_status configure(const arguments *given, const mt_checkpoint *init, run_config *config)
{
    const train_task *task;
    mt_status status = task_find(given->task, &task);
    if (status != MT_OK) {
        return status;
    }
    options_defaults(config);
    snprintf(config->task, sizeof config->task, "%s", task->name);
    task->defaults(config);
    if (given->espnet_config != NULL) {
        status = espnet_config_read(given->espnet_config, config);
    }
    if (init != NULL) {
        session_take_sizes(&init->config, config);
    }
    return status == MT_OK ? set_options(given, config) : status;
}

static int train(const run_config *config, const mt_checkpoint *checkpoint,
                 const mt_checkpoint *init, const char *folder)
{
    train_session session;
    mt_status status = session_open(config, checkpoint, init, &session);
    if (status != MT_OK) {
        /* An option that cannot work is wrong usage; everything else is a failure. */
        report(status);
        return status == MT_ERROR_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    loop_end end;
    status = loop_run(&session, checkpoint, folder, &end);
    session_close(&session);
    int exit_status = report(status);
    return status == MT_OK && end == LOOP_INTERRUPTED ? EXIT_SIGNAL + loop_signal() : exit_status;
}

/* Options that a run which goes on has no use for. */
static mt_status refuse_of_new_runs(const arguments *given)
{
    for (int i = 0; i < given->count; i++) {
        const char *name = given->options[i].name;
        if (strcmp(name, "init") == 0 || strcmp(name, "out") == 0) {
            return mt_fail(MT_ERROR_INVALID, "--%s is for a new run, not for --resume", name);
        }
    }
    return MT_OK;
}

static int resume(const arguments *given)
{
    char path[TEXT_MAX];
    mt_checkpoint *checkpoint;
    run_config config;
    snprintf(path, sizeof path, "%s/checkpoint.h5", given->resume);
    mt_status status = mt_checkpoint_load(path, &checkpoint);
    if (status != MT_OK) {
        return report(status);
    }
    status = session_config_of(path, checkpoint, &config);
    if (status != MT_OK) {
        mt_checkpoint_destroy(checkpoint);
        return report(status);
    }
    status = refuse_of_new_runs(given);
    if (status == MT_OK) {
        status = set_options(given, &config);
    }
    int exit_status = status == MT_OK ? train(&config, checkpoint, NULL, given->resume)
                                      : (report(status), EXIT_USAGE);
    mt_checkpoint_destroy(checkpoint);
    return exit_status;
}

/* "copy: repeat ..., reverse: ..." for the help. */
static char *list_tasks(void)
{
    static char text[2048] = "Trains a model on a task:\n\n";
    for (int i = 0; tasks[i] != NULL; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "  %-8s %s\n", tasks[i]->name, tasks[i]->help);
    }
    size_t used = strlen(text);
    snprintf(
        text + used, sizeof text - used,
        "\nThe run's folder holds config.yaml, train.log, metrics.csv, checkpoint.h5 and best.h5.\v"
        "A task has defaults of its own for some options; config.yaml tells what a run used. "
        "SIGINT and SIGTERM end a "
        "run after the step at work, saved, with exit status 128 + the signal's number.");
    return text;
}

int verb_train(int argc, char **argv)
{
    static const struct argp_option own[] = {
        {"resume", RESUME_KEY, "RUN", 0, "Go on with the run in that folder, where it stopped", -1},
        {"espnet-config", ESPNET_KEY, "FILE", 0,
         "Take the model from decoder_conf of an ESPnet training configuration (decoder: rwkv); "
         "the task is tokens unless named",
         -1},
        {0}};
    const struct argp options = {.options = options_argp(), .parser = parse_option};
    const struct argp_child children[] = {{&options, 0, NULL, 0}, {0}};
    const struct argp argp = {.options = own,
                              .parser = parse,
                              .args_doc = "TASK\n--espnet-config FILE\n--resume RUN",
                              .doc = list_tasks(),
                              .children = children};
    arguments given = {.task = NULL};
    run_config config;
    parse_arguments(&argp, argc, argv, &given);
    if (given.resume != NULL) {
        return resume(&given);
    }
    mt_checkpoint *init;
    mt_status status = load_init(&given, &init);
    if (status != MT_OK) {
        return report(status);
    }
    status = configure(&given, init, &config);
    int exit_status = status == MT_OK              ? train(&config, NULL, init, NULL)
                      : status == MT_ERROR_INVALID ? report_usage(mt_error_message())
                                                   : report(status);
    mt_checkpoint_destroy(init);
    return exit_status;
}
