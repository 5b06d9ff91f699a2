/* mixtape train TASK [options], mixtape train --resume RUN [options] */
#include "io/weights_file.h"
#include "train/command/arguments.h"
#include "train/command/data_names.h"
#include "train/command/edited_config.h"
#include "train/command/espnet_config.h"
#include "train/command/loop.h"
#include "train/command/options.h"
#include "train/command/run_data.h"
#include "train/command/style.h"
#include "train/command/tokenizer.h"
#include "train/command/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESUME_KEY = LONG_ONLY + 'r', ESPNET_KEY = LONG_ONLY + 'e', STYLE_KEY = LONG_ONLY + 's' };

typedef struct given_option {
    const char *name, *text;
} given_option;

/* Options as they stand on the command line: they are set once the task's own defaults are. */
typedef struct arguments {
    const char *task, *resume, *espnet_config;
    const mt_layout *style; /* or NULL */
    const char *list; /* the option that an argument belongs to: a list that stands before it */
    int count;
    given_option *options; /* with room for every argument */
} arguments;

static void add_option(arguments *given, const char *name, const char *text)
{
    given->options[given->count++] = (given_option){name, text};
}

/* The options of the table. */
static error_t parse_option(int key, const char *text, const struct argp_state *state)
{
    arguments *given = state->input;
    const char *name = options_name(key);
    if (name == NULL) {
        return ARGP_ERR_UNKNOWN;
    }
    add_option(given, name, text != NULL ? text : "true");
    given->list = options_is_list(name) ? name : NULL;
    return 0;
}

/* What is no option: the task, or one more of the files behind an option that takes several. */
static void parse_other(const char *text, const struct argp_state *state)
{
    arguments *given = state->input;
    const train_task *task;
    bool is_task = given->task == NULL && given->resume == NULL && task_find(text, &task) == MT_OK;
    if (given->list != NULL && !is_task) {
        add_option(given, given->list, text);
    } else if (given->task != NULL) {
        wrong_arguments(state, "one task is enough: '%s' or '%s'", given->task, text);
    } else {
        given->task = text;
    }
}

/* The verb's own. */
static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case RESUME_KEY:
        given->resume = text;
        given->list = NULL;
        return 0;
    case ESPNET_KEY:
        given->espnet_config = text;
        given->list = NULL;
        return 0;
    case STYLE_KEY:
        given->list = NULL;
        return parsed(mt_layout_parse(text, &given->style));
    case ARGP_KEY_ARG:
        parse_other(text, state);
        return 0;
    case ARGP_KEY_END:
        if (given->espnet_config != NULL) {
            if (given->resume != NULL) {
                wrong_arguments(state, "--espnet-config is for a new run, not for --resume");
            }
            given->task = given->task != NULL ? given->task : "tokens";
        }
        if (given->style != NULL && (given->resume != NULL || given->espnet_config != NULL)) {
            wrong_arguments(state, "--style is for a new run, and --espnet-config has its own");
        }
        if ((given->task == NULL) == (given->resume == NULL)) {
            wrong_arguments(state, "name a task, or a run with --resume, and not both");
        }
        return 0;
    default:
        return parse_option(key, text, state);
    }
}

static const char *option_text(const arguments *given, const char *name)
{
    const char *text = NULL;
    for (int i = 0; i < given->count; i++) {
        text = strcmp(given->options[i].name, name) == 0 ? given->options[i].text : text;
    }
    return text;
}

/* A run finds its data again from whatever folder it goes on. A file that is not there keeps the
 * name that it was given, for the complaint: `absolute` is NULL. */
static mt_status find_absolute(const char *path, char **absolute)
{
    *absolute = realpath(path, NULL);
    *absolute = *absolute == NULL && errno == ENOENT ? mt_token_ids_absolute(path) : *absolute;
    return *absolute == NULL && errno == ENOMEM
               ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for its whole path", path)
               : MT_OK;
}

static mt_status make_all_absolute(file_list *files)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < files->count && status == MT_OK; i++) {
        char *absolute;
        status = find_absolute(files->names[i], &absolute);
        if (absolute != NULL) {
            free(files->names[i]);
            files->names[i] = absolute;
        }
    }
    return status;
}

static mt_status make_absolute(char path[TEXT_MAX])
{
    char *absolute;
    mt_status status = find_absolute(path, &absolute);
    if (absolute != NULL && strlen(absolute) < TEXT_MAX) {
        memcpy(path, absolute, strlen(absolute) + 1);
    }
    free(absolute);
    return status;
}

/* What a list had before is over when it is given. */
static void empty_given_lists(const arguments *given, run_config *config)
{
    for (int i = 0; i < given->count; i++) {
        options_empty_list(config, given->options[i].name);
    }
}

static mt_status set_options(const arguments *given, run_config *config)
{
    mt_status status = MT_OK;
    if (option_text(given, "dropout") != NULL) { /* the rates of a file, or of the run, are over */
        config->model.embed_dropout = config->model.att_dropout = config->model.ffn_dropout = -1.0;
    }
    empty_given_lists(given, config);
    for (int i = 0; i < given->count && status == MT_OK; i++) {
        const char *name = given->options[i].name, *text = given->options[i].text;
        status = given->resume != NULL ? options_change(config, name, text)
                                       : options_set_for(config->task, config, name, text);
    }
    if (status == MT_OK) {
        status = make_all_absolute(&config->data);
    }
    if (status == MT_OK) {
        status = make_all_absolute(&config->valid_data);
    }
    return status == MT_OK ? make_absolute(config->token_list) : status;
}

/* The file that --init names, or NULL. */
static mt_status load_init(const arguments *given, mt_checkpoint **init)
{
    const char *file = option_text(given, "init");
    *init = NULL;
    return file != NULL ? session_load_model(file, true, init) : MT_OK;
}

/* Those of a task; of every task where it is NULL. */
static void set_defaults(const train_task *task, run_config *config)
{
    options_defaults(config);
    if (task != NULL) {
        snprintf(config->task, sizeof config->task, "%s", task->name);
        task->defaults(config);
    }
}

static mt_status check_unit(const arguments *given, const train_task *task,
                            const mt_checkpoint *init, const run_config *config)
{
    const char *unit = option_text(given, "unit");
    bool has_tokenizer =
        config->tokenizer[0] != '\0' || (init != NULL && init->weights->tokenizer.bytes != NULL);
    return unit != NULL && task->encodes && has_tokenizer ? tokenizer_refuse_unit(unit) : MT_OK;
}

/* The sizes of --init; but what its file does not tell stays as ESPnet's configuration has it. */
static void take_init(const mt_weights *init, bool has_espnet_config, run_config *config)
{
    mt_model_config before = config->model;
    session_take_sizes(&init->config, config);
    if (has_espnet_config && init->file->assumes_context) {
        config->model.context_size = before.context_size;
    }
    if (has_espnet_config && init->file->assumes_eps && before.norm.eps > 0.0 &&
        before.norm.kind == init->config.norm.kind) {
        config->model.norm.eps = before.norm.eps;
    }
}

/* The task's configuration; over it the style's, ESPnet's, and the sizes of `init`, or NULL; over
 * those the command line. */
static mt_status configure(const arguments *given, const mt_checkpoint *init, run_config *config)
{
    const train_task *task;
    mt_status status = task_find(given->task, &task);
    if (status != MT_OK) {
        return status;
    }
    set_defaults(task, config);
    if (given->style != NULL) {
        status = style_set(given->style, config);
    }
    if (given->espnet_config != NULL) {
        status = espnet_config_read(given->espnet_config, config);
    }
    if (init != NULL) {
        take_init(init->weights, given->espnet_config != NULL, config);
    }
    if (status == MT_OK) {
        status = set_options(given, config);
    }
    if (status == MT_OK) {
        status = check_unit(given, task, init, config);
    }
    return status == MT_OK && given->style != NULL ? style_check(given->style, config) : status;
}

enum { NOTICE_TEXT = DATA_NAMES_NOTE + RUN_DATA_TEXT };

static void add_clause(char notice[NOTICE_TEXT], const char *clause)
{
    size_t used = strlen(notice);
    snprintf(notice + used, NOTICE_TEXT - used, "%s%s", used > 0 && clause[0] != '\0' ? "; " : "",
             clause);
}

/* Opens a run, new or as it goes on from a checkpoint, whose configuration was `former`. `notice`
 * gets what there is to say of its data. */
static mt_status open_run(const run_config *config, const run_config *former,
                          mt_checkpoint *checkpoint, const mt_checkpoint *init,
                          train_session *session, char notice[NOTICE_TEXT])
{
    char compared[RUN_DATA_TEXT] = "";
    if (config->data.count == 0 && options_is_read(config->task, "data")) {
        return mt_fail(MT_ERROR_INVALID, "%s: no files to train on (give them with --data)",
                       config->task);
    }
    mt_status status = data_names_check(&config->data, &config->valid_data, notice);
    if (status == MT_OK) {
        status = session_open(config, checkpoint, init, session);
    }
    if (status == MT_OK) {
        status = run_data_note(session);
        if (status != MT_OK) {
            session_close(session);
        }
    }
    if (status == MT_OK && checkpoint != NULL) {
        run_data_compare(former, session, &checkpoint->state, compared);
        add_clause(notice, compared);
    }
    return status;
}

/* Takes both checkpoints over, either of which may be NULL; `former` is the configuration of the
 * first. They are closed before the run trains, since it replaces files, of which one that is open
 * keeps its place on the disk. */
static int train(const run_config *config, const run_config *former, mt_checkpoint *checkpoint,
                 mt_checkpoint *init, run_folder *folder)
{
    train_session session;
    char notice[NOTICE_TEXT];
    loop_end end = LOOP_DONE;
    loop_catch_saving();
    mt_status status = open_run(config, former, checkpoint, init, &session, notice);
    mt_checkpoint_destroy(init);
    if (status != MT_OK) {
        mt_checkpoint_destroy(checkpoint);
        return report(status);
    }
    status = loop_run(&session, checkpoint, notice, folder, &end);
    session_close(&session);
    int exit_status = report(status);
    return status == MT_OK && end == LOOP_INTERRUPTED ? EXIT_SIGNAL + loop_signal() : exit_status;
}

/* Options that a run which goes on has no use for. */
static mt_status refuse_of_new_runs(const arguments *given)
{
    static const char *const names[] = {"init", "nlsyms", "out"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (option_text(given, names[i]) != NULL) {
            return mt_fail(MT_ERROR_INVALID, "--%s is for a new run, not for --resume", names[i]);
        }
    }
    return MT_OK;
}

/* The run's folder, of which its checkpoint may also be named. */
static mt_status find_folder(const char *run, char folder[TEXT_MAX])
{
    const char *slash = strrchr(run, '/');
    const char *last = slash != NULL ? slash + 1 : run;
    bool is_file = strcmp(last, "checkpoint.h5") == 0;
    int length = !is_file        ? snprintf(folder, TEXT_MAX, "%s", run)
                 : slash == NULL ? snprintf(folder, TEXT_MAX, ".")
                                 : snprintf(folder, TEXT_MAX, "%.*s", (int)(last - run), run);
    if (length == 0) {
        return mt_fail(MT_ERROR_INVALID, "--resume: no run is named");
    }
    return length < TEXT_MAX ? MT_OK
                             : mt_fail(MT_ERROR_INVALID, "--resume %.32s...: longer than %d bytes",
                                       run, TEXT_MAX - 1);
}

/* A file that is named again may be another. */
static void forget_named_data(const arguments *given, run_config *config)
{
    for (int i = 0; i < given->count; i++) {
        run_data_forget(config, given->options[i].name);
    }
}

/* Goes on with the run whose folder is locked. */
static int resume_locked(const arguments *given, run_folder *folder)
{
    char path[TEXT_MAX];
    mt_checkpoint *checkpoint;
    run_config former, config = {.task = ""};
    mt_status status =
        mt_checkpoint_load(run_folder_file(folder, "checkpoint.h5", path), &checkpoint);
    if (status != MT_OK) {
        return report(status);
    }
    status = session_config_of(path, checkpoint, &former);
    if (status == MT_OK) {
        status = refuse_of_new_runs(given);
    }
    if (status == MT_OK) {
        status = run_config_copy(&former, &config);
    }
    if (status == MT_OK) {
        status = edited_config_take(folder, &config);
    }
    if (status == MT_OK) {
        forget_named_data(given, &config);
        status = set_options(given, &config);
    }
    int exit_status;
    if (status == MT_OK) {
        checkpoint->adam.clip = config.clip; /* as the options may say anew */
        checkpoint->adam.weight_decay = config.weight_decay;
        exit_status = train(&config, &former, checkpoint, NULL, folder);
    } else {
        mt_checkpoint_destroy(checkpoint);
        exit_status = report(status);
    }
    run_config_clear(&config);
    run_config_clear(&former);
    return exit_status;
}

static int resume(const arguments *given)
{
    char name[TEXT_MAX];
    run_folder folder;
    mt_status status = find_folder(given->resume, name);
    if (status == MT_OK) {
        status = run_folder_lock(name, &folder);
    }
    if (status != MT_OK) {
        return report(status);
    }
    int exit_status = resume_locked(given, &folder);
    run_folder_close(&folder);
    return exit_status;
}

static int begin(const arguments *given, run_config *config)
{
    mt_checkpoint *init;
    run_folder folder = {.log = NULL};
    mt_status status = load_init(given, &init);
    if (status != MT_OK) {
        return report(status);
    }
    status = configure(given, init, config);
    if (status != MT_OK) {
        mt_checkpoint_destroy(init);
        run_config_clear(config);
        return report(status);
    }
    int exit_status = train(config, NULL, NULL, init, &folder);
    run_folder_close(&folder);
    run_config_clear(config);
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
        "A task has defaults of its own for some options: `mixtape train TASK --help` tells them, "
        "and config.yaml what a run used. SIGHUP (but not under nohup), SIGINT and SIGTERM end a "
        "run after the step at work, saved, with exit status 128 + the signal's number; SIGUSR1 "
        "saves it, and it goes on.");
    return text;
}

/* The task on a command line, for the help to tell its defaults, or NULL. What follows an option
 * may be its value. */
static const train_task *named_task(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool may_be_value = strncmp(argv[i - 1], "--", 2) == 0 && strchr(argv[i - 1], '=') == NULL;
        for (int j = 0; tasks[j] != NULL && !may_be_value; j++) {
            if (strcmp(argv[i], tasks[j]->name) == 0) {
                return tasks[j];
            }
        }
    }
    return NULL;
}

int verb_train(int argc, char **argv)
{
    static const struct argp_option own[] = {
        {"resume", RESUME_KEY, "RUN", 0, "Go on with the run in that folder, where it stopped", -1},
        {"style", STYLE_KEY, "LAYOUT", 0,
         "Make the model one that can be exported to this layout (espnet, rwkv-lm or hf): set its "
         "norm, "
         "eps, biases and padding so, and refuse options that say otherwise",
         -1},
        {"espnet-config", ESPNET_KEY, "FILE", 0,
         "Take the model from decoder_conf of an ESPnet training configuration (decoder: rwkv); "
         "the task is tokens unless named; what --init and options tell comes before it",
         -1},
        {0}};
    run_config config;
    set_defaults(named_task(argc, argv), &config);
    const struct argp argp = {.options = options_argp(own, &config),
                              .parser = parse,
                              .args_doc = "TASK\n--espnet-config FILE\n--resume RUN",
                              .doc = list_tasks()};
    arguments given = {.options = calloc((size_t)argc, sizeof *given.options)};
    if (given.options == NULL) {
        return report(mt_fail(MT_ERROR_MEMORY, "no memory for %d arguments", argc));
    }
    parse_arguments(&argp, argc, argv, &given);
    int exit_status = given.resume != NULL ? resume(&given) : begin(&given, &config);
    free(given.options);
    return exit_status;
}
