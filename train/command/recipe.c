#include "train/command/recipe.h"

#include "train/command/options.h"

#include <string.h>

typedef struct named_text {
    const char *name, *text;
} named_text;

struct recipe {
    const char *name;
    const named_text *options;
};

/* The defaults of RWKV-v4neo/train.py, but for its warmup_steps of -1, which warms up as little as
 * 0; and what its code has no option for: lr_final is 1e-5. */
static const named_text of_rwkv_lm[] = {
    {"initial-values", "rwkv-lm"},
    {"time-first", "rwkv"},
    {"dropout", "0"},
    {"lr", "6e-4"},
    {"lr-final", "0.016666666666666666"},
    {"schedule", "rwkv-lm"},
    {"warmup", "0"},
    {"beta1", "0.9"},
    {"beta2", "0.99"},
    {"adam-eps", "1e-8"},
    {"clip", "1"},
    {"weight-decay", "0"},
    {"rates", "*.time_decay=2,*.time_first=3"},
    {"l2wrap", "1e-4"},
    {"label-smoothing", "0"},
    {NULL, NULL},
};

static const recipe recipes[] = {{"rwkv-lm", of_rwkv_lm}};

enum { RECIPES = sizeof recipes / sizeof *recipes };

mt_status recipe_parse(const char *name, const recipe **found)
{
    for (int i = 0; i < RECIPES; i++) {
        if (strcmp(recipes[i].name, name) == 0) {
            *found = &recipes[i];
            return MT_OK;
        }
    }
    return mt_fail(MT_ERROR_INVALID, "--recipe %s: not one of %s", name, recipes[0].name);
}

mt_status recipe_set(const recipe *chosen, run_config *config)
{
    mt_status status = MT_OK;
    for (const named_text *option = chosen->options; option->name != NULL && status == MT_OK;
         option++) {
        if (options_is_read(config->task, option->name)) {
            status = options_set(config, option->name, option->text);
        }
    }
    return status;
}

const char *recipe_rwkv_lm_name(const char *option)
{
    static const named_text names[] = {
        {"accumulate", "accumulate_grad_batches"},
        {"attention-size", "dim_att"},
        {"batch", "micro_bsz, of all devices"},
        {"blocks", "n_layer"},
        {"clip", "gradient_clip_val"},
        {"data", "data_file"},
        {"dtype", "precision"},
        {"init", "load_model"},
        {"length", "ctx_len"},
        {"linear-size", "dim_ffn"},
        {"lr", "lr_init"},
        {"lr-final", "lr_final / lr_init"},
        {"out", "proj_dir"},
        {"rates", "layerwise_lr"},
        {"recompute", "grad_cp"},
        {"save-every", "epoch_save * epoch_steps"},
        {"seed", "random_seed"},
        {"size", "n_embd"},
        {"steps", "epoch_count * epoch_steps"},
        {"warmup", "warmup_steps"},
    };
    const char *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && found == NULL; i++) {
        found = strcmp(names[i].name, option) == 0 ? names[i].text : NULL;
    }
    return found;
}
