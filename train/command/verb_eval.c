/* mixtape eval MODEL: on files, any model; on what was held out, that of a run. */
#include <mixtape/model_fields.h>

#include "io/weights_file.h"
#include "train/command/arguments.h"
#include "train/command/figures.h"
#include "train/command/held_out.h"
#include "train/command/kept_weights.h"
#include "train/command/measure.h"
#include "train/command/measure_shown.h"
#include "train/command/options.h"
#include "train/command/run_data.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <math.h>
#include <string.h>

static const struct argp_option options[] = {
    {"data", LONG_ONLY + 'd', "FILE...", 0,
     "Measure on all of these files and folders, instead of a run's held-out data", 0},
    {"task", LONG_ONLY + 't', "text|tokens|ids", 0,
     "What they hold; tokens are transcripts (else as the model tells)", 0},
    {"unit", LONG_ONLY + 'u', "char|byte|word", 0,
     "What a symbol is, where the model does not tell", 0},
    {"token-list", LONG_ONLY + 'k', "FILE", 0, "The tokens of a model that has none", 0},
    {"tokenizer", LONG_ONLY + 'O', "FILE", 0, "Read text by this tokenizer, instead of the model's",
     0},
    {"bpemodel", 0, NULL, OPTION_ALIAS, NULL, 0},
    {"ids-type", LONG_ONLY + 'i', "uint16|uint32|int32|int64", 0,
     "The integers of a .bin that does not tell", 0},
    {"start", LONG_ONLY + 's', "SYMBOL", 0,
     "Feed it before each document (\"\": none; transcripts begin with label 0, <blank>); "
     "SYMBOL "
     "is a symbol's text, or with --task ids its number",
     0},
    {"end", LONG_ONLY + 'e', "SYMBOL", 0, "Count it behind each document", 0},
    {"per-utterance", LONG_ONLY + 'U', NULL, 0,
     "Print `ID log-likelihood tokens` of each, in nats, in the order of the files", 0},
    {"window", LONG_ONLY + 'w', "T", 0,
     "Symbols of one call: changes memory and speed, not what is measured", 0},
    {"batch", LONG_ONLY + 'b', "B", 0, "Short documents of one call: the same", 0},
    {"json", LONG_ONLY + 'j', NULL, 0, "Print JSON", 0},
    {"last", LONG_ONLY + 'l', NULL, 0, "The last checkpoint, instead of the best", 0},
    {"adapter", LONG_ONLY + 'A', "RUN", 0,
     "Use the model with what this run trained beside it (--tune)", 0},
    {"weights", LONG_ONLY + 'W', "f32|bf16|int8", 0,
     "Keep weights in memory so (default: as the model has them)", 0},
    {"device", LONG_ONLY + 'v', "auto|cpu|cuda[:I]", 0,
     "Where to compute (default auto; of held-out data, the run's)", 0},
    {"threads", LONG_ONLY + 'T', "N", 0,
     "Threads of the CPU, 0: all (of held-out data, else the run's)", 0},
    {0}};

static const char *option_name(int key)
{
    const struct argp_option *option = options;
    while (option->key != key) {
        option++;
    }
    return option->name;
}

/* The model comes first; behind --data stand files. */
static mt_status take_argument(char *text, const struct argp_state *state, eval_arguments *given)
{
    if (given->model != NULL && given->in_data) {
        return file_list_add(&given->data, text);
    }
    parse_argument(ARGP_KEY_ARG, text, state, "model", &given->model);
    return MT_OK;
}

static void check_arguments(const eval_arguments *given, const struct argp_state *state)
{
    if (given->of_files != NULL && given->data.count == 0) {
        wrong_arguments(state, "--%s is for files, of which none is named (--data FILE...)",
                        given->of_files);
    }
    const char *task = given->symbols.task;
    if (task != NULL && !measure_has_kind(task)) {
        wrong_arguments(state, "--task %s: not one of %s", task, measure_kinds);
    }
    if (given->ids_type != NULL && mt_choice_find(mt_ids_raw_name, given->ids_type) < 0) {
        wrong_arguments(state, "--ids-type %s: no integers are called so", given->ids_type);
    }
}

/* The options that say how files are measured. */
static error_t parse_of_files(int key, char *text, struct argp_state *state)
{
    eval_arguments *given = state->input;
    mt_status status = MT_OK;
    switch (key) {
    case LONG_ONLY + 't':
        given->symbols.task = text;
        break;
    case LONG_ONLY + 'u':
        given->symbols.unit = text;
        break;
    case LONG_ONLY + 'k':
        given->symbols.token_list = text;
        break;
    case LONG_ONLY + 'O':
        given->symbols.tokenizer = text;
        break;
    case LONG_ONLY + 's':
        given->start = text;
        break;
    case LONG_ONLY + 'e':
        given->end = text;
        break;
    case LONG_ONLY + 'i':
        given->ids_type = text;
        break;
    case LONG_ONLY + 'U':
        given->per_utterance = true;
        break;
    case LONG_ONLY + 'w':
        status = parse_whole("window", text, 1, 1 << 24, &given->window);
        break;
    case LONG_ONLY + 'b':
        status = parse_whole("batch", text, 1, 1 << 24, &given->batch);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    given->of_files = option_name(key);
    return parsed(status);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    eval_arguments *given = state->input;
    mt_status status = MT_OK;
    if (key == ARGP_KEY_ARG) {
        return parsed(take_argument(text, state, given));
    }
    given->in_data = key == LONG_ONLY + 'd';
    switch (key) {
    case LONG_ONLY + 'l':
        given->last = true;
        break;
    case LONG_ONLY + 'd':
        status = file_list_add(&given->data, text);
        break;
    case LONG_ONLY + 'j':
        given->json = true;
        break;
    case LONG_ONLY + 'A':
        given->adapter = text;
        break;
    case LONG_ONLY + 'W':
        given->weights = text;
        break;
    case LONG_ONLY + 'v':
        given->device = text;
        break;
    case LONG_ONLY + 'T':
        given->threads = text;
        break;
    case ARGP_KEY_END:
        check_arguments(given, state);
        kept_weights_check(given->weights, state);
        break;
    case ARGP_KEY_NO_ARGS:
        return parse_argument(key, text, state, "model", &given->model);
    default:
        return parse_of_files(key, text, state);
    }
    return parsed(status);
}

/* ---- held-out data of a run, as it was validated ---- */

static mt_status open_session(const mt_checkpoint *checkpoint, const eval_arguments *given,
                              train_session *session)
{
    run_config config;
    mt_status status = session_config_of(given->model, checkpoint, &config);
    if (status == MT_OK && given->device != NULL) {
        status = options_set(&config, "device", given->device);
    }
    if (status == MT_OK && given->threads != NULL) {
        status = options_set(&config, "threads", given->threads);
    }
    if (status == MT_OK) {
        config.tune = TUNE_ALL; /* what is beside the model comes with its weights */
        config.rates[0] = '\0';
        status = session_open(&config, checkpoint, NULL, session);
    }
    run_config_clear(&config);
    return status;
}

static mt_status show_held_out(const mt_checkpoint *checkpoint, const train_session *session,
                               const mt_evaluation *found, const eval_arguments *given)
{
    figure_list shown = {0};
    const char *const texts[] = {"model", given->model, "task", session->task->name, NULL};
    figures_add(&shown, "step", (double)checkpoint->state.step, 0);
    figures_add(&shown, "loss", found->loss, 6);
    if (session->task->language) {
        figures_add(&shown, "perplexity", exp(found->loss), 4);
    }
    if (!session->task->regression) {
        figures_add(&shown, "accuracy", found->accuracy, 6);
    }
    figures_add(&shown, "counted", (double)found->counted, 0);
    return figures_print(&shown, given->json, texts);
}

static mt_status evaluate_held_out(const mt_checkpoint *checkpoint, const eval_arguments *given)
{
    train_session session;
    mt_evaluation found;
    if (checkpoint->run_config == NULL) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: it has no run's configuration, so no held-out data (--data FILE)",
                       given->model);
    }
    mt_status status = open_session(checkpoint, given, &session);
    if (status != MT_OK) {
        return status;
    }
    status = run_data_tell_changed(&session);
    if (status == MT_OK) {
        status = mt_weights_restore_new(checkpoint->weights, session.model);
    }
    if (status == MT_OK) {
        status = kept_weights_turn(session.model, given->weights);
    }
    if (status == MT_OK) {
        train_progress progress = progress_make(NULL, session.task->language, 0);
        session.progress = &progress;
        status = session_evaluate(&session, NULL, &found);
    }
    if (status == MT_OK) {
        status = show_held_out(checkpoint, &session, &found, given);
    }
    session_close(&session);
    return status;
}

int verb_eval(int argc, char **argv)
{
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "MODEL",
        .doc = "Measures a model: that of a run on what was held out or, with --data, any model on "
               "files."};
    eval_arguments given = {.symbols = {.numbers_option = "--task ids"}};
    parse_arguments(&argp, argc, argv, &given);
    mt_checkpoint *checkpoint;
    mt_status status = session_load_adapted(given.model, given.adapter, !given.last, &checkpoint);
    if (status == MT_OK) {
        status = given.data.count > 0 ? evaluate_files(checkpoint, &given)
                                      : evaluate_held_out(checkpoint, &given);
        mt_checkpoint_destroy(checkpoint);
    }
    file_list_clear(&given.data);
    return report(status);
}
