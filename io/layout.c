#include <mixtape/layout.h>

#include "kernels/null.h"

#include <stdio.h>
#include <string.h>

/* RWKV-LM and Hugging Face have no biases beside those of the norms. */
/* clang-format off */
#define NO_BIASES                                                                                  \
    {"rwkv_blocks.N.att.proj_key.bias", NULL, MT_MUST_BE_ZERO},                                    \
    {"rwkv_blocks.N.att.proj_value.bias", NULL, MT_MUST_BE_ZERO},                                  \
    {"rwkv_blocks.N.att.proj_receptance.bias", NULL, MT_MUST_BE_ZERO},                             \
    {"rwkv_blocks.N.att.proj_output.bias", NULL, MT_MUST_BE_ZERO},                                 \
    {"rwkv_blocks.N.ffn.proj_key.bias", NULL, MT_MUST_BE_ZERO},                                    \
    {"rwkv_blocks.N.ffn.proj_value.bias", NULL, MT_MUST_BE_ZERO},                                  \
    {"rwkv_blocks.N.ffn.proj_receptance.bias", NULL, MT_MUST_BE_ZERO},                             \
    {"head.bias", NULL, MT_MUST_BE_ZERO}
/* clang-format on */

const mt_layout mt_layouts[] = {
    {.name = "espnet",
     .help = "ESPnet's RWKVDecoder: its own names, without the head",
     .with_head = "mixtape",
     .pads = true,
     .biases = true,
     .eps = 1e-12,
     .rules = {{"head.", NULL, MT_LEFT_OUT}, {"", "", MT_PLACED}}},
    {.name = "espnet-model",
     .help = "a whole ESPnet transducer model: decoder.*, and the head as lm_lin.*",
     .part_of_more = true,
     .pads = true,
     .biases = true,
     .eps = 1e-12,
     .rules = {{"head.", "lm_lin.", MT_PLACED}, {"", "decoder.", MT_PLACED}}},
    {.name = "mixtape",
     .help = "Mixtape's own names, with the head",
     .real_valued = true,
     .pads = true,
     .eps = 1e-12,
     .rules = {{"", "", MT_PLACED}}},
    {.name = "rwkv-lm",
     .help = "RWKV-LM, version 4",
     .layer_norm_alone = true,
     .head_of_vocabulary = true,
     .eps_is_fixed = true,
     .eps = 1e-5,
     .rules = {NO_BIASES,
               {"embed.", "emb.", MT_PLACED},
               {"embed_norm.", "blocks.0.ln0.", MT_PLACED},
               {"rwkv_blocks.N.layer_norm_att.", "blocks.N.ln1.", MT_PLACED},
               {"rwkv_blocks.N.layer_norm_ffn.", "blocks.N.ln2.", MT_PLACED},
               {"rwkv_blocks.N.att.time_mix_key", "blocks.N.att.time_mix_k", MT_PLACED},
               {"rwkv_blocks.N.att.time_mix_value", "blocks.N.att.time_mix_v", MT_PLACED},
               {"rwkv_blocks.N.att.time_mix_receptance", "blocks.N.att.time_mix_r", MT_PLACED},
               {"rwkv_blocks.N.att.proj_key.", "blocks.N.att.key.", MT_PLACED},
               {"rwkv_blocks.N.att.proj_value.", "blocks.N.att.value.", MT_PLACED},
               {"rwkv_blocks.N.att.proj_receptance.", "blocks.N.att.receptance.", MT_PLACED},
               {"rwkv_blocks.N.att.proj_output.", "blocks.N.att.output.", MT_PLACED},
               {"rwkv_blocks.N.att.", "blocks.N.att.", MT_PLACED},
               {"rwkv_blocks.N.ffn.time_mix_key", "blocks.N.ffn.time_mix_k", MT_PLACED},
               {"rwkv_blocks.N.ffn.time_mix_receptance", "blocks.N.ffn.time_mix_r", MT_PLACED},
               {"rwkv_blocks.N.ffn.proj_", "blocks.N.ffn.", MT_PLACED},
               {"final_norm.", "ln_out.", MT_PLACED},
               {"head.", "head.", MT_PLACED}}},
    {.name = "hf",
     .help = "Hugging Face's RwkvForCausalLM",
     .layer_norm_alone = true,
     .head_of_vocabulary = true,
     .may_lack_head = true,
     .eps_is_fixed = true,
     .config_beside = true,
     .eps = 1e-5,
     .rules = {NO_BIASES,
               {"embed.", "rwkv.embeddings.", MT_PLACED},
               {"embed_norm.", "rwkv.blocks.0.pre_ln.", MT_PLACED},
               {"rwkv_blocks.N.layer_norm_att.", "rwkv.blocks.N.ln1.", MT_PLACED},
               {"rwkv_blocks.N.layer_norm_ffn.", "rwkv.blocks.N.ln2.", MT_PLACED},
               {"rwkv_blocks.N.att.proj_", "rwkv.blocks.N.attention.", MT_PLACED},
               {"rwkv_blocks.N.att.", "rwkv.blocks.N.attention.", MT_PLACED},
               {"rwkv_blocks.N.ffn.proj_", "rwkv.blocks.N.feed_forward.", MT_PLACED},
               {"rwkv_blocks.N.ffn.", "rwkv.blocks.N.feed_forward.", MT_PLACED},
               {"final_norm.", "rwkv.ln_out.", MT_PLACED},
               {"head.", "head.", MT_PLACED}}},
    {.name = NULL},
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

/* Tells if a pattern fits the beginning of a name. On success `rest` is what stands behind it, and
 * `block` the digits that N stands for. */
static bool fits(const char *pattern, const char *name, const char **rest, const char **block)
{
    bool open = pattern[0] == '\0' || strchr("._", pattern[strlen(pattern) - 1]) != NULL;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == 'N') {
            size_t digits = strspn(name, "0123456789");
            if (digits == 0) {
                return false;
            }
            *block = name;
            name += digits;
        } else if (*pattern == *name) {
            name++;
        } else {
            return false;
        }
    }
    *rest = name;
    return open || *name == '\0';
}

/* Writes a pattern with N replaced, and what follows it. */
static void write_name(const char *pattern, const char *block, const char *rest,
                       char name[MT_NAME_MAX])
{
    const char *number = strchr(pattern, 'N');
    if (number == NULL) {
        snprintf(name, MT_NAME_MAX, "%s%s", pattern, rest);
    } else {
        snprintf(name, MT_NAME_MAX, "%.*s%.*s%s%s", (int)(number - pattern), pattern,
                 (int)strspn(block, "0123456789"), block, number + 1, rest);
    }
}

mt_layout_place mt_layout_name(const mt_layout *layout, const char *ours, char theirs[MT_NAME_MAX])
{
    for (const mt_layout_rule *rule = layout->rules; rule->ours != NULL; rule++) {
        const char *rest, *block = "";
        if (fits(rule->ours, ours, &rest, &block)) {
            if (rule->place == MT_PLACED) {
                write_name(rule->theirs, block, rest, theirs);
            }
            return rule->place;
        }
    }
    return MT_LEFT_OUT;
}

bool mt_layout_owns(const mt_layout *layout, const char *theirs)
{
    for (const mt_layout_rule *rule = layout->rules; rule->ours != NULL; rule++) {
        const char *rest, *block;
        if (rule->place == MT_PLACED && fits(rule->theirs, theirs, &rest, &block)) {
            return true;
        }
    }
    return false;
}

mt_status mt_layout_check(const mt_layout *layout, const mt_model_config *config)
{
    if (layout == NULL) {
        return mt_fail_null(__func__);
    }
    if (config->input_size > 0 && !layout->real_valued) {
        return mt_fail(MT_ERROR_INVALID,
                       "layout %s: it has no place for a model of real-valued input (use the "
                       "layout mixtape)",
                       layout->name);
    }
    if (layout->layer_norm_alone && config->norm.kind != MT_LAYER_NORM) {
        return mt_fail(MT_ERROR_INVALID, "layout %s: it has layer_norm, and the model %s",
                       layout->name, mt_norm_kind_name(config->norm.kind));
    }
    char name[MT_NAME_MAX];
    bool takes_biases = mt_layout_name(layout, "head.bias", name) != MT_MUST_BE_ZERO;
    if (layout->eps_is_fixed && config->norm.eps != layout->eps) {
        return mt_fail(MT_ERROR_INVALID,
                       "layout %s: its layer_norm has eps %g, and the model's %g (%strain with "
                       "--norm-eps %g%s)",
                       layout->name, layout->eps, config->norm.eps,
                       layout->config_beside ? "name a folder, whose config.json tells it, or "
                                             : "",
                       layout->eps, takes_biases ? "" : " --no-bias");
    }
    bool lacks_head = config->output_size == 0 && layout->may_lack_head;
    if (layout->head_of_vocabulary && config->output_size != config->vocab_size && !lacks_head) {
        return mt_fail(MT_ERROR_INVALID, "layout %s: the model has no head over its vocabulary",
                       layout->name);
    }
    return MT_OK;
}

mt_model_config mt_layout_kept(const mt_layout *layout, const mt_model_config *config)
{
    char name[MT_NAME_MAX];
    mt_model_config kept = *config;
    if (mt_layout_name(layout, "head.weight", name) != MT_PLACED) {
        kept.output_size = 0;
    }
    kept.head_bias = (kept.head_bias || layout->biases) && kept.output_size > 0 &&
                     mt_layout_name(layout, "head.bias", name) == MT_PLACED;
    kept.bias = (kept.bias || layout->biases) &&
                mt_layout_name(layout, "rwkv_blocks.0.att.proj_key.bias", name) == MT_PLACED;
    return kept;
}
