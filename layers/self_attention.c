#include <mixtape/self_attention.h>

#include "layers/layer.h"

const char *mt_time_first_name(mt_time_first kind)
{
    static const char *const names[] = {
        [MT_TIME_FIRST_ESPNET] = "espnet", [MT_TIME_FIRST_RWKV] = "rwkv"};
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : NULL;
}

/* `gain` is RWKV-LM's, of orthogonal initial values. */
static mt_status add_projection(mt_linear_layer *layer, mt_parameters *parameters,
                                const char *prefix, const char *name, int64_t in, int64_t out,
                                const mt_self_attention_config *config, double gain)
{
    return mt_linear_init_of(layer, parameters, mt_prefix_join(prefix, name).text, in, out,
                             config->bias, config->initial_values, gain);
}

mt_self_attention_config mt_self_attention_config_default(int64_t size, int64_t context_size)
{
    return (mt_self_attention_config){.size = size,
                                      .attention_size = size,
                                      .context_size = context_size,
                                      .num_blocks = 1,
                                      .time_first = MT_TIME_FIRST_ESPNET,
                                      .bias = true};
}

mt_status mt_self_attention_init(mt_self_attention *layer, mt_parameters *parameters,
                                 const char *prefix, const mt_self_attention_config *config)
{
    int64_t S = config->size, A = config->attention_size, mix_shape[] = {1, 1, S};
    double r0 = mt_block_ratio_up(config->block_id, config->num_blocks);
    double r1 = mt_block_ratio_down(config->block_id, config->num_blocks);
    mt_initial first = config->time_first == MT_TIME_FIRST_RWKV ? mt_initial_time_first_rwkv()
                                                                : mt_initial_constant(1.0);
    layer->context_size = config->context_size;
    layer->time_decay = mt_parameters_add(parameters, prefix, "time_decay", 1, &A,
                                          mt_initial_time_decay(0.7 + 1.3 * r0));
    layer->time_first = mt_parameters_add(parameters, prefix, "time_first", 1, &A, first);
    layer->time_mix_key = mt_parameters_add(parameters, prefix, "time_mix_key", 3, mix_shape,
                                            mt_initial_mix(r1, 0.0));
    layer->time_mix_value = mt_parameters_add(parameters, prefix, "time_mix_value", 3, mix_shape,
                                              mt_initial_mix(r1, 0.3 * r0));
    layer->time_mix_receptance = mt_parameters_add(parameters, prefix, "time_mix_receptance", 3,
                                                   mix_shape, mt_initial_mix(0.5 * r1, 0.0));
    add_projection(&layer->proj_key, parameters, prefix, "proj_key.", S, A, config, 0.0);
    add_projection(&layer->proj_value, parameters, prefix, "proj_value.", S, A, config, 1.0);
    add_projection(&layer->proj_receptance, parameters, prefix, "proj_receptance.", S, A, config,
                   0.0);
    return add_projection(&layer->proj_output, parameters, prefix, "proj_output.", A, S, config,
                          0.0);
}

/* Key, value and receptance: together, unless an adapter adds to one of them. */
static void project(mt_tape *tape, const mt_self_attention *layer, mt_tensor *const *mixed,
                    mt_tensor **projected)
{
    const mt_linear_layer *layers[] = {&layer->proj_key, &layer->proj_value,
                                       &layer->proj_receptance};
    mt_tensor *weights[3], *biases[3];
    bool adapted = false;
    for (int i = 0; i < 3; i++) {
        weights[i] = layers[i]->weight;
        biases[i] = layers[i]->bias;
        adapted = adapted || layers[i]->lora != NULL;
    }
    if (!adapted) {
        mt_linear_each(tape, 3, mixed, weights, biases, projected);
    }
    for (int i = 0; i < 3 && adapted; i++) {
        projected[i] = mt_linear_forward(tape, layers[i], mixed[i]);
    }
}

mt_tensor *mt_self_attention_forward(mt_tape *tape, const mt_self_attention *layer, mt_tensor *x,
                                     mt_self_attention_state *state)
{
    mt_self_attention_state none = {NULL, NULL};
    mt_self_attention_state *carried = state != NULL ? state : &none;
    mt_tensor *mixes[] = {layer->time_mix_key, layer->time_mix_value, layer->time_mix_receptance};
    mt_tensor *mixed[3] = {NULL};
    mt_time_mix(tape, x, mt_carried_in(tape, carried->x, x), 3, mixes, mixed);

    mt_tensor *projected[3] = {NULL};
    project(tape, layer, mixed, projected);
    mt_tensor *key = projected[0], *value = projected[1], *receptance = projected[2];

    mt_tensor *decay = mt_negative_exp(tape, layer->time_decay);
    mt_tensor *wkv = mt_wkv(tape, decay, layer->time_first, key, value, carried->wkv,
                            layer->context_size, &carried->wkv);
    if (state != NULL) {
        state->x = mt_carried_out(tape, x);
    }
    return mt_linear_forward(tape, &layer->proj_output, mt_sigmoid_gate(tape, receptance, wkv));
}
