#include "train/command/config_file.h"

#include "io/file.h"
#include "train/command/options.h"
#include "train/command/train_configure.h"
#include "train/task.h"

#include <stdlib.h>
#include <string.h>

/* Its text, which lives as long as the arguments; NULL: there is no memory. */
static const char *keep_text(train_arguments *given, const char *text)
{
    char *kept = strdup(text);
    if (kept == NULL || file_list_add(&given->file_texts, kept) != MT_OK) {
        free(kept);
        return NULL;
    }
    free(kept);
    return given->file_texts.names[given->file_texts.count - 1];
}

/* Options of the verb's own are taken the first time that the file is read: the second time, the
 * context is NULL. */
static mt_status take_own(void *context, const char *name, const char *text, bool *taken)
{
    train_arguments *given = context;
    *taken = train_arguments_may_be_in_file(name);
    if (!*taken || given == NULL) {
        return MT_OK;
    }
    const char *kept = keep_text(given, text);
    return kept != NULL ? train_arguments_take(given, name, kept)
                        : mt_fail(MT_ERROR_MEMORY, "no memory for --%s", name);
}

/* Takes the verb's own options, and finds the task: the one that was named, the file's, or that of
 * what it names. */
static mt_status find_task(const char *text, train_arguments *given, const train_task **task)
{
    run_config named = {.task = ""};
    options_defaults(&named);
    named.task[0] = '\0';
    mt_status status = options_read_yaml_beside(&named, text, take_own, given);
    if (status == MT_OK && given->task == NULL && named.task[0] != '\0') {
        given->task = keep_text(given, named.task);
        status = given->task != NULL ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for its task");
    }
    run_config_clear(&named);
    if (status == MT_OK) {
        status = train_arguments_name_task(given);
    }
    if (status == MT_OK && given->task == NULL) {
        status = mt_fail(MT_ERROR_INVALID, "it names no task, and neither do the arguments");
    }
    return status == MT_OK ? task_find(given->task, task) : status;
}

/* What the file says, over what stands before; both are to be cleared. */
static mt_status read_file(const char *path, train_arguments *given, run_config *before,
                           run_config *config)
{
    char *text;
    size_t size;
    const train_task *task = NULL;
    mt_status status = mt_file_read(path, &text, &size);
    if (status == MT_OK && strlen(text) < size) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: not text: byte %zu is zero", path, strlen(text));
        free(text);
    }
    if (status != MT_OK) {
        return status;
    }
    status = find_task(text, given, &task);
    if (status == MT_OK) {
        status = configure_before(given, task, NULL, before);
    }
    if (status == MT_OK) {
        status = configure_before(given, task, NULL, config);
    }
    if (status == MT_OK) {
        status = options_read_yaml_beside(config, text, take_own, NULL);
        memcpy(config->task, before->task, sizeof config->task);
    }
    free(text);
    return status == MT_OK ? MT_OK : mt_fail(status, "%s: %s", path, mt_error_message());
}

static bool is_same_list(const file_list *a, const file_list *b)
{
    bool same = a->count == b->count;
    for (int64_t i = 0; i < a->count && same; i++) {
        same = strcmp(a->names[i], b->names[i]) == 0;
    }
    return same;
}

/* Room for the file's options before those that were given. */
static mt_status make_room(const run_config *config, train_arguments *given, given_option **made)
{
    size_t room = (size_t)given->count + MOST_ROWS;
    const option_row *row;
    for (int i = 0; (row = option_row_at(i)) != NULL; i++) {
        room += options_is_list(row->name) ? (size_t)options_list(row, config)->count : 0;
    }
    *made = calloc(room, sizeof **made);
    return *made != NULL ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for %zu options", room);
}

static mt_status add_row(const option_row *row, const run_config *before, const run_config *config,
                         train_arguments *given, given_option *made, int *count)
{
    char text[TEXT_MAX], initial[TEXT_MAX];
    if (options_is_list(row->name)) {
        const file_list *list = options_list(row, config);
        bool is_said = !is_same_list(list, options_list(row, before));
        for (int64_t i = 0; i < list->count && is_said && train_argument(given, row->name) == NULL;
             i++) {
            made[(*count)++] = (given_option){row->name, list->names[i], true};
        }
        return MT_OK;
    }
    options_text(row, config, text);
    if (strcmp(text, options_text(row, before, initial)) != 0) {
        const char *kept = keep_text(given, text);
        if (kept == NULL) {
            return mt_fail(MT_ERROR_MEMORY, "no memory for --%s", row->name);
        }
        made[(*count)++] = (given_option){row->name, kept, true};
    }
    return MT_OK;
}

/* Those of the file, and behind them those that were given. */
static mt_status put_before(const run_config *before, const run_config *config,
                            train_arguments *given)
{
    const option_row *row;
    given_option *made = NULL;
    int count = 0;
    mt_status status = make_room(config, given, &made);
    for (int i = 0; status == MT_OK && (row = option_row_at(i)) != NULL; i++) {
        status = add_row(row, before, config, given, made, &count);
    }
    if (status != MT_OK) {
        free(made);
        return status;
    }
    memcpy(made + count, given->options, (size_t)given->count * sizeof *made);
    free(given->options);
    given->options = made;
    given->count += count;
    return MT_OK;
}

mt_status config_file_take(const char *path, train_arguments *given)
{
    run_config before = {.task = ""};
    mt_status status = read_file(path, given, &before, &given->file_config);
    if (status == MT_OK) {
        status = put_before(&before, &given->file_config, given);
    }
    run_config_clear(&before);
    return status;
}
