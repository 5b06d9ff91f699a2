#include "train/command/init_sizes.h"

#include <mixtape/model_fields.h>

#include "io/weights_file.h"
#include "train/command/lines.h"
#include "train/command/session.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* As it computes, for comparisons: what says nothing of a norm is 0. */
static mt_model_config as_computed(const mt_model_config *config)
{
    mt_model_config computed = mt_model_config_resolved(config);
    mt_norm_config *norm = &computed.norm;
    bool takes_part = norm->kind == MT_RMS_NORM && norm->partial > 0.0 && norm->partial < 1.0;
    norm->partial = takes_part ? norm->partial : 0.0;
    norm->eps = norm->kind == MT_BASIC_NORM ? 0.0 : norm->eps; /* it is learnt */
    return computed;
}

static void format_value(const mt_model_field *field, const mt_model_config *config, char text[32])
{
    if (field->type == MT_MODEL_REAL) {
        snprintf(text, 32, "%g", mt_model_field_real(field, config));
    } else if (field->type == MT_MODEL_CHOICE) {
        snprintf(text, 32, "%s", field->choice((int)mt_model_field_whole(field, config)));
    } else {
        snprintf(text, 32, "%" PRId64, mt_model_field_whole(field, config));
    }
}

/* The arguments of another norm are no difference of their own. */
static bool is_compared(const mt_model_field *field, const train_arguments *given, bool same_norm)
{
    bool of_norm = field->offset == offsetof(mt_model_config, norm.eps) ||
                   field->offset == offsetof(mt_model_config, norm.partial);
    return field->of_weights && field->espnet != NULL &&
           train_argument(given, field->option) == NULL && (same_norm || !of_norm);
}

static void tell_differences(const train_arguments *given, const mt_model_config *espnet,
                             const mt_model_config *taken)
{
    mt_model_config wanted = as_computed(espnet), is = as_computed(taken);
    bool same_norm = wanted.norm.kind == is.norm.kind;
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++) {
        char in_config[32], in_file[32];
        format_value(field, &wanted, in_config);
        format_value(field, &is, in_file);
        bool is_told = !field->optional || mt_model_field_whole(field, espnet) != 0;
        if (is_told && is_compared(field, given, same_norm) && strcmp(in_config, in_file) != 0) {
            print_line(stderr, "%s: %s is %s, but %s in --init %s, which is taken",
                       given->espnet_config, field->attribute, in_config, in_file,
                       train_argument(given, "init"));
        }
    }
}

/* Takes what the file leaves open, which then is assumed no more. Where the configuration has no
 * eps, that is ESPnet's default for its norm; but files of other programs have theirs. */
static void take_untold(const mt_model_config *espnet, const mt_layout *layout, mt_assumed *assumed,
                        mt_model_config *model)
{
    if (assumed->context_size) {
        model->context_size = espnet->context_size;
        assumed->context_size = false;
    }
    if (espnet->norm.kind != model->norm.kind) {
        return;
    }
    bool tells_eps = espnet->norm.eps > 0.0 || layout == NULL || !layout->eps_is_fixed;
    if (assumed->eps && tells_eps) {
        model->norm.eps = mt_norm_config_resolved(espnet->norm).eps;
        assumed->eps = false;
    }
    if (assumed->partial) {
        model->norm.partial = espnet->norm.partial;
        assumed->partial = false;
    }
}

static void tell_assumed(const train_arguments *given, const mt_model_config *model,
                         mt_assumed assumed)
{
    char text[MT_ASSUMED_TEXT];
    assumed.eps = assumed.eps && train_argument(given, "norm-eps") == NULL;
    assumed.partial = assumed.partial && train_argument(given, "norm-partial") == NULL;
    assumed.context_size = assumed.context_size && train_argument(given, "context-size") == NULL;
    mt_assumed_in_words(&assumed, model, text);
    session_tell_assumed(train_argument(given, "init"), text);
}

void init_sizes_take(const train_arguments *given, const mt_weights *init, run_config *config)
{
    mt_model_config before = config->model;
    mt_assumed assumed = init->file->assumed;
    session_take_sizes(&init->config, config);
    if (given->espnet_config != NULL) {
        take_untold(&before, init->layout, &assumed, &config->model);
        if (config->model.rescale_every == 0) {
            config->model.rescale_every = before.rescale_every;
        }
        tell_differences(given, &before, &config->model);
    }
    tell_assumed(given, &config->model, assumed);
}
