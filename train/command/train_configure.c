#include "train/command/train_configure.h"

#include <mixtape/adapter.h>

#include "train/command/espnet_config.h"
#include "train/command/init_sizes.h"
#include "train/command/options.h"
#include "train/command/style.h"
#include "train/command/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
static void empty_given_lists(const train_arguments *given, run_config *config)
{
    for (int i = 0; i < given->count; i++) {
        options_empty_list(config, given->options[i].name);
    }
}

/* A share of the data is none of other data. */
static mt_status check_validation(const train_arguments *given, const run_config *config)
{
    const char *share = train_argument(given, "valid-share");
    return share == NULL || config->valid_data.count == 0
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "--valid-share %s: a share of --data, where --valid-data is validated on",
                         share);
}

/* What is beside a model is trained beside one that is there. */
static mt_status check_tuning(const train_arguments *given, const run_config *config)
{
    static const char *const of_lora[] = {"lora-rank", "lora-alpha", "lora-on"};
    const char *tune = train_argument(given, "tune");
    unsigned on;
    for (size_t i = 0; i < sizeof of_lora / sizeof *of_lora; i++) {
        const char *text = train_argument(given, of_lora[i]);
        if (text != NULL && config->tune != TUNE_LORA) {
            return mt_fail(MT_ERROR_INVALID, "--%s %s: it is of --tune lora", of_lora[i], text);
        }
    }
    if (config->tune != TUNE_ALL && config->init[0] == '\0') {
        return mt_fail(MT_ERROR_INVALID,
                       "--tune %s: there is no model to adapt (name it with --init)", tune);
    }
    if (config->tune == TUNE_STATE && config->carry) {
        return mt_fail(MT_ERROR_INVALID,
                       "--carry: rows would not begin from the state that --tune state trains");
    }
    mt_status status = mt_projections_parse(config->lora_on, &on);
    return status == MT_OK ? MT_OK : mt_fail(status, "--lora-on: %s", mt_error_message());
}

/* A new run with --carry-gradient carries, unless it says otherwise. */
static mt_status take_carry(const train_arguments *given, run_config *config)
{
    const char *windows = train_argument(given, "carry-gradient");
    bool is_new = given->resume == NULL && train_argument(given, "carry") == NULL;
    config->carry = config->carry || (windows != NULL && is_new);
    return windows == NULL || config->carry
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "--carry-gradient %s: it is of --carry", windows);
}

/* The rates of a preset are of a model's parameters, which stay as they are beside what is trained.
 */
static void leave_out_rates(const train_arguments *given, run_config *config)
{
    if (given->preset != NULL && config->tune != TUNE_ALL &&
        train_argument(given, "rates") == NULL) {
        config->rates[0] = '\0';
    }
}

mt_status configure_given(const train_arguments *given, run_config *config)
{
    mt_status status = MT_OK;
    if (train_argument(given, "dropout") !=
        NULL) { /* the rates of a file, or of the run, are over */
        config->model.embed_dropout = config->model.att_dropout = config->model.ffn_dropout = -1.0;
    }
    empty_given_lists(given, config);
    for (int i = 0; i < given->count && status == MT_OK; i++) {
        const given_option *option = &given->options[i];
        status = given->resume != NULL ? options_change(config, option->name, option->text)
                 : option->kept &&
                         (options_is_read(config->task, option->name) || style_sets(option->name))
                     ? options_add_kept(config, option->name, option->text)
                     : options_set_for(config->task, config, option->name, option->text);
    }
    if (status == MT_OK) {
        status = take_carry(given, config);
    }
    if (status == MT_OK) {
        status = make_all_absolute(&config->data);
    }
    if (status == MT_OK) {
        status = make_all_absolute(&config->valid_data);
    }
    if (status == MT_OK) {
        status = make_absolute(config->token_list);
    }
    if (status == MT_OK && given->resume == NULL) {
        status = make_absolute(config->init);
    }
    if (status == MT_OK && given->resume == NULL) {
        status = make_absolute(config->tokenizer);
    }
    if (status == MT_OK) {
        status = check_validation(given, config);
    }
    return status == MT_OK ? check_tuning(given, config) : status;
}

void configure_defaults(const train_task *task, run_config *config)
{
    options_defaults(config);
    if (task != NULL) {
        snprintf(config->task, sizeof config->task, "%s", task->name);
        task->defaults(config);
    }
}

static mt_status check_unit(const train_arguments *given, const train_task *task,
                            const mt_checkpoint *init, const run_config *config)
{
    const char *unit = train_argument(given, "unit");
    bool is_split = task->transcripts && config->unit == UNIT_WORD; /* before, with that of init */
    bool has_tokenizer = config->tokenizer[0] != '\0' ||
                         (init != NULL && init->weights->tokenizer.bytes != NULL && !is_split);
    bool reads_text = task->encodes || task->transcripts;
    return unit != NULL && reads_text && has_tokenizer ? tokenizer_refuse_unit(unit) : MT_OK;
}

mt_status configure_before(const train_arguments *given, const train_task *task,
                           const mt_weights *init, run_config *config)
{
    mt_status status = MT_OK;
    configure_defaults(task, config);
    if (given->style != NULL) {
        status = style_set(given->style, config);
    }
    if (status == MT_OK && given->espnet_config != NULL) {
        status = espnet_config_read(given, init, config);
    }
    if (status == MT_OK && given->preset != NULL) {
        status = preset_set(given->preset, config);
    }
    return status;
}

/* Tells if the value of an option is that of a file of options. */
static bool is_of_file(const train_arguments *given, const char *name)
{
    bool found = false;
    for (int i = 0; i < given->count; i++) {
        found = strcmp(given->options[i].name, name) == 0 ? given->options[i].kept : found;
    }
    return found;
}

/* A file of options knows the data that it names, which are to be the same. */
static void take_digests(const train_arguments *given, run_config *config)
{
    if (is_of_file(given, "data")) {
        memcpy(config->data_digest, given->file_config.data_digest, sizeof config->data_digest);
    }
    if (is_of_file(given, "valid-data")) {
        memcpy(config->valid_digest, given->file_config.valid_digest, sizeof config->valid_digest);
    }
}

mt_status configure_new(const train_arguments *given, const mt_checkpoint *init, run_config *config)
{
    const train_task *task;
    mt_status status = task_find(given->task, &task);
    if (status != MT_OK) {
        return status;
    }
    status = configure_before(given, task, init != NULL ? init->weights : NULL, config);
    if (status == MT_OK && init != NULL) {
        init_sizes_take(given, init->weights, config);
    }
    if (status == MT_OK) {
        status = configure_given(given, config);
        leave_out_rates(given, config);
        take_digests(given, config);
    }
    if (status == MT_OK && given->preset != NULL) {
        status = preset_check(given->preset, config);
    }
    if (status == MT_OK) {
        status = check_unit(given, task, init, config);
    }
    return status == MT_OK && given->style != NULL ? style_check(given->style, config) : status;
}
