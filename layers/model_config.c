/* The configurations that a model can be made of. */
#include <mixtape/model.h>

#include <inttypes.h>
#include <stddef.h>

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
    return resolved;
}

/* Far above any model in use, and low enough that no product of two of them overflows. */
enum { MOST = 1 << 24, MOST_BLOCKS = 1024 };

static const struct {
    const char *name;
    size_t offset;
    int64_t least, most;
} sizes[] = {
    {"vocab_size", offsetof(mt_model_config, vocab_size), 0, MOST},
    {"input_size", offsetof(mt_model_config, input_size), 0, MOST},
    {"output_size", offsetof(mt_model_config, output_size), 0, MOST},
    {"block_size", offsetof(mt_model_config, block_size), 1, MOST},
    {"attention_size", offsetof(mt_model_config, attention_size), 1, MOST},
    {"linear_size", offsetof(mt_model_config, linear_size), 1, MOST},
    {"context_size", offsetof(mt_model_config, context_size), 1, MOST},
    {"num_blocks", offsetof(mt_model_config, num_blocks), 1, MOST_BLOCKS},
};

static const struct {
    const char *name;
    size_t offset;
} dropouts[] = {
    {"embed_dropout", offsetof(mt_model_config, embed_dropout)},
    {"att_dropout", offsetof(mt_model_config, att_dropout)},
    {"ffn_dropout", offsetof(mt_model_config, ffn_dropout)},
};

static mt_status check_norm(const mt_norm_config *norm, int64_t block_size)
{
    if (!(norm->eps > 0.0 && norm->eps < 1e6)) {
        return mt_fail(MT_ERROR_INVALID, "model: the norm's eps is %g, not above 0", norm->eps);
    }
    bool is_partial = norm->kind == MT_RMS_NORM && norm->partial > 0.0 && norm->partial < 1.0;
    if (is_partial && (int64_t)((double)block_size * norm->partial) < 1) {
        return mt_fail(MT_ERROR_INVALID,
                       "model: the norm's partial %g leaves none of block_size %" PRId64,
                       norm->partial, block_size);
    }
    return MT_OK;
}

static mt_status check_fields(const mt_model_config *config)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t value = *(const int64_t *)((const char *)config + sizes[i].offset);
        if (value < sizes[i].least || value > sizes[i].most) {
            return mt_fail(MT_ERROR_INVALID,
                           "model: %s is %" PRId64 ", not in %" PRId64 " .. %" PRId64,
                           sizes[i].name, value, sizes[i].least, sizes[i].most);
        }
    }
    for (size_t i = 0; i < sizeof dropouts / sizeof *dropouts; i++) {
        double value = *(const double *)((const char *)config + dropouts[i].offset);
        if (!(value >= 0.0 && value < 1.0)) {
            return mt_fail(MT_ERROR_INVALID, "model: %s is %g, not in [0, 1)", dropouts[i].name,
                           value);
        }
    }
    return MT_OK;
}

mt_status mt_model_config_check(const mt_model_config *config)
{
    mt_model_config resolved = mt_model_config_resolved(config);
    mt_status status = check_fields(&resolved);
    if (status == MT_OK && (resolved.vocab_size > 0) == (resolved.input_size > 0)) {
        status = mt_fail(MT_ERROR_INVALID,
                         "model: vocab_size %" PRId64 " and input_size %" PRId64
                         ": one of them must be positive, and one alone",
                         resolved.vocab_size, resolved.input_size);
    }
    if (status == MT_OK &&
        (resolved.padding_index < -1 ||
         (resolved.vocab_size > 0 && resolved.padding_index >= resolved.vocab_size))) {
        status =
            mt_fail(MT_ERROR_INVALID, "model: padding_index is %" PRId32 ", not in -1 .. %" PRId64,
                    resolved.padding_index, resolved.vocab_size - 1);
    }
    return status == MT_OK ? check_norm(&resolved.norm, resolved.block_size) : status;
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
