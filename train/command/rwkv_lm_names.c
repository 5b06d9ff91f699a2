#include "train/command/rwkv_lm_names.h"

#include <stddef.h>
#include <string.h>

const char *rwkv_lm_name(const char *option)
{
    static const struct {
        const char *name, *text;
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
    const char *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && found == NULL; i++) {
        found = strcmp(names[i].name, option) == 0 ? names[i].text : NULL;
    }
    return found;
}
