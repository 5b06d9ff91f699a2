#include "train/command/style.h"

#include "train/command/options.h"
#include "train/task.h"

#include <stdio.h>
#include <string.h>

enum { MOST_OPTIONS = 4 };

/* What an option is in a style. */
typedef struct style_option {
    const char *name;
    char text[24];
    bool needed; /* another value cannot be exported to the layout */
} style_option;

static bool has_biases(const mt_layout *layout)
{
    char name[MT_NAME_MAX];
    return mt_layout_name(layout, "rwkv_blocks.0.att.proj_key.bias", name) == MT_PLACED;
}

static void add(style_option *option, const char *name, const char *text, bool needed)
{
    option->name = name;
    option->needed = needed;
    snprintf(option->text, sizeof option->text, "%s", text);
}

/* Returns how many there are. */
static int find_options(const mt_layout *layout, style_option options[MOST_OPTIONS])
{
    int count = 0;
    char eps[24];
    snprintf(eps, sizeof eps, "%g", layout->eps);
    if (layout->layer_norm_alone) {
        add(&options[count++], "norm", mt_norm_kind_name(MT_LAYER_NORM), true);
    }
    if (layout->eps_is_fixed) {
        add(&options[count++], "norm-eps", eps, true);
    }
    if (!has_biases(layout)) {
        add(&options[count++], "no-bias", "true", true);
    }
    if (!layout->pads) {
        add(&options[count++], "embed-pad", "-1", false);
    }
    return count;
}

bool style_sets(const char *option)
{
    bool found = false;
    for (const mt_layout *layout = mt_layouts; layout->name != NULL && !found; layout++) {
        style_option options[MOST_OPTIONS];
        int count = find_options(layout, options);
        for (int i = 0; i < count && !found; i++) {
            found = strcmp(options[i].name, option) == 0;
        }
    }
    return found;
}

mt_status style_set(const mt_layout *style, run_config *config)
{
    style_option options[MOST_OPTIONS];
    int count = find_options(style, options);
    mt_status status = MT_OK;
    for (int i = 0; i < count && status == MT_OK; i++) {
        status = options_set(config, options[i].name, options[i].text);
    }
    return status;
}

mt_status style_check(const mt_layout *style, const run_config *config)
{
    const train_task *task;
    style_option options[MOST_OPTIONS];
    int count = find_options(style, options);
    mt_status status = task_find(config->task, &task);
    if (status == MT_OK && task->regression && !style->real_valued) {
        status =
            mt_fail(MT_ERROR_INVALID, "--style %s: it has no place for the real-valued input of %s",
                    style->name, config->task);
    }
    for (int i = 0; i < count && status == MT_OK; i++) {
        char text[TEXT_MAX];
        options_text_of(options[i].name, config, text);
        if (options[i].needed && strcmp(text, options[i].text) != 0) {
            status = mt_fail(MT_ERROR_INVALID,
                             "--style %s is --%s %s, and another option or --init has %s",
                             style->name, options[i].name, options[i].text, text);
        }
    }
    return status;
}

/* Biases that are trained are not zero. */
static bool fits(const mt_layout *layout, const mt_model_config *model)
{
    return mt_layout_check(layout, model) == MT_OK && (!model->bias || has_biases(layout));
}

/* What a folder's config.json tells is no hindrance there. */
static bool fits_as_folder(const mt_layout *layout, const mt_model_config *model)
{
    mt_model_config told = *model;
    told.norm.eps = layout->eps;
    return layout->config_beside && fits(layout, &told);
}

/* The names of the layouts that it fits, or of the others. */
static void list(const mt_model_config *model, bool fitting, char *text, size_t size)
{
    text[0] = '\0';
    for (const mt_layout *layout = mt_layouts; layout->name != NULL; layout++) {
        size_t used = strlen(text);
        bool whole = fits(layout, model), folder = !whole && fits_as_folder(layout, model);
        if ((whole || folder) == fitting) {
            snprintf(text + used, size - used, "%s%s%s", used > 0 ? ", " : "", layout->name,
                     folder ? " (a folder)" : "");
        }
    }
}

void style_tell(const mt_model_config *model, char text[STYLE_TEXT])
{
    char names[64], others[64];
    mt_model_config resolved = mt_model_config_resolved(model);
    list(&resolved, true, names, sizeof names);
    list(&resolved, false, others, sizeof others);
    int used = snprintf(text, STYLE_TEXT, "it can be exported to the layout%s %s",
                        strchr(names, ',') != NULL ? "s" : "", names);
    if (others[0] != '\0') {
        used += snprintf(text + used, STYLE_TEXT - (size_t)used, "; not to %s", others);
    }
    if (others[0] != '\0' && model->input_size == 0) {
        snprintf(text + used, STYLE_TEXT - (size_t)used, " (--style makes a model for one)");
    }
}
