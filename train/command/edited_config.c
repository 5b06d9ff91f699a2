#include "train/command/edited_config.h"

#include "io/file.h"
#include "train/command/lines.h"
#include "train/command/options.h"
#include "train/command/run_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first place at which lists differ; -1: they are the same. */
static int64_t find_difference(const file_list *a, const file_list *b)
{
    int64_t i = 0;
    while (i < a->count && i < b->count && strcmp(a->names[i], b->names[i]) == 0) {
        i++;
    }
    return i < a->count || i < b->count ? i : -1;
}

static mt_status replace_list(const option_row *row, const file_list *list, run_config *config)
{
    mt_status status = MT_OK;
    options_empty_list(config, row->name);
    for (int64_t i = 0; i < list->count && status == MT_OK; i++) {
        status = options_set(config, row->name, list->names[i]);
    }
    run_data_forget(config, row->name);
    return status;
}

static void tell(const run_folder *folder, const char *option, const char *value,
                 const char *former, const char *taken)
{
    FILE *const places[] = {stderr, folder->log};
    for (int i = 0; i < 2 && places[i] != NULL; i++) { /* rank 0 alone has a log */
        print_line(places[i], "config.yaml has %s %s, the checkpoint %s (taken: %s)", option, value,
                   former[0] != '\0' ? former : "none", taken);
    }
}

/* What is taken where config.yaml may be edited. */
static const char of_config[] = "config.yaml's, or what an option says";

/* An option that is a list, of which the first name that differs is told. */
static mt_status take_list(const run_folder *folder, const option_row *row,
                           const run_config *edited, run_config *config)
{
    char before[TEXT_MAX], after[TEXT_MAX];
    const file_list *list = options_list(row, edited), *former = options_list(row, config);
    int64_t at = find_difference(list, former);
    if (at < 0) {
        return MT_OK;
    }
    snprintf(before, sizeof before, "%s", at < former->count ? former->names[at] : "none");
    snprintf(after, sizeof after, "%s", at < list->count ? list->names[at] : "none");
    if (row->fixed) {
        return mt_fail(MT_ERROR_INVALID, "%s %s: the run began with %s, and keeps it", row->name,
                       after, before);
    }
    mt_status status = replace_list(row, list, config);
    if (status == MT_OK) {
        tell(folder, row->name, after, before, of_config);
    }
    return status;
}

static const char of_checkpoint[] = "the checkpoint's, or what --init says";

/* Says of where the run is, and the model that it is beside, that config.yaml does not move them.
 * Tells if the option is one of these. */
static bool tell_place(const run_folder *folder, const char *option, const char *after,
                       const char *before, bool tunes)
{
    bool is_out = strcmp(option, "out") == 0;
    bool is_place = is_out || (tunes && strcmp(option, "init") == 0);
    if (is_place) {
        tell(folder, option, after, before, is_out ? folder->path : of_checkpoint);
    }
    return is_place;
}

static mt_status take_row(const run_folder *folder, const option_row *row, const run_config *edited,
                          run_config *config)
{
    char before[TEXT_MAX], after[TEXT_MAX];
    options_text(row, config, before);
    options_text(row, edited, after);
    if (strcmp(before, after) == 0) {
        return MT_OK;
    }
    if (tell_place(folder, row->name, after, before, config->tune != TUNE_ALL)) {
        return MT_OK;
    }
    mt_status status = options_change(config, row->name, after);
    if (status == MT_OK) {
        tell(folder, row->name, after, before, of_config);
    }
    return status;
}

/* Digests are of the files as they were read, and no matter of choice; where an option or
 * config.yaml names others, there are none. */
static void compare_digest(const run_folder *folder, const char *name, const char *edited,
                           const char *known)
{
    if (known[0] != '\0' && strcmp(edited, known) != 0) {
        tell(folder, name, edited, known, "the checkpoint's");
    }
}

static mt_status take_all(const run_folder *folder, const run_config *edited, run_config *config)
{
    if (strcmp(edited->task, config->task) != 0) {
        return mt_fail(MT_ERROR_INVALID, "task %s: the run began with %s, and keeps it",
                       edited->task, config->task);
    }
    mt_status status = MT_OK;
    const option_row *row;
    for (int i = 0; (row = option_row_at(i)) != NULL && status == MT_OK; i++) {
        status = options_is_list(row->name) ? take_list(folder, row, edited, config)
                                            : take_row(folder, row, edited, config);
    }
    if (status == MT_OK) {
        compare_digest(folder, "data-digest", edited->data_digest, config->data_digest);
        compare_digest(folder, "valid-data-digest", edited->valid_digest, config->valid_digest);
    }
    return status;
}

bool edited_config_is(const run_folder *folder, const char *config_text)
{
    char path[TEXT_MAX], *text = NULL, *said = NULL;
    size_t size;
    run_config config;
    options_defaults(&config);
    bool is_read =
        mt_file_read(run_folder_file(folder, "config.yaml", path), &text, &size) == MT_OK &&
        options_read_yaml(&config, text) == MT_OK && options_write_yaml(&config, &said) == MT_OK;
    bool same = is_read && strcmp(said, config_text) == 0;
    run_config_clear(&config);
    free(text);
    free(said);
    return same;
}

mt_status edited_config_take(const run_folder *folder, run_config *config)
{
    char path[TEXT_MAX], *text;
    size_t size;
    run_config edited;
    if (access(run_folder_file(folder, "config.yaml", path), F_OK) != 0) {
        return MT_OK;
    }
    mt_status status = mt_file_read(path, &text, &size);
    if (status != MT_OK) {
        return status;
    }
    status = run_config_copy(config, &edited);
    if (status == MT_OK && strlen(text) < size) {
        status = mt_fail(MT_ERROR_FORMAT, "not text: byte %zu is zero", strlen(text));
    }
    if (status == MT_OK) {
        status = options_read_yaml(&edited, text);
    }
    if (status == MT_OK) {
        status = take_all(folder, &edited, config);
    }
    run_config_clear(&edited);
    free(text);
    return status == MT_OK ? MT_OK : mt_fail(status, "%s: %s", path, mt_error_message());
}
