#include "train/command/preset.h"

#include "train/command/lines.h"
#include "train/command/nearest.h"
#include "train/command/options.h"

#include <stdio.h>
#include <string.h>

static const char *name_at(const void *context, int i)
{
    (void)context;
    return presets[i].name;
}

static const preset *find(const char *name)
{
    const preset *found = presets;
    while (found->name != NULL && strcmp(found->name, name) != 0) {
        found++;
    }
    return found->name != NULL ? found : NULL;
}

mt_status preset_find(const char *name, const preset **found)
{
    char hint[NEAREST_TEXT];
    *found = find(name);
    return *found != NULL
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "--preset %s: no such preset%s; --list-presets tells what there is", name,
                         nearest_hint(name, name_at, NULL, hint));
}

static mt_status blame(const preset *chosen, mt_status status)
{
    return status == MT_OK ? MT_OK
                           : mt_fail(status, "preset %s: %s", chosen->name, mt_error_message());
}

static mt_status take_base(void *context, const char *name, const char *text, bool *taken)
{
    *taken = strcmp(name, "preset") == 0;
    return *taken ? preset_find(text, context) : MT_OK;
}

/* What a preset says beside options: its task, "" if it names none, and the preset whose options
 * come before its own, or NULL. */
static mt_status read_beside(const preset *chosen, char task[TEXT_MAX], const preset **base)
{
    run_config named = {.task = ""};
    *base = NULL;
    options_defaults(&named);
    named.task[0] = '\0';
    mt_status status = options_read_yaml_beside(&named, chosen->text, take_base, base);
    memcpy(task, named.task, TEXT_MAX);
    run_config_clear(&named);
    return blame(chosen, status);
}

mt_status preset_task(const preset *chosen, char task[TEXT_MAX])
{
    const preset *base;
    return read_beside(chosen, task, &base);
}

mt_status preset_check(const preset *chosen, const run_config *config)
{
    const char *named = strstr(chosen->text, "(--init)");
    bool wants = named != NULL && named < strchr(chosen->text, '\n');
    return !wants || config->init[0] != '\0'
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "--preset %s: it is for a model that is there (name it with --init)",
                         chosen->name);
}

mt_status preset_set(const preset *chosen, run_config *config)
{
    char task[TEXT_MAX];
    const preset *base;
    mt_status status = read_beside(chosen, task, &base);
    if (status == MT_OK && base != NULL) {
        status = preset_set(base, config);
    }
    return status == MT_OK
               ? blame(chosen, options_read_yaml_for(config->task, config, chosen->text))
               : status;
}

void presets_list(void)
{
    for (int i = 0; presets[i].name != NULL; i++) {
        const char *purpose = presets[i].text + strlen("# ");
        print_line(stdout, "%-16s%.*s", presets[i].name, (int)strcspn(purpose, "\n"), purpose);
    }
}
