#include "train/command/options.h"

#include "io/utf8.h"
#include "train/command/arguments.h"
#include "train/command/nearest.h"
#include "train/command/rwkv_lm_names.h"
#include "train/nlsyms.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const option_row *find_row(const char *name)
{
    const option_row *row;
    for (int i = 0; (row = option_row_at(i)) != NULL && strcmp(row->name, name) != 0;) {
        i++;
    }
    return row;
}

/* Tells if a text is one of "a|b|c". */
static bool is_listed(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = choices; *at != '\0'; at += strspn(at, "|")) {
        size_t width = strcspn(at, "|");
        if (width == length && strncmp(at, text, length) == 0) {
            return true;
        }
        at += width;
    }
    return false;
}

static bool is_read_by(const option_row *row, const char *task)
{
    return row->tasks == NULL || is_listed(row->tasks, task);
}

/* "a|b|c" of a row's choices. */
static const char *choices_text(const option_row *row, char text[TEXT_MAX])
{
    text[0] = '\0';
    for (int i = 0; row->choice != NULL && row->choice(i) != NULL; i++) {
        size_t used = strlen(text);
        snprintf(text + used, TEXT_MAX - used, "%s%s", i > 0 ? "|" : "", row->choice(i));
    }
    return text;
}

static mt_status set_whole(const option_row *row, const char *text, void *field)
{
    long long value;
    mt_status status =
        parse_whole(row->name, text, (long long)row->least, (long long)row->most, &value);
    if (status == MT_OK && row->kind == LABEL) {
        *(int32_t *)field = (int32_t)value;
    } else if (status == MT_OK) {
        *(int64_t *)field = value;
    }
    return status;
}

static mt_status set_text(const option_row *row, const char *text, char *field)
{
    if (strlen(text) >= TEXT_MAX) {
        return mt_fail(MT_ERROR_INVALID, "--%s %.32s...: longer than %d bytes", row->name, text,
                       TEXT_MAX - 1);
    }
    memmove(field, text, strlen(text) + 1);
    return MT_OK;
}

static mt_status set_files(const char *text, file_list *field)
{
    if (text[0] == '\0') {
        file_list_clear(field);
        return MT_OK;
    }
    return file_list_add(field, text);
}

static mt_status set_choice(const option_row *row, const char *text, int *field)
{
    char choices[TEXT_MAX];
    int value = mt_choice_find(row->choice, text);
    if (value < 0) {
        return mt_fail(MT_ERROR_INVALID, "--%s %s: not one of %s", row->name, text,
                       choices_text(row, choices));
    }
    *field = value;
    return MT_OK;
}

static mt_status set_flag(const option_row *row, const char *text, bool *field)
{
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0) {
        return mt_fail(MT_ERROR_INVALID, "--%s %s: neither true nor false", row->name, text);
    }
    *field = is_true != row->negated;
    return MT_OK;
}

static mt_status set_row(const option_row *row, run_config *config, const char *text)
{
    void *field = (char *)config + row->offset;
    switch (row->kind) {
    case WHOLE:
    case LABEL:
        return set_whole(row, text, field);
    case NUMBER:
        return parse_real(row->name, text, row->least, row->most, field);
    case TEXT:
        return set_text(row, text, field);
    case FILES:
        return set_files(text, field);
    case LINES:
        return nlsyms_load(text, field);
    case CHOICE:
        return set_choice(row, text, field);
    case FLAG:
        return set_flag(row, text, field);
    case MODEL:
        break;
    }
    return MT_OK;
}

static const char *name_at(const void *context, int i)
{
    (void)context;
    const option_row *row = option_row_at(i);
    return row != NULL ? row->name : NULL;
}

mt_status options_set(run_config *config, const char *name, const char *text)
{
    const option_row *row = find_row(name);
    if (*mt_utf8_end(text) != '\0') { /* which no file of a run could say */
        return mt_fail(MT_ERROR_INVALID, "--%s %s: not UTF-8 at byte %td", name, text,
                       mt_utf8_end(text) - text);
    }
    char hint[NEAREST_TEXT];
    return row != NULL ? set_row(row, config, text)
                       : mt_fail(MT_ERROR_INVALID, "there is no option '%s'%s", name,
                                 nearest_hint(name, name_at, NULL, hint));
}

bool options_is_read(const char *task, const char *name)
{
    const option_row *row = find_row(name);
    return row != NULL && is_read_by(row, task);
}

bool options_is_list(const char *name)
{
    const option_row *row = find_row(name);
    return row != NULL && (row->kind == FILES || row->kind == LINES);
}

const file_list *options_list(const option_row *row, const run_config *config)
{
    return (const file_list *)(const void *)((const char *)config + row->offset);
}

mt_status options_add_kept(run_config *config, const char *name, const char *text)
{
    const option_row *row = find_row(name);
    bool is_line = row != NULL && row->kind == LINES && *mt_utf8_end(text) == '\0';
    return is_line ? set_files(text, (file_list *)(void *)((char *)config + row->offset))
                   : options_set(config, name, text);
}

void options_empty_list(run_config *config, const char *name)
{
    const option_row *row = find_row(name);
    if (options_is_list(name)) {
        file_list_clear((file_list *)(void *)((char *)config + row->offset));
    }
}

const char *options_text(const option_row *row, const run_config *config, char text[TEXT_MAX])
{
    const void *field = (const char *)config + row->offset;
    text[0] = '\0';
    switch (row->kind) {
    case WHOLE:
        snprintf(text, TEXT_MAX, "%" PRId64, *(const int64_t *)field);
        break;
    case NUMBER: /* with as many digits as it takes */
        snprintf(text, TEXT_MAX, "%.15g", *(const double *)field);
        if (strtod(text, NULL) != *(const double *)field) {
            snprintf(text, TEXT_MAX, "%.17g", *(const double *)field);
        }
        break;
    case LABEL:
        snprintf(text, TEXT_MAX, "%" PRId32, *(const int32_t *)field);
        break;
    case TEXT:
        snprintf(text, TEXT_MAX, "%s", (const char *)field);
        break;
    case CHOICE:
        snprintf(text, TEXT_MAX, "%s", row->choice(*(const int *)field));
        break;
    case FLAG:
        snprintf(text, TEXT_MAX, "%s", *(const bool *)field != row->negated ? "true" : "false");
        break;
    case FILES:
    case LINES:
    case MODEL:
        break;
    }
    return text;
}

const char *options_text_of(const char *name, const run_config *config, char text[TEXT_MAX])
{
    return options_text(find_row(name), config, text);
}

mt_status options_set_for(const char *task, run_config *config, const char *name, const char *text)
{
    const option_row *row = find_row(name);
    if (row != NULL && !is_read_by(row, task)) {
        return mt_fail(MT_ERROR_INVALID, "--%s %s: %s does not read it (%s does)", name, text, task,
                       row->tasks);
    }
    return options_set(config, name, text);
}

mt_status options_change(run_config *config, const char *name, const char *text)
{
    const option_row *row = find_row(name);
    char before[TEXT_MAX], after[TEXT_MAX];
    if (row == NULL || !row->fixed) {
        return options_set_for(config->task, config, name, text);
    }
    options_text(row, config, before);
    mt_status status = options_set_for(config->task, config, name, text);
    if (status == MT_OK && strcmp(options_text(row, config, after), before) != 0) {
        set_row(row, config, before);
        status = mt_fail(MT_ERROR_INVALID, "--%s %s: the run began with %s, and keeps it", name,
                         text, before[0] != '\0' ? before : "none");
    }
    return status;
}

void options_defaults(run_config *config)
{
    const option_row *row;
    memset(config, 0, sizeof *config);
    config->model = mt_model_config_default(0, 64);
    config->model.num_blocks = 2;
    config->model.norm.partial = -1.0;
    config->model.time_first = MT_TIME_FIRST_RWKV;
    config->model.embed_dropout = config->model.att_dropout = config->model.ffn_dropout = -1.0;
    for (int i = 0; (row = option_row_at(i)) != NULL; i++) {
        if (row->initial != NULL) {
            set_row(row, config, row->initial);
        }
    }
}

const char *options_name(int key)
{
    const option_row *row = option_row_at(key - OPTION_KEY);
    return row != NULL ? row->name : NULL;
}

/* One more of the notes in brackets behind an option's help: what is before it ends with " (" or
 * "; ". */
static void add_note(char *help, size_t size, const char *kind, const char *note)
{
    size_t used = strlen(help);
    snprintf(help + used, size - used, "%s%.64s; ", kind, note);
}

/* "HELP: a|b|c (TASKS; default X; RWKV-LM: NAME)", where the help does not speak of the default
 * itself. */
static void write_help(const option_row *row, const run_config *defaults, char *help, size_t size)
{
    char text[TEXT_MAX], choices[TEXT_MAX];
    const char *other = rwkv_lm_name(row->name);
    options_text(row, defaults, text);
    snprintf(help, size, "%s%s%s (", row->help, row->choice != NULL ? ": " : "",
             choices_text(row, choices));
    size_t before = strlen(help);
    if (row->tasks != NULL) {
        add_note(help, size, "", row->tasks);
    }
    if (row->kind == FLAG && strcmp(text, "true") == 0) {
        add_note(help, size, "default ", "on");
    }
    if (text[0] != '\0' && row->kind != FLAG && strstr(row->help, "default") == NULL) {
        add_note(help, size, "default ", text);
    }
    if (other != NULL) {
        add_note(help, size, "RWKV-LM: ", other);
    }
    size_t end = strlen(help) - 2;
    help[end] = end + 2 > before ? ')' : '\0';
    help[end + 1] = '\0';
}

const struct argp_option *options_argp(const struct argp_option *own, const run_config *defaults)
{
    enum { MOST_GROUPS = 8, MOST_OWN = 8, MOST_ALIASES = 4 };
    static struct argp_option table[MOST_OWN + MOST_ROWS + MOST_ALIASES + MOST_GROUPS + 1];
    static char help[MOST_ROWS][320];
    struct argp_option *next = table;
    int group = 0;
    const option_row *row;
    for (; own->name != NULL; own++) {
        *next++ = *own;
    }
    for (int i = 0; (row = option_row_at(i)) != NULL; i++) {
        bool is_read = defaults->task[0] == '\0' || is_read_by(row, defaults->task);
        if (row->heading != NULL) {
            group++;
            *next++ = (struct argp_option){.doc = row->heading, .group = group};
        }
        write_help(row, defaults, help[i], sizeof help[i]);
        *next++ = (struct argp_option){.name = row->name,
                                       .key = OPTION_KEY + i,
                                       .arg = row->kind == FLAG ? "false" : row->argument,
                                       .flags = (row->kind == FLAG ? OPTION_ARG_OPTIONAL : 0) |
                                                (is_read ? 0 : OPTION_HIDDEN),
                                       .doc = help[i],
                                       .group = group};
        if (row->alias != NULL) {
            *next++ = (struct argp_option){.name = row->alias,
                                           .flags = OPTION_ALIAS | (is_read ? 0 : OPTION_HIDDEN)};
        }
    }
    return table;
}
