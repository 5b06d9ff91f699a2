/* The configurations that a model can be made of. */
#include <mixtape/model_fields.h>

#include <inttypes.h>
#include <math.h>

mt_model_config mt_model_config_default(int64_t vocab_size, int64_t block_size)
{
    return (mt_model_config){
        .vocab_size = vocab_size,
        .output_size = vocab_size,
        .block_size = block_size,
        .context_size = 1024,
        .num_blocks = 4,
        .norm = {.kind = MT_LAYER_NORM},
        .time_first = MT_TIME_FIRST_ESPNET,
        .bias = true,
        .head_bias = true,
        .padding_index = 0,
    };
}

mt_model_config mt_model_config_resolved(const mt_model_config *config)
{
    mt_model_config resolved = *config;
    if (resolved.attention_size == 0) {
        resolved.attention_size = resolved.block_size;
    }
    if (resolved.linear_size == 0) {
        resolved.linear_size = 4 * resolved.block_size;
    }
    if (resolved.input_size > 0) {
        resolved.padding_index = -1;
    }
    resolved.norm = mt_norm_config_resolved(resolved.norm);
    resolved.embed_bound = resolved.embed_bound == 0.0 ? 6e-4 : resolved.embed_bound;
    return resolved;
}

static mt_status check_real(const mt_model_field *field, double value)
{
    return value >= field->least && value < field->most
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "model: %s is %g, not in [%g, %g)", field->name, value,
                         field->least, field->most);
}

static mt_status check_whole(const mt_model_field *field, int64_t value)
{
    return (double)value >= field->least && (double)value <= field->most
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "model: %s is %" PRId64 ", not in %.0f .. %.0f",
                         field->name, value, field->least, field->most);
}

static mt_status check_choice(const mt_model_field *field, int value)
{
    return value >= 0 && field->choice(value) != NULL
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "model: %s is %d, which has no name", field->name,
                         value);
}

static mt_status check_field(const mt_model_field *field, const mt_model_config *config)
{
    if (field->type == MT_MODEL_REAL) {
        return check_real(field, mt_model_field_real(field, config));
    }
    int64_t value = mt_model_field_whole(field, config);
    return field->type == MT_MODEL_FLAG     ? MT_OK
           : field->type == MT_MODEL_CHOICE ? check_choice(field, (int)value)
                                            : check_whole(field, value);
}

/* What a new model begins with is in no file, and so in no row of mt_model_fields. */
static mt_status check_initial(const mt_model_config *config)
{
    if (mt_initial_values_name(config->initial_values) == NULL) {
        return mt_fail(MT_ERROR_INVALID, "model: initial_values is %d, which has no name",
                       (int)config->initial_values);
    }
    return config->embed_bound > 0.0 && config->embed_bound < HUGE_VAL
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "model: embed_bound is %g, not a number above 0",
                         config->embed_bound);
}

/* Refuses fields that do not fit together. */
static mt_status check_together(const mt_model_config *config)
{
    int64_t V = config->vocab_size, S = config->block_size;
    if ((V > 0) == (config->input_size > 0)) {
        return mt_fail(MT_ERROR_INVALID,
                       "model: vocab_size %" PRId64 " and input_size %" PRId64
                       ": one of them must be positive, and one alone",
                       V, config->input_size);
    }
    if (V > 0 && config->padding_index >= V) {
        return mt_fail(MT_ERROR_INVALID,
                       "model: padding_index is %" PRId32 ", not in -1 .. %" PRId64,
                       config->padding_index, V - 1);
    }
    double partial = config->norm.partial;
    bool is_partial = config->norm.kind == MT_RMS_NORM && partial > 0.0 && partial < 1.0;
    return !is_partial || (int64_t)((double)S * partial) >= 1
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "model: the norm's partial %g leaves none of block_size %" PRId64, partial,
                         S);
}

mt_status mt_model_config_check(const mt_model_config *config)
{
    mt_model_config resolved = mt_model_config_resolved(config);
    mt_status status = MT_OK;
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL && status == MT_OK;
         field++) {
        status = check_field(field, &resolved);
    }
    if (status == MT_OK) {
        status = check_initial(&resolved);
    }
    return status == MT_OK ? check_together(&resolved) : status;
}

int64_t mt_model_config_size(const mt_model_config *config)
{
    mt_model_config c = mt_model_config_resolved(config);
    int64_t S = c.block_size, A = c.attention_size, H = c.linear_size, bias = c.bias ? 1 : 0;
    bool per_channel = c.norm.kind == MT_LAYER_NORM || c.norm.kind == MT_RMS_NORM;
    int64_t norm = (per_channel ? S : 1) + (c.norm.kind == MT_LAYER_NORM ? S : 0);
    int64_t att = 2 * A + 3 * S + 4 * A * S + bias * (3 * A + S);
    int64_t ffn = 2 * S + 2 * H * S + S * S + bias * (H + 2 * S);
    int64_t input = c.input_size > 0 ? S * (c.input_size + 1) : c.vocab_size * S;
    int64_t head = c.output_size * (S + (c.head_bias ? 1 : 0));
    return input + c.num_blocks * (2 * norm + att + ffn) + 2 * norm + head;
}
