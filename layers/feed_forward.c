#include <mixtape/feed_forward.h>

#include "layers/layer.h"

/* `gain` is RWKV-LM's, of orthogonal initial values. */
static mt_status add_projection(mt_linear_layer *layer, mt_parameters *parameters,
                                const char *prefix, const char *name, int64_t in, int64_t out,
                                const mt_feed_forward_config *config, double gain)
{
    return mt_linear_init_of(layer, parameters, mt_prefix_join(prefix, name).text, in, out,
                             config->bias, config->initial_values, gain);
}

mt_status mt_feed_forward_init(mt_feed_forward *layer, mt_parameters *parameters,
                               const char *prefix, const mt_feed_forward_config *config)
{
    int64_t S = config->size, H = config->hidden_size, mix_shape[] = {1, 1, S};
    mt_initial mix = mt_initial_mix(mt_block_ratio_down(config->block_id, config->num_blocks), 0.0);
    layer->time_mix_key = mt_parameters_add(parameters, prefix, "time_mix_key", 3, mix_shape, mix);
    layer->time_mix_receptance =
        mt_parameters_add(parameters, prefix, "time_mix_receptance", 3, mix_shape, mix);
    add_projection(&layer->proj_key, parameters, prefix, "proj_key.", S, H, config, 1.0);
    add_projection(&layer->proj_value, parameters, prefix, "proj_value.", H, S, config, 0.0);
    return add_projection(&layer->proj_receptance, parameters, prefix, "proj_receptance.", S, S,
                          config, 0.0);
}

/* max(proj_key(x), 0)^2, in one operator unless an adapter adds to the product. */
static mt_tensor *squared_key(mt_tape *tape, const mt_linear_layer *layer, mt_tensor *x)
{
    return layer->lora == NULL ? mt_linear_squared_relu(tape, x, layer->weight, layer->bias)
                               : mt_squared_relu(tape, mt_linear_forward(tape, layer, x));
}

mt_tensor *mt_feed_forward_forward(mt_tape *tape, const mt_feed_forward *layer, mt_tensor *x,
                                   mt_tensor **state)
{
    mt_tensor *mixes[] = {layer->time_mix_key, layer->time_mix_receptance};
    mt_tensor *mixed[2] = {NULL};
    mt_time_mix(tape, x, mt_carried_in(tape, state != NULL ? *state : NULL, x), 2, mixes, mixed);

    mt_tensor *key = squared_key(tape, &layer->proj_key, mixed[0]);
    mt_tensor *value = mt_linear_forward(tape, &layer->proj_value, key);
    mt_tensor *receptance = mt_linear_forward(tape, &layer->proj_receptance, mixed[1]);
    if (state != NULL) {
        *state = mt_carried_out(tape, x);
    }
    return mt_sigmoid_gate(tape, receptance, value);
}
