#include <mixtape/norm.h>

#include "layers/layer.h"

#include <math.h>
#include <string.h>

static mt_tensor *apply_layer_norm(mt_tape *tape, const mt_norm *layer, mt_tensor *x)
{
    return mt_layer_norm(tape, x, layer->weight, layer->bias, layer->config.eps);
}

static mt_tensor *apply_rms_norm(mt_tape *tape, const mt_norm *layer, mt_tensor *x)
{
    return mt_rms_norm(tape, x, layer->weight, layer->config.eps, layer->config.partial);
}

static mt_tensor *apply_scale_norm(mt_tape *tape, const mt_norm *layer, mt_tensor *x)
{
    return mt_scale_norm(tape, x, layer->weight, layer->config.eps);
}

static mt_tensor *apply_basic_norm(mt_tape *tape, const mt_norm *layer, mt_tensor *x)
{
    return mt_basic_norm(tape, x, layer->weight);
}

static const struct {
    const char *name;
    double eps;         /* ESPnet's default */
    const char *weight; /* the parameter's name */
    bool per_channel, bias;
    mt_tensor *(*apply)(mt_tape *tape, const mt_norm *layer, mt_tensor *x);
} kinds[] = {
    [MT_LAYER_NORM] = {"layer_norm", 1e-12, "weight", true, true, apply_layer_norm},
    [MT_RMS_NORM] = {"rms_norm", 1e-5, "scale", true, false, apply_rms_norm},
    [MT_SCALE_NORM] = {"scale_norm", 1e-5, "scale", false, false, apply_scale_norm},
    [MT_BASIC_NORM] = {"basic_norm", 0.25, "eps", false, false, apply_basic_norm},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* The value that every element of the weight begins with. */
static double initial_weight(mt_norm_config config, int64_t size)
{
    switch (config.kind) {
    case MT_SCALE_NORM:
        return sqrt((double)size);
    case MT_BASIC_NORM:
        return log(config.eps);
    default:
        return 1.0;
    }
}

mt_norm_config mt_norm_config_resolved(mt_norm_config config)
{
    if (config.eps == 0.0 && mt_norm_kind_name(config.kind) != NULL) {
        config.eps = kinds[config.kind].eps;
    }
    return config;
}

mt_status mt_norm_init(mt_norm *layer, mt_parameters *parameters, const char *prefix, int64_t size,
                       mt_norm_config config)
{
    config = mt_norm_config_resolved(config);
    layer->config = config;
    layer->weight = mt_parameters_add(parameters, prefix, kinds[config.kind].weight,
                                      kinds[config.kind].per_channel ? 1 : 0, &size,
                                      mt_initial_constant(initial_weight(config, size)));
    layer->bias = kinds[config.kind].bias ? mt_parameters_add(parameters, prefix, "bias", 1, &size,
                                                              mt_initial_constant(0.0))
                                          : NULL;
    return mt_parameters_status(parameters);
}

mt_tensor *mt_norm_forward(mt_tape *tape, const mt_norm *layer, mt_tensor *x)
{
    return kinds[layer->config.kind].apply(tape, layer, x);
}

const char *mt_norm_kind_name(mt_norm_kind kind)
{
    return (int)kind >= 0 && (int)kind < KINDS ? kinds[kind].name : NULL;
}

mt_status mt_norm_kind_parse(const char *name, mt_norm_kind *kind)
{
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            *kind = (mt_norm_kind)i;
            return MT_OK;
        }
    }
    return mt_fail(MT_ERROR_INVALID, "norm: '%s' is none of %s, %s, %s, %s", name, kinds[0].name,
                   kinds[1].name, kinds[2].name, kinds[3].name);
}
