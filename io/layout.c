#include "io/layout.h"

#include <stdio.h>
#include <string.h>

const mt_layout mt_layouts[] = {
    {"espnet",
     "ESPnet's RWKVDecoder: its own names, without the head",
     {{"head.", NULL}, {"", ""}}},
    {"espnet-model",
     "a whole ESPnet transducer model: decoder.*, and the head as lm_lin.*",
     {{"head.", "lm_lin."}, {"", "decoder."}}},
    {"mixtape", "Mixtape's own names, with the head", {{"", ""}}},
    {NULL, NULL, {{NULL, NULL}}},
};

mt_status mt_layout_parse(const char *name, const mt_layout **layout)
{
    char names[128] = "";
    for (*layout = mt_layouts; (*layout)->name != NULL; ++*layout) {
        if (strcmp((*layout)->name, name) == 0) {
            return MT_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", (*layout)->name);
    }
    *layout = NULL;
    return mt_fail(MT_ERROR_INVALID, "layout: '%s' is none of %s", name, names);
}

bool mt_layout_name(const mt_layout *layout, const char *ours, char theirs[MT_NAME_MAX])
{
    const mt_layout_rule *rule = layout->rules;
    while (strncmp(ours, rule->ours, strlen(rule->ours)) != 0) {
        rule++;
    }
    if (rule->theirs == NULL) {
        return false;
    }
    snprintf(theirs, MT_NAME_MAX, "%s%s", rule->theirs, ours + strlen(rule->ours));
    return true;
}
