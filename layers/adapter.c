/* Adapters: what is trained beside a frozen model. */
#include <mixtape/adapter.h>

#include "kernels/null.h"
#include "layers/layer.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

typedef struct projection_row {
    const char *name, *parameter; /* as options have it, and as the block has it */
    size_t layer;                 /* its place in a block */
} projection_row;

#define LAYER(field) offsetof(mt_block, field)

static const projection_row projections[MT_PROJECTIONS] = {
    [MT_ATT_KEY] = {"key", "att.proj_key.", LAYER(att.proj_key)},
    [MT_ATT_VALUE] = {"value", "att.proj_value.", LAYER(att.proj_value)},
    [MT_ATT_RECEPTANCE] = {"receptance", "att.proj_receptance.", LAYER(att.proj_receptance)},
    [MT_ATT_OUTPUT] = {"output", "att.proj_output.", LAYER(att.proj_output)},
    [MT_FFN_KEY] = {"ffn_key", "ffn.proj_key.", LAYER(ffn.proj_key)},
    [MT_FFN_VALUE] = {"ffn_value", "ffn.proj_value.", LAYER(ffn.proj_value)},
    [MT_FFN_RECEPTANCE] = {"ffn_receptance", "ffn.proj_receptance.", LAYER(ffn.proj_receptance)},
};

const char *mt_adapter_kind_name(int kind)
{
    return kind == MT_ADAPT_STATE ? "state" : kind == MT_ADAPT_LORA ? "lora" : NULL;
}

const char *mt_projection_name(int projection)
{
    return projection >= 0 && projection < MT_PROJECTIONS ? projections[projection].name : NULL;
}

const char *mt_projections_text(unsigned set, char text[MT_PROJECTIONS_TEXT])
{
    text[0] = '\0';
    for (int i = 0; i < MT_PROJECTIONS; i++) {
        if ((set >> i & 1u) != 0) {
            size_t used = strlen(text);
            snprintf(text + used, MT_PROJECTIONS_TEXT - used, "%s%s", used > 0 ? "," : "",
                     projections[i].name);
        }
    }
    return text;
}

static int find_projection(const char *name, size_t length)
{
    for (int i = 0; i < MT_PROJECTIONS; i++) {
        if (strlen(projections[i].name) == length &&
            strncmp(projections[i].name, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

mt_status mt_projections_parse(const char *text, unsigned *set)
{
    char known[MT_PROJECTIONS_TEXT];
    unsigned found = 0;
    if (text == NULL || set == NULL) {
        return mt_fail_null(__func__);
    }
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        int i = find_projection(at, length);
        if (i < 0) {
            return mt_fail(MT_ERROR_INVALID, "'%.*s' is no projection: they are %s",
                           (int)(length < 64 ? length : 64), at,
                           mt_projections_text((1u << MT_PROJECTIONS) - 1, known));
        }
        found |= 1u << i;
        at += length;
        if (*at == '\0') {
            *set = found;
            return MT_OK;
        }
    }
}

mt_adapter_config mt_adapter_config_default(mt_adapter_kind kind)
{
    return (mt_adapter_config){.kind = kind,
                               .rank = 8,
                               .alpha = 16.0,
                               .on = 1u << MT_ATT_KEY | 1u << MT_ATT_VALUE |
                                     1u << MT_ATT_RECEPTANCE | 1u << MT_ATT_OUTPUT};
}

/* ---- checks ---- */

static bool is_on(const mt_adapter_config *config, int projection)
{
    return (config->on >> projection & 1u) != 0;
}

static mt_linear_layer *layer_of(const mt_model *model, int64_t block, int projection)
{
    return (mt_linear_layer *)(void *)((char *)&model->blocks[block] +
                                       projections[projection].layer);
}

static mt_status check_rank(const mt_model *model, const mt_adapter_config *config)
{
    for (int i = 0; i < MT_PROJECTIONS; i++) {
        const mt_tensor *weight = layer_of(model, 0, i)->weight;
        int64_t out = weight->shape[0], in = weight->shape[1];
        if (is_on(config, i) && config->rank > (out < in ? out : in)) {
            return mt_fail(MT_ERROR_INVALID,
                           "lora: rank %" PRId64 " exceeds the sizes of %s, %" PRId64
                           " by %" PRId64,
                           config->rank, projections[i].name, out, in);
        }
    }
    return MT_OK;
}

static mt_status check_config(const mt_model *model, const mt_adapter_config *config)
{
    if (mt_adapter_kind_name((int)config->kind) == NULL) {
        return mt_fail(MT_ERROR_INVALID, "adapter: there is no kind %d", (int)config->kind);
    }
    if (config->kind == MT_ADAPT_STATE) {
        return MT_OK;
    }
    if (config->rank < 1) {
        return mt_fail(MT_ERROR_INVALID, "lora: rank is %" PRId64 ", not 1 or more", config->rank);
    }
    if (!(config->alpha > 0.0) || !isfinite(config->alpha)) {
        return mt_fail(MT_ERROR_INVALID, "lora: alpha is %g, not a number above 0", config->alpha);
    }
    if (config->on == 0 || config->on >> MT_PROJECTIONS != 0) {
        return mt_fail(MT_ERROR_INVALID, "lora: %#x is no set of projections", config->on);
    }
    return check_rank(model, config);
}

/* ---- parameters ---- */

static void add_start(const mt_model *model, int64_t block, mt_adapter *adapter)
{
    enum { TEXT = 64 };
    const double first_root = 1e-6;
    mt_parameters *parameters = adapter->parameters;
    mt_block_start *start = &adapter->starts[block];
    int64_t S = model->config.block_size, A = model->config.attention_size;
    char prefix[TEXT];
    snprintf(prefix, sizeof prefix, "rwkv_blocks.%" PRId64 ".", block);
    start->att_x =
        mt_parameters_add(parameters, prefix, "att.start_x", 1, &S, mt_initial_constant(0.0));
    start->num =
        mt_parameters_add(parameters, prefix, "att.start_num", 1, &A, mt_initial_constant(0.0));
    start->root_den = mt_parameters_add(parameters, prefix, "att.start_root_den", 1, &A,
                                        mt_initial_constant(first_root));
    start->ffn_x =
        mt_parameters_add(parameters, prefix, "ffn.start_x", 1, &S, mt_initial_constant(0.0));
}

static void add_lora(const mt_model *model, int64_t block, int which, mt_adapter *adapter)
{
    enum { TEXT = 64 };
    const mt_tensor *weight = layer_of(model, block, which)->weight;
    int64_t out = weight->shape[0], in = weight->shape[1], rank = adapter->config.rank;
    mt_lora *lora = &adapter->loras[block * MT_PROJECTIONS + which];
    char prefix[TEXT];
    snprintf(prefix, sizeof prefix, "rwkv_blocks.%" PRId64 ".%s", block,
             projections[which].parameter);
    lora->scale = adapter->config.alpha / (double)rank;
    lora->a = mt_parameters_add(adapter->parameters, prefix, "lora_A", 2, (int64_t[]){rank, in},
                                mt_initial_uniform(1.0 / sqrt((double)in)));
    lora->b = mt_parameters_add(adapter->parameters, prefix, "lora_B", 2, (int64_t[]){out, rank},
                                mt_initial_constant(0.0));
}

static mt_status add_starts(const mt_model *model, mt_adapter *adapter)
{
    size_t blocks = (size_t)model->config.num_blocks;
    adapter->starts = calloc(blocks, sizeof *adapter->starts);
    if (adapter->starts == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "adapter: no memory for %zu blocks", blocks);
    }
    for (int64_t block = 0; block < model->config.num_blocks; block++) {
        add_start(model, block, adapter);
    }
    return mt_parameters_status(adapter->parameters);
}

static mt_status add_loras(const mt_model *model, mt_adapter *adapter)
{
    size_t count = (size_t)model->config.num_blocks * MT_PROJECTIONS;
    adapter->loras = calloc(count, sizeof *adapter->loras);
    if (adapter->loras == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "adapter: no memory for %zu projections", count);
    }
    for (int64_t block = 0; block < model->config.num_blocks; block++) {
        for (int i = 0; i < MT_PROJECTIONS; i++) {
            if (is_on(&adapter->config, i)) {
                add_lora(model, block, i, adapter);
            }
        }
    }
    return mt_parameters_status(adapter->parameters);
}

void mt_adapter_destroy(mt_adapter *adapter)
{
    if (adapter != NULL) {
        mt_parameters_destroy(adapter->parameters);
        free(adapter->starts);
        free(adapter->loras);
        free(adapter);
    }
}

/* With parameters that have no memory yet. */
static mt_status new_adapter(const mt_model *model, const mt_adapter_config *config, mt_dtype dtype,
                             mt_adapter **adapter)
{
    mt_status status = check_config(model, config);
    *adapter = NULL;
    if (status != MT_OK) {
        return status;
    }
    mt_adapter *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "adapter: no memory for %zu bytes", sizeof *made);
    }
    made->config = *config;
    status =
        mt_parameters_create(model->parameters->device, mt_dtype_wide(dtype), &made->parameters);
    if (status == MT_OK && dtype == MT_BF16 && config->kind == MT_ADAPT_LORA) {
        mt_parameters_set_narrow(made->parameters);
    }
    if (status == MT_OK) {
        status = config->kind == MT_ADAPT_STATE ? add_starts(model, made) : add_loras(model, made);
    }
    if (status != MT_OK) {
        mt_adapter_destroy(made);
        return status;
    }
    *adapter = made;
    return MT_OK;
}

mt_status mt_adapter_describe(const mt_model_config *of, const mt_adapter_config *config,
                              mt_dtype dtype, mt_parameters **parameters)
{
    mt_model *model;
    mt_adapter *described = NULL;
    *parameters = NULL;
    if (of == NULL || config == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_model_outline(of, NULL, dtype, &model);
    if (status != MT_OK) {
        return status;
    }
    status = new_adapter(model, config, dtype, &described);
    if (status == MT_OK) {
        *parameters = described->parameters;
        described->parameters = NULL;
        mt_adapter_destroy(described);
    }
    mt_model_destroy(model);
    return status;
}

/* ---- a model's adapter ---- */

static void attach(mt_model *model, mt_adapter *adapter)
{
    model->adapter = adapter;
    for (int64_t block = 0; block < model->config.num_blocks; block++) {
        for (int i = 0; i < MT_PROJECTIONS && adapter->loras != NULL; i++) {
            const mt_lora *lora = &adapter->loras[block * MT_PROJECTIONS + i];
            layer_of(model, block, i)->lora = lora->a != NULL ? lora : NULL;
        }
    }
}

/* `seed`: of the initial values; NULL: there are none. */
static mt_status adapt(mt_model *model, const mt_adapter_config *config, const uint64_t *seed)
{
    mt_adapter *adapter;
    if (model == NULL || config == NULL) {
        return mt_fail_null("mt_model_adapt");
    }
    if (model->adapter != NULL) {
        return mt_fail(MT_ERROR_INVALID, "adapter: the model has one already, of kind %s",
                       mt_adapter_kind_name((int)model->adapter->config.kind));
    }
    mt_status status = new_adapter(model, config, model->dtype, &adapter);
    if (status != MT_OK) {
        return status;
    }
    status = seed != NULL ? mt_parameters_allocate(adapter->parameters, *seed)
                          : mt_parameters_reserve(adapter->parameters);
    if (status != MT_OK) {
        mt_adapter_destroy(adapter);
        return status;
    }
    mt_parameters_freeze(model->parameters);
    adapter->parameters->beside = model->parameters;
    attach(model, adapter);
    return MT_OK;
}

mt_status mt_model_adapt(mt_model *model, const mt_adapter_config *config, uint64_t seed)
{
    return adapt(model, config, &seed);
}

mt_status mt_model_reserve_adapter(mt_model *model, const mt_adapter_config *config)
{
    return adapt(model, config, NULL);
}
