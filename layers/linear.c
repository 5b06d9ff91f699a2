#include <mixtape/linear.h>

#include "layers/layer.h"

#include <math.h>

mt_status mt_linear_init(mt_linear_layer *layer, mt_parameters *parameters, const char *prefix,
                         int64_t in, int64_t out, bool bias)
{
    mt_initial initial = mt_initial_uniform(1.0 / sqrt((double)in));
    layer->weight =
        mt_parameters_add(parameters, prefix, "weight", 2, (int64_t[]){out, in}, initial);
    layer->bias = bias ? mt_parameters_add(parameters, prefix, "bias", 1, &out, initial) : NULL;
    return mt_parameters_status(parameters);
}

mt_tensor *mt_linear_forward(mt_tape *tape, const mt_linear_layer *layer, mt_tensor *x)
{
    return mt_linear(tape, x, layer->weight, layer->bias);
}
