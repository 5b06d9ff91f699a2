/* The decoder and the model around it: its parts, and how values flow through them. */
#include <mixtape/adapter.h>

#include "kernels/null.h"
#include "layers/layer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static mt_block_config block_config(const mt_model_config *config, int64_t block_id)
{
    return (mt_block_config){
        .att = {.size = config->block_size,
                .attention_size = config->attention_size,
                .context_size = config->context_size,
                .block_id = block_id,
                .num_blocks = config->num_blocks,
                .time_first = config->time_first,
                .bias = config->bias,
                .initial_values = config->initial_values},
        .ffn = {.size = config->block_size,
                .hidden_size = config->linear_size,
                .block_id = block_id,
                .num_blocks = config->num_blocks,
                .bias = config->bias,
                .initial_values = config->initial_values},
        .norm = config->norm,
        .att_dropout = config->att_dropout,
        .ffn_dropout = config->ffn_dropout,
    };
}

static void add_input(mt_model *model)
{
    const mt_model_config *config = &model->config;
    if (config->input_size > 0) {
        mt_linear_init_of(&model->input, model->parameters, "input.", config->input_size,
                          config->block_size, true, config->initial_values, 1.0);
        return;
    }
    bool is_rwkv_lm = config->initial_values == MT_INITIAL_RWKV_LM;
    mt_initial initial =
        is_rwkv_lm ? mt_initial_uniform(config->embed_bound) : mt_initial_normal(1.0);
    model->embed = mt_parameters_add(model->parameters, "", "embed.weight", 2,
                                     (int64_t[]){config->vocab_size, config->block_size}, initial);
    mt_parameters_set_table(model->parameters);
    mt_parameters_set_padding_row(model->parameters, config->padding_index);
}

static mt_status add_parts(mt_model *model)
{
    const mt_model_config *config = &model->config;
    mt_parameters *parameters = model->parameters;
    add_input(model);
    mt_norm_init(&model->embed_norm, parameters, "embed_norm.", config->block_size, config->norm);
    for (int64_t i = 0; i < config->num_blocks; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "rwkv_blocks.%" PRId64 ".", i);
        mt_block_config block = block_config(config, i);
        mt_block_init(&model->blocks[i], parameters, prefix, &block);
    }
    mt_norm_init(&model->final_norm, parameters, "final_norm.", config->block_size, config->norm);
    if (config->output_size > 0) {
        mt_linear_init_of(&model->head, parameters, "head.", config->block_size,
                          config->output_size, config->head_bias, config->initial_values, 0.5);
    }
    return parameters->status;
}

/* The model's parts, with parameters that have no memory yet. */
static mt_status describe(mt_model *model, mt_device *device, mt_dtype dtype)
{
    model->blocks = calloc((size_t)model->config.num_blocks, sizeof *model->blocks);
    if (model->blocks == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "model: no memory for %" PRId64 " blocks",
                       model->config.num_blocks);
    }
    mt_status status = mt_parameters_create(device, mt_dtype_wide(dtype), &model->parameters);
    if (status == MT_OK && dtype == MT_BF16) {
        mt_parameters_set_narrow(model->parameters);
    }
    return status == MT_OK ? add_parts(model) : status;
}

mt_status mt_model_outline(const mt_model_config *config, mt_device *device, mt_dtype dtype,
                           mt_model **model)
{
    *model = NULL;
    if (dtype != MT_F32 && dtype != MT_F64 && dtype != MT_BF16) {
        return mt_fail(MT_ERROR_INVALID, "model: type %d is none of f32, f64 and bf16", (int)dtype);
    }
    mt_status status = mt_model_config_check(config);
    if (status != MT_OK) {
        return status;
    }
    mt_model *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "model: no memory for %zu bytes", sizeof *made);
    }
    made->config = mt_model_config_resolved(config);
    made->dtype = dtype;
    status = describe(made, device, dtype);
    if (status != MT_OK) {
        mt_model_destroy(made);
        return status;
    }
    *model = made;
    return MT_OK;
}

mt_status mt_model_describe(const mt_model_config *config, mt_dtype dtype,
                            mt_parameters **parameters)
{
    mt_model *model;
    *parameters = NULL;
    mt_status status = mt_model_outline(config, NULL, dtype, &model);
    if (status == MT_OK) {
        *parameters = model->parameters;
        model->parameters = NULL;
        mt_model_destroy(model);
    }
    return status;
}

static mt_status finish(mt_status status, mt_model **model)
{
    if (status != MT_OK) {
        mt_model_destroy(*model);
        *model = NULL;
    }
    return status;
}

mt_status mt_model_create(mt_device *device, mt_dtype dtype, const mt_model_config *config,
                          uint64_t seed, mt_model **model)
{
    *model = NULL;
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_model_outline(config, device, dtype, model);
    return status == MT_OK ? finish(mt_parameters_allocate((*model)->parameters, seed), model)
                           : status;
}

mt_status mt_model_reserve(mt_device *device, mt_dtype dtype, const mt_model_config *config,
                           mt_model **model)
{
    mt_status status = mt_model_outline(config, device, dtype, model);
    return status == MT_OK ? finish(mt_parameters_reserve((*model)->parameters), model) : status;
}

mt_status mt_model_reserve_frozen(mt_device *device, mt_dtype dtype, const mt_model_config *config,
                                  mt_model **model)
{
    mt_status status = mt_model_outline(config, device, dtype, model);
    if (status != MT_OK) {
        return status;
    }
    mt_parameters_freeze((*model)->parameters);
    return finish(mt_parameters_reserve((*model)->parameters), model);
}

void mt_model_destroy(mt_model *model)
{
    if (model != NULL) {
        mt_parameters_destroy(model->parameters);
        mt_adapter_destroy(model->adapter);
        free(model->blocks);
        free(model);
    }
}

/* A block as a span that keeps its outputs alone: in training or without it, each without what is
 * carried or with it, going in and coming out beside x. */
static void run_block(mt_tape *tape, void *context, mt_tensor *const *inputs, mt_tensor **outputs)
{
    outputs[0] = mt_block_forward(tape, context, inputs[0], NULL, true);
}

static void run_trained_block(mt_tape *tape, void *context, mt_tensor *const *inputs,
                              mt_tensor **outputs)
{
    outputs[0] = mt_block_forward(tape, context, inputs[0], NULL, false);
}

static void carry(mt_tape *tape, const mt_block *block, mt_tensor *const *inputs,
                  mt_tensor **outputs, bool training)
{
    mt_block_state state = {.att = {.x = inputs[1], .wkv = inputs[2]}, .ffn = inputs[3]};
    outputs[0] = mt_block_forward(tape, block, inputs[0], &state, training);
    outputs[1] = state.att.x;
    outputs[2] = state.att.wkv;
    outputs[3] = state.ffn;
}

static void run_carrying_block(mt_tape *tape, void *context, mt_tensor *const *inputs,
                               mt_tensor **outputs)
{
    carry(tape, context, inputs, outputs, true);
}

static void run_trained_carrying_block(mt_tape *tape, void *context, mt_tensor *const *inputs,
                                       mt_tensor **outputs)
{
    carry(tape, context, inputs, outputs, false);
}

static mt_tensor *block_as_span(mt_tape *tape, mt_block *block, mt_tensor *x, mt_block_state *state,
                                bool training)
{
    mt_tensor *outputs[4] = {NULL};
    if (state == NULL) {
        mt_recompute(tape, training ? run_block : run_trained_block, block, 1, &x, 1, outputs);
        return outputs[0];
    }
    mt_tensor *inputs[] = {x, state->att.x, state->att.wkv, state->ffn};
    mt_recompute(tape, training ? run_carrying_block : run_trained_carrying_block, block, 4, inputs,
                 4, outputs);
    *state = (mt_block_state){.att = {.x = outputs[1], .wkv = outputs[2]}, .ffn = outputs[3]};
    return outputs[0];
}

/* Tells if a block keeps its outputs alone: to be recomputed, or because no backward will come. A
 * stream's steps are too short for that to be worth copies of what is carried. */
static bool is_span(const mt_tape *tape, const mt_model_config *config, const mt_model_state *state,
                    bool training)
{
    return (training && config->recompute) || (state == NULL && !mt_tape_recording(tape));
}

static const mt_block_start *start_of(const mt_model *model, int64_t block)
{
    return model->adapter != NULL && model->adapter->starts != NULL ? &model->adapter->starts[block]
                                                                    : NULL;
}

static void begin_block(mt_tape *tape, const mt_block_start *start, int64_t B,
                        mt_block_state *state)
{
    if (state->att.x == NULL) {
        state->att.x = mt_repeat(tape, start->att_x, B);
    }
    if (state->att.wkv == NULL) {
        state->att.wkv = mt_wkv_start(tape, start->num, start->root_den, B);
    }
    if (state->ffn == NULL) {
        state->ffn = mt_repeat(tape, start->ffn_x, B);
    }
}

void mt_model_begin(mt_tape *tape, const mt_model *model, int64_t B, mt_model_state *state)
{
    for (int64_t i = 0; model != NULL && i < state->num_blocks; i++) {
        const mt_block_start *start = start_of(model, i);
        if (start != NULL) {
            begin_block(tape, start, B, &state->blocks[i]);
        }
    }
}

/* A block, from what its sequences carry or begin with. */
static mt_tensor *decode_block(mt_tape *tape, mt_model *model, int64_t i, mt_tensor *x,
                               mt_model_state *state, bool training)
{
    mt_block *block = &model->blocks[i];
    const mt_block_start *start = start_of(model, i);
    mt_block_state begun = {{NULL, NULL}, NULL};
    mt_block_state *carried = state != NULL ? &state->blocks[i] : start != NULL ? &begun : NULL;
    if (start != NULL && x != NULL) {
        begin_block(tape, start, x->shape[0], carried);
    }
    return is_span(tape, &model->config, state, training)
               ? block_as_span(tape, block, x, carried, training)
               : mt_block_forward(tape, block, x, carried, training);
}

mt_tensor *mt_model_decode(mt_tape *tape, mt_model *model, mt_tensor *input, mt_model_state *state,
                           bool training)
{
    if (model == NULL) {
        return NULL;
    }
    const mt_model_config *config = &model->config;
    int rank = model->embed != NULL ? 2 : 3;
    if (input != NULL && input->rank != rank) {
        char shape[96];
        return mt_tape_fail(tape,
                            mt_fail(MT_ERROR_INVALID, "decode: the input has shape %s, expected %s",
                                    mt_tensor_shape_text(input, shape, sizeof shape),
                                    rank == 2 ? "(B, T)" : "(B, T, features)"));
    }
    mt_tensor *x =
        model->embed != NULL
            ? mt_embedding_as(tape, input, model->embed, config->padding_index, model->dtype)
            : mt_linear_forward(tape, &model->input, mt_cast(tape, input, model->dtype));
    x = mt_norm_forward(tape, &model->embed_norm, x);
    x = mt_dropout(tape, x, training ? config->embed_dropout : 0.0);
    for (int64_t i = 0; i < config->num_blocks; i++) {
        x = decode_block(tape, model, i, x, state, training);
    }
    return mt_norm_forward(tape, &model->final_norm, x);
}

void mt_model_set_context_size(mt_model *model, int64_t context_size)
{
    if (model == NULL) {
        return;
    }
    model->config.context_size = context_size;
    for (int64_t i = 0; i < model->config.num_blocks; i++) {
        model->blocks[i].att.context_size = context_size;
    }
}

mt_tensor *mt_model_head(mt_tape *tape, mt_model *model, mt_tensor *output)
{
    if (model == NULL) {
        return NULL;
    }
    mt_tensor *logits = mt_linear_forward(tape, &model->head, output);
    return logits != NULL ? mt_cast(tape, logits, mt_dtype_wide(logits->dtype)) : NULL;
}

mt_tensor *mt_model_cross_entropy(mt_tape *tape, mt_model *model, mt_tensor *output,
                                  mt_tensor *targets, int32_t ignore_index, double label_smoothing,
                                  mt_tensor **stats)
{
    return mt_model_cross_entropy_l2wrap(tape, model, output, targets, ignore_index,
                                         label_smoothing, 0.0, stats);
}

mt_tensor *mt_model_cross_entropy_l2wrap(mt_tape *tape, mt_model *model, mt_tensor *output,
                                         mt_tensor *targets, int32_t ignore_index,
                                         double label_smoothing, double l2wrap, mt_tensor **stats)
{
    if (model == NULL) {
        return NULL;
    }
    return mt_linear_cross_entropy_l2wrap(tape, output, model->head.weight, model->head.bias,
                                          targets, ignore_index, label_smoothing, l2wrap, stats);
}

mt_status mt_model_state_create(const mt_model *model, mt_model_state *state)
{
    *state = (mt_model_state){NULL, 0};
    if (model == NULL) {
        return mt_fail_null(__func__);
    }
    state->num_blocks = model->config.num_blocks;
    state->blocks = calloc((size_t)state->num_blocks, sizeof *state->blocks);
    return state->blocks != NULL
               ? MT_OK
               : mt_fail(MT_ERROR_MEMORY, "state: no memory for %" PRId64 " blocks",
                         state->num_blocks);
}

void mt_model_state_destroy(mt_model_state *state)
{
    free(state->blocks);
    *state = (mt_model_state){NULL, 0};
}
