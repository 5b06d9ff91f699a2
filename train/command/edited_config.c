#include "train/command/edited_config.h"

#include "io/file.h"
#include "train/command/lines.h"
#include "train/command/options.h"
#include "train/command/run_data.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_same_list(const file_list *a, const file_list *b)
{
    bool same = a->count == b->count;
    for (int64_t i = 0; i < a->count && same; i++) {
        same = strcmp(a->names[i], b->names[i]) == 0;
    }
    return same;
}

static mt_status take_list(const option_row *row, const file_list *list, run_config *config)
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
                 const char *former)
{
    FILE *const places[] = {stderr, folder->log};
    for (int i = 0; i < 2; i++) {
        print_line(places[i],
                   "config.yaml has %s %s, the checkpoint %s (taken: config.yaml's, or what an "
                   "option says)",
                   option, value, former);
    }
}

static mt_status take_row(const run_folder *folder, const option_row *row, const run_config *edited,
                          run_config *config)
{
    char before[TEXT_MAX], after[TEXT_MAX];
    bool is_list = options_is_list(row->name);
    if (is_list
            ? is_same_list(options_list(row, edited), options_list(row, config))
            : strcmp(options_text(row, config, before), options_text(row, edited, after)) == 0) {
        return MT_OK;
    }
    if (is_list && row->fixed) {
        return mt_fail(MT_ERROR_INVALID, "%s: the run began with others, and keeps them",
                       row->name);
    }
    mt_status status = is_list ? take_list(row, options_list(row, edited), config)
                               : options_change(config, row->name, after);
    if (status == MT_OK) {
        tell(folder, row->name, is_list ? "of other files" : after,
             is_list ? "those that the run had" : before);
    }
    return status;
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
        status = take_row(folder, row, edited, config);
    }
    return status;
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
