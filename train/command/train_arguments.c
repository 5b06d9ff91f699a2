#include "train/command/train_arguments.h"

#include "train/command/arguments.h"
#include "train/command/config_file.h"
#include "train/command/options.h"
#include "train/command/train_configure.h"
#include "train/task.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RESUME_KEY = LONG_ONLY + 'r',
    ESPNET_KEY = LONG_ONLY + 'e',
    STYLE_KEY = LONG_ONLY + 's',
    PRESET_KEY = LONG_ONLY + 'p',
    LIST_KEY = LONG_ONLY + 'l',
    DRY_KEY = LONG_ONLY + 'd',
    RANK_KEY = LONG_ONLY + 'k',
    SIZE_KEY = LONG_ONLY + 'n',
    ADDRESS_KEY = LONG_ONLY + 'a',
    WAIT_KEY = LONG_ONLY + 'w',
    CONFIG_KEY = LONG_ONLY + 'c',
    PRINT_KEY = LONG_ONLY + 'P'
};

/* The verb's own options. */
static const struct argp_option own[] = {
    {"resume", RESUME_KEY, "RUN", 0, "Go on with the run in that folder, where it stopped", -1},
    {"style", STYLE_KEY, "espnet|rwkv-lm|hf", 0,
     "Make the model one that can be exported to this layout: set its norm, eps, biases and "
     "padding "
     "so, and refuse options that say otherwise",
     -1},
    {"preset", PRESET_KEY, "NAME", 0,
     "Set options as a file that comes with Mixtape does, before those that are given, and take "
     "its "
     "task unless one is named",
     -1},
    {"list-presets", LIST_KEY, NULL, 0, "Tell what presets there are, and end", -1},
    {"espnet-config", ESPNET_KEY, "FILE", 0,
     "Take the model from decoder_conf of an ESPnet training configuration (decoder: rwkv), and "
     "its "
     "token_list, bpemodel and non_linguistic_symbols; the task is tokens unless named; what "
     "--init "
     "and options tell comes before it",
     -1},
    {"config", CONFIG_KEY, "FILE", 0,
     "Take the task and options from a file as config.yaml is, or a copy of a preset; those that "
     "are given come before it",
     -1},
    {"print-config", PRINT_KEY, NULL, 0, "Print the options as config.yaml will have them, and end",
     -1},
    {"dry-run", DRY_KEY, NULL, 0,
     "Check everything, tell what memory the run will hold, and end, with nothing taken or written",
     -1},
    {"address", ADDRESS_KEY, "HOST:PORT", 0,
     "Train with other processes, which are given the same: rank 0 listens there, on a network "
     "that is trusted",
     -1},
    {"rank", RANK_KEY, "R", 0,
     "Which of them this one is, 0 .. N - 1 (default: as mpirun, srun or torchrun tell)", -1},
    {"world-size", SIZE_KEY, "N", 0, "How many they are (default: likewise)", -1},
    {"wait", WAIT_KEY, "SECONDS", 0, "How long they wait for one another (default 300)", -1},
    {0}};

static void add_option(train_arguments *given, const char *name, const char *text)
{
    given->options[given->count++] = (given_option){name, text, false};
}

/* The options of the table. */
static error_t parse_option(int key, const char *text, const struct argp_state *state)
{
    train_arguments *given = state->input;
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
    train_arguments *given = state->input;
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

/* Those by which processes meet. */
static mt_status take_meeting(int key, const char *text, ranks_meeting *meeting)
{
    long long number = 0;
    mt_status status = MT_OK;
    switch (key) {
    case RANK_KEY:
        status = parse_whole("rank", text, 0, INT_MAX, &number);
        meeting->rank = (int)number;
        break;
    case SIZE_KEY:
        status = parse_whole("world-size", text, 1, INT_MAX, &number);
        meeting->size = (int)number;
        break;
    case WAIT_KEY:
        status = parse_real("wait", text, 0.0, 1e6, &meeting->seconds);
        break;
    default:
        meeting->address = text;
    }
    return status;
}

static void check_meeting(const train_arguments *given, const struct argp_state *state)
{
    const ranks_meeting *meeting = &given->meeting;
    if ((meeting->rank >= 0) != (meeting->size > 0)) {
        wrong_arguments(state, "--rank and --world-size are given together");
    }
    if (meeting->address == NULL && (meeting->size > 0 || meeting->seconds >= 0.0)) {
        wrong_arguments(state, "--%s is given with --address",
                        meeting->size > 0 ? "world-size" : "wait");
    }
    if (given->dry_run && meeting->address != NULL && meeting->size != 1) {
        wrong_arguments(state, "--dry-run: it is of one process, and --address is of several");
    }
}

/* One of the verb's own options, unless it is none of them. */
static mt_status take_own(int key, const char *text, train_arguments *given, bool *taken)
{
    *taken = true;
    switch (key) {
    case RESUME_KEY:
        given->resume = text;
        break;
    case ESPNET_KEY:
        given->espnet_config = text;
        break;
    case STYLE_KEY:
        return mt_layout_parse(text, &given->style);
    case PRESET_KEY:
        return preset_find(text, &given->preset);
    case LIST_KEY:
        given->list_presets = true;
        break;
    case DRY_KEY:
        given->dry_run = true;
        break;
    case CONFIG_KEY:
        given->config = text;
        break;
    case PRINT_KEY:
        given->print_config = true;
        break;
    case RANK_KEY:
    case SIZE_KEY:
    case ADDRESS_KEY:
    case WAIT_KEY:
        return take_meeting(key, text, &given->meeting);
    default:
        *taken = false;
    }
    return MT_OK;
}

/* An option of the verb's own that a file may have, or NULL. */
static const struct argp_option *find_for_file(const char *name)
{
    static const int keys[] = {STYLE_KEY, PRESET_KEY, ESPNET_KEY, ADDRESS_KEY,
                               RANK_KEY,  SIZE_KEY,   WAIT_KEY};
    for (const struct argp_option *option = own; option->name != NULL; option++) {
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            if (option->key == keys[i] && strcmp(option->name, name) == 0) {
                return option;
            }
        }
    }
    return NULL;
}

bool train_arguments_may_be_in_file(const char *name)
{
    return find_for_file(name) != NULL;
}

mt_status train_arguments_take(train_arguments *given, const char *name, const char *text)
{
    train_arguments said = *given;
    const ranks_meeting *meeting = &given->meeting;
    const struct argp_option *option = find_for_file(name);
    bool taken;
    mt_status status = option != NULL ? take_own(option->key, text, &said, &taken) : MT_OK;
    if (option == NULL || status != MT_OK) {
        return status;
    }
    given->style = given->style != NULL ? given->style : said.style;
    given->preset = given->preset != NULL ? given->preset : said.preset;
    given->espnet_config = given->espnet_config != NULL ? given->espnet_config : said.espnet_config;
    given->meeting = (ranks_meeting){
        .address = meeting->address != NULL ? meeting->address : said.meeting.address,
        .rank = meeting->rank >= 0 ? meeting->rank : said.meeting.rank,
        .size = meeting->size > 0 ? meeting->size : said.meeting.size,
        .seconds = meeting->seconds >= 0.0 ? meeting->seconds : said.meeting.seconds};
    return MT_OK;
}

mt_status train_arguments_name_task(train_arguments *given)
{
    mt_status status = MT_OK;
    if (given->espnet_config != NULL && given->task == NULL) {
        given->task = "tokens";
    }
    if (given->preset != NULL && given->task == NULL) {
        status = preset_task(given->preset, given->preset_task);
        given->task = given->preset_task[0] != '\0' ? given->preset_task : NULL;
    }
    return status;
}

/* What does not go together. */
static void check_together(train_arguments *given, const struct argp_state *state)
{
    if (given->espnet_config != NULL && given->resume != NULL) {
        wrong_arguments(state, "--espnet-config is for a new run, not for --resume");
    }
    if (given->preset != NULL && given->resume != NULL) {
        wrong_arguments(state, "--preset is for a new run, not for --resume");
    }
    if (given->style != NULL && (given->resume != NULL || given->espnet_config != NULL)) {
        wrong_arguments(state, "--style is for a new run, and --espnet-config has its own");
    }
    check_meeting(given, state);
    if (given->config != NULL && given->resume != NULL) {
        wrong_arguments(state, "--config is for a new run, not for --resume");
    }
}

static void check_task(train_arguments *given, const struct argp_state *state)
{
    if (!given->list_presets && (given->task == NULL) == (given->resume == NULL)) {
        wrong_arguments(state, "name a task, or a run with --resume, and not both");
    }
}

/* What was given, all in all. */
static void finish(train_arguments *given, const struct argp_state *state)
{
    if (given->config != NULL && given->resume == NULL) {
        parsed(config_file_take(given->config, given));
    }
    parsed(train_arguments_name_task(given));
    check_together(given, state);
    check_task(given, state);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    train_arguments *given = state->input;
    if (key == ARGP_KEY_ARG) {
        parse_other(text, state);
        return 0;
    }
    if (key == ARGP_KEY_END) {
        finish(given, state);
        return 0;
    }
    bool taken;
    parsed(take_own(key, text, given, &taken));
    if (!taken) {
        return parse_option(key, text, state);
    }
    given->list = NULL; /* what comes behind is of no list */
    return 0;
}

const char *train_argument(const train_arguments *given, const char *name)
{
    const char *text = NULL;
    for (int i = 0; i < given->count; i++) {
        text = strcmp(given->options[i].name, name) == 0 ? given->options[i].text : text;
    }
    return text;
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
        "and config.yaml what a run used. SIGHUP (but not under nohup), SIGINT, SIGTERM, "
        "SIGUSR2 and SIGXCPU end a run after the step at work, saved, with exit status 128 + the "
        "signal's number; SIGUSR1 saves it, and it goes on. Processes that mpirun, srun or "
        "torchrun "
        "starts share each batch.");
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

mt_status train_arguments_parse(int argc, char **argv, run_config *config, train_arguments *given)
{
    configure_defaults(named_task(argc, argv), config);
    const struct argp argp = {.options = options_argp(own, config),
                              .parser = parse,
                              .args_doc =
                                  "TASK\n--preset NAME\n--espnet-config FILE\n--config FILE\n"
                                  "--resume RUN",
                              .doc = list_tasks()};
    *given = (train_arguments){.meeting = {.rank = -1, .seconds = -1.0},
                               .options = calloc((size_t)argc, sizeof *given->options)};
    if (given->options == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %d arguments", argc);
    }
    parse_arguments(&argp, argc, argv, given);
    if (given->meeting.seconds < 0.0) {
        given->meeting.seconds = MT_COMMUNICATOR_SECONDS;
    }
    return MT_OK;
}

void train_arguments_free(train_arguments *given)
{
    free(given->options);
    run_config_clear(&given->file_config);
    file_list_clear(&given->file_texts);
}
