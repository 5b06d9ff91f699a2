#include <mixtape/linear.h>

#include "layers/layer.h"

#include <math.h>

mt_status mt_linear_init(mt_linear_layer *layer, mt_parameters *parameters, const char *prefix,
                         int64_t in, int64_t out, bool bias)
{
    mt_initial initial = mt_initial_uniform(1.0 / sqrt((double)in));
    return mt_linear_init_as(layer, parameters, prefix, in, out, bias, initial, initial);
}

mt_status mt_linear_init_as(mt_linear_layer *layer, mt_parameters *parameters, const char *prefix,
                            int64_t in, int64_t out, bool bias, mt_initial of_weight,
                            mt_initial of_bias)
{
    layer->lora = NULL;
    layer->weight =
        mt_parameters_add(parameters, prefix, "weight", 2, (int64_t[]){out, in}, of_weight);
    layer->bias = bias ? mt_parameters_add(parameters, prefix, "bias", 1, &out, of_bias) : NULL;
    return mt_parameters_status(parameters);
}

mt_initial mt_linear_orthogonal(int64_t in, int64_t out, double gain)
{
    return mt_initial_orthogonal(in, gain * sqrt(fmax(1.0, (double)out / (double)in)));
}

mt_status mt_linear_init_of(mt_linear_layer *layer, mt_parameters *parameters, const char *prefix,
                            int64_t in, int64_t out, bool bias, mt_initial_values values,
                            double gain)
{
    if (values == MT_INITIAL_ESPNET) {
        return mt_linear_init(layer, parameters, prefix, in, out, bias);
    }
    mt_initial zero = mt_initial_constant(0.0);
    mt_initial weight = gain > 0.0 ? mt_linear_orthogonal(in, out, gain) : zero;
    return mt_linear_init_as(layer, parameters, prefix, in, out, bias, weight, zero);
}

mt_tensor *mt_linear_forward(mt_tape *tape, const mt_linear_layer *layer, mt_tensor *x)
{
    const mt_lora *lora = layer->lora;
    return lora == NULL
               ? mt_linear(tape, x, layer->weight, layer->bias)
               : mt_linear_lora(tape, x, layer->weight, layer->bias, lora->a, lora->b, lora->scale);
}
