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

mt_status preset_find(const char *name, const preset **found)
{
    char hint[NEAREST_TEXT];
    for (int i = 0; presets[i].name != NULL; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            *found = &presets[i];
            return MT_OK;
        }
    }
    return mt_fail(MT_ERROR_INVALID,
                   "--preset %s: no such preset%s; --list-presets tells what there is", name,
                   nearest_hint(name, name_at, NULL, hint));
}

static mt_status blame(const preset *chosen, mt_status status)
{
    return status == MT_OK ? MT_OK
                           : mt_fail(status, "preset %s: %s", chosen->name, mt_error_message());
}

mt_status preset_task(const preset *chosen, char task[TEXT_MAX])
{
    run_config named = {.task = ""};
    options_defaults(&named);
    named.task[0] = '\0';
    mt_status status = options_read_yaml(&named, chosen->text);
    memcpy(task, named.task, TEXT_MAX);
    run_config_clear(&named);
    return blame(chosen, status);
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
    return blame(chosen, options_read_yaml_for(config->task, config, chosen->text));
}

void presets_list(void)
{
    for (int i = 0; presets[i].name != NULL; i++) {
        const char *purpose = presets[i].text + strlen("# ");
        print_line(stdout, "%-16s%.*s", presets[i].name, (int)strcspn(purpose, "\n"), purpose);
    }
}
