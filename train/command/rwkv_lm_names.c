#include "train/command/rwkv_lm_names.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *option, *text; /* which begins with the name there */
} names[] = {
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

enum { NAMES = sizeof names / sizeof *names };

const char *rwkv_lm_name(const char *option)
{
    for (int i = 0; i < NAMES; i++) {
        if (strcmp(names[i].option, option) == 0) {
            return names[i].text;
        }
    }
    return NULL;
}

const char *rwkv_lm_option(const char *name)
{
    for (int i = 0; i < NAMES; i++) {
        const char *text = names[i].text;
        if (strlen(name) == strcspn(text, " ,") && strncmp(text, name, strlen(name)) == 0) {
            return names[i].option;
        }
    }
    return NULL;
}
