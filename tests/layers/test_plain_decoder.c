/* The decoder's numbers are those of its formulas (layers, mixtape/model.h), written here as loops
 * around the plain kernels of kernels/reference. */
#include <mixtape/model.h>

#include "kernels/reference/reference.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

#include <stdio.h>

enum { B = 2, T = 5, N = B * T, VOCABULARY = 7, FEATURES = 3, BLOCKS = 2, MEMORY = 1 << 16 };

static const int32_t labels[N] = {3, 1, 0, 2, 6, 5, 4, 1, 1, 2};

static double memory[MEMORY]; /* arrays of the plain decoder, one behind the other */
static int64_t used;

static double *array(int64_t count)
{
    double *made = memory + used;
    used += count;
    ck_assert_int_le(used, MEMORY);
    return made;
}

/* A parameter's values, or NULL where the model has none of that name. */
static const double *values_of(const mt_model *model, const char *prefix, const char *name)
{
    char full[MT_NAME_MAX];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const mt_parameter *parameter = mt_parameters_find(model->parameters, full);
    if (parameter == NULL) {
        return NULL;
    }
    double *values = array(mt_tensor_count(&parameter->tensor));
    ck_assert_int_eq(mt_tensor_read(&parameter->tensor, values), MT_OK);
    return values;
}

/* A place in the model's names: "rwkv_blocks.1." and so on. */
typedef struct part {
    const mt_model *model;
    char prefix[96];
} part;

static part part_of(const part *whole, const char *name)
{
    part made = {.model = whole->model};
    snprintf(made.prefix, sizeof made.prefix, "%.60s%.30s.", whole->prefix, name);
    return made;
}

static double *linear(const part *whole, const char *name, const double *x, int64_t in, int64_t out)
{
    part layer = part_of(whole, name);
    const double *weight = values_of(layer.model, layer.prefix, "weight");
    const double *bias = values_of(layer.model, layer.prefix, "bias");
    double *y = array(N * out);
    ck_assert_ptr_nonnull(weight);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t o = 0; o < out; o++) {
            y[n * out + o] = bias != NULL ? bias[o] : 0.0;
            for (int64_t i = 0; i < in; i++) {
                y[n * out + o] += x[n * in + i] * weight[o * in + i];
            }
        }
    }
    return y;
}

static double *norm(const part *whole, const char *name, const double *x)
{
    static const char *const weights[] = {"weight", "scale", "scale", "eps"};
    part layer = part_of(whole, name);
    const mt_model_config *config = &layer.model->config;
    int64_t S = config->block_size;
    int64_t P = config->norm.partial > 0.0 ? (int64_t)((double)S * config->norm.partial) : S;
    const double *weight = values_of(layer.model, layer.prefix, weights[config->norm.kind]);
    const double *bias = values_of(layer.model, layer.prefix, "bias");
    double *y = array(N * S), *mean = array(N), *scale = array(N);
    mt_reference_norm_forward(&(mt_norm_forward_args){config->norm.kind, N, S, P, config->norm.eps,
                                                      x, weight, bias, y, mean, scale});
    return y;
}

static double *mix(const part *layer, const char *name, const double *x)
{
    int64_t S = layer->model->config.block_size;
    double *y = array(N * S);
    const double *weight = values_of(layer->model, layer->prefix, name);
    mt_reference_time_mix_forward(&(mt_time_mix_forward_args){B, T, S, 1, x, NULL, {weight}, {y}});
    return y;
}

static void gate(int64_t count, const double *receptance, double *y)
{
    for (int64_t i = 0; i < count; i++) {
        y[i] /= 1.0 + exp(-receptance[i]);
    }
}

static double *self_attention(const part *layer, const double *x)
{
    int64_t S = layer->model->config.block_size, A = layer->model->config.attention_size;
    const double *decay = values_of(layer->model, layer->prefix, "time_decay");
    double *w = array(A), *y = array(N * A);
    for (int64_t c = 0; c < A; c++) {
        w[c] = -exp(decay[c]);
    }
    double *key = linear(layer, "proj_key", mix(layer, "time_mix_key", x), S, A);
    double *value = linear(layer, "proj_value", mix(layer, "time_mix_value", x), S, A);
    double *receptance =
        linear(layer, "proj_receptance", mix(layer, "time_mix_receptance", x), S, A);
    mt_reference_wkv_forward(
        &(mt_wkv_forward_args){.B = B,
                               .T = T,
                               .C = A,
                               .w = w,
                               .u = values_of(layer->model, layer->prefix, "time_first"),
                               .k = key,
                               .v = value,
                               .y = y});
    gate(N * A, receptance, y);
    return linear(layer, "proj_output", y, A, S);
}

static double *feed_forward(const part *layer, const double *x)
{
    int64_t S = layer->model->config.block_size, H = layer->model->config.linear_size;
    double *key = linear(layer, "proj_key", mix(layer, "time_mix_key", x), S, H);
    double *receptance =
        linear(layer, "proj_receptance", mix(layer, "time_mix_receptance", x), S, S);
    for (int64_t i = 0; i < N * H; i++) {
        key[i] = key[i] > 0.0 ? key[i] * key[i] : 0.0;
    }
    double *y = linear(layer, "proj_value", key, H, S);
    gate(N * S, receptance, y);
    return y;
}

static void add(int64_t count, const double *a, double *x)
{
    for (int64_t i = 0; i < count; i++) {
        x[i] += a[i];
    }
}

static const double *embed(const part *whole, const double *features)
{
    const mt_model_config *config = &whole->model->config;
    int64_t S = config->block_size;
    if (config->input_size > 0) {
        return linear(whole, "input", features, FEATURES, S);
    }
    const double *rows = values_of(whole->model, "", "embed.weight");
    double *x = array(N * S);
    for (int64_t n = 0; n < N; n++) {
        memcpy(x + n * S, rows + labels[n] * S, (size_t)S * sizeof *x);
    }
    return x;
}

static const double *decode(const mt_model *model, const double *features)
{
    const part whole = {.model = model, .prefix = ""};
    int64_t S = model->config.block_size;
    used = 0;
    double *x = norm(&whole, "embed_norm", embed(&whole, features));
    for (int i = 0; i < BLOCKS; i++) {
        char name[32];
        snprintf(name, sizeof name, "rwkv_blocks.%d", i);
        const part block = part_of(&whole, name);
        const part att = part_of(&block, "att"), ffn = part_of(&block, "ffn");
        add(N * S, self_attention(&att, norm(&block, "layer_norm_att", x)), x);
        add(N * S, feed_forward(&ffn, norm(&block, "layer_norm_ffn", x)), x);
    }
    return linear(&whole, "head", norm(&whole, "final_norm", x), S, model->config.output_size);
}

/* Moves every parameter from its initial value, which many of them share. */
static void stir(const mt_model *model)
{
    mt_random random = mt_random_make(11, 3);
    for (int i = 0; i < model->parameters->count; i++) {
        mt_tensor *tensor = &model->parameters->items[i]->tensor;
        int64_t count = mt_tensor_count(tensor);
        double *values = malloc((size_t)count * sizeof *values);
        ck_assert_ptr_nonnull(values);
        ck_assert_int_eq(mt_tensor_read(tensor, values), MT_OK);
        for (int64_t j = 0; j < count; j++) {
            values[j] += 0.5 * mt_random_uniform(&random) - 0.25;
        }
        ck_assert_int_eq(mt_tensor_write(tensor, values), MT_OK);
        free(values);
    }
}

static const struct {
    mt_norm_kind norm;
    double partial;
    int64_t size, attention, hidden, features;
    bool bias, head_bias;
} variations[] = {
    {MT_LAYER_NORM, 0.0, 4, 4, 16, 0, true, false},
    {MT_LAYER_NORM, 0.0, 5, 3, 7, FEATURES, true, true},
    {MT_RMS_NORM, 0.0, 4, 6, 9, 0, false, true},
    {MT_RMS_NORM, 0.5, 6, 6, 9, 0, true, false},
    {MT_SCALE_NORM, 0.0, 5, 5, 11, FEATURES, true, true},
    {MT_BASIC_NORM, 0.0, 3, 4, 8, 0, false, false},
};

START_TEST(test_the_decoder_is_its_formulas)
{
    mt_model *model;
    double features[N * FEATURES], logits[N * VOCABULARY];
    mt_model_config config = mt_model_config_default(VOCABULARY, variations[_i].size);
    config.num_blocks = BLOCKS;
    config.attention_size = variations[_i].attention;
    config.linear_size = variations[_i].hidden;
    config.norm.kind = variations[_i].norm;
    config.norm.partial = variations[_i].partial;
    config.bias = variations[_i].bias;
    config.head_bias = variations[_i].head_bias;
    config.padding_index = -1;
    if (variations[_i].features > 0) {
        config.vocab_size = 0;
        config.input_size = FEATURES;
    }
    ck_assert_msg(mt_model_create(test_device, MT_F64, &config, 5, &model) == MT_OK, "%s",
                  mt_error_message());
    stir(model);
    for (int i = 0; i < N * FEATURES; i++) {
        features[i] = sin(i + 1.0);
    }
    mt_tensor *input = config.input_size > 0 ? mt_tape_input(test_tape, MT_F64,
                                                             SHAPE(B, T, FEATURES), features, false)
                                             : mt_tape_labels(test_tape, B, T, labels);
    mt_tensor *output =
        mt_model_head(test_tape, model, mt_model_decode(test_tape, model, input, NULL, false));
    ck_assert_msg(output != NULL, "%s", mt_tape_error(test_tape));
    ck_assert_int_eq(mt_tensor_read(output, logits), MT_OK);
    const double *expected = decode(model, features);
    for (int i = 0; i < N * VOCABULARY; i++) {
        ck_assert_double_eq_tol(logits[i], expected[i], 1e-12 * (1.0 + fabs(expected[i])));
    }
    mt_model_destroy(model);
}
END_TEST

static Suite *plain_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("plain decoder", graph_setup, graph_teardown, &tcase);
    tcase_add_loop_test(tcase, test_the_decoder_is_its_formulas, 0,
                        sizeof variations / sizeof *variations);
    return suite;
}

MT_TEST_MAIN(plain_suite)
