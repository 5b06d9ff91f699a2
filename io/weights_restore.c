/* Weights that go into a model: what must fit, and how much of it. */
#include "io/adapter_file.h"

#include "kernels/null.h"
#include "layers/layer.h"

#include <string.h>

/* What a model may have that weights lack: a head, and labels. */
typedef struct may_lack {
    bool head, labels;
} may_lack;

/* Tells if a parameter is that of the weights, or has more rows, one for each label. */
static bool fits(const mt_parameter *found, const mt_parameter *place, bool may_have_more)
{
    mt_tensor cut = place->tensor;
    if (may_have_more && mt_has_row_per_label(place->name) && cut.rank == found->tensor.rank &&
        cut.shape[0] > found->tensor.shape[0]) {
        cut.shape[0] = found->tensor.shape[0];
    }
    return mt_tensor_same_shape(&found->tensor, &cut);
}

/* The first parameter that is not in both, or not of the same shape in both. */
static mt_status check_parameters(const mt_parameters *from, const mt_parameters *to,
                                  may_lack lacks)
{
    for (int i = 0; i < to->count; i++) {
        const mt_parameter *place = to->items[i];
        const mt_parameter *found = mt_parameters_find(from, place->name);
        char found_shape[96], expected[96];
        if (found == NULL && !(lacks.head && strncmp(place->name, "head.", 5) == 0)) {
            return mt_fail(MT_ERROR_INVALID, "%s is not in the file", place->name);
        }
        if (found != NULL && !fits(found, place, lacks.labels)) {
            return mt_fail(MT_ERROR_INVALID, "%s has shape %s in the file, the model has %s",
                           place->name,
                           mt_tensor_shape_text(&found->tensor, found_shape, sizeof found_shape),
                           mt_tensor_shape_text(&place->tensor, expected, sizeof expected));
        }
    }
    for (int i = 0; i < from->count; i++) {
        if (mt_parameters_find(to, from->items[i]->name) == NULL) {
            return mt_fail(MT_ERROR_INVALID, "the model has no %s, which is in the file",
                           from->items[i]->name);
        }
    }
    return MT_OK;
}

mt_status mt_weights_check_shapes(const mt_weights *weights, const mt_parameters *parameters)
{
    mt_status status = check_parameters(weights->parameters, parameters, (may_lack){false, false});
    return status == MT_OK ? MT_OK
                           : mt_fail(status, "%s: %s", weights->file->path, mt_error_message());
}

mt_status mt_weights_check_fit(const mt_weights *weights, const mt_parameters *parameters)
{
    if (parameters->dtype != weights->dtype) {
        return mt_fail(MT_ERROR_INVALID, "%s: it is of type %s, the model of %s",
                       weights->file->path, mt_dtype_name(weights->dtype),
                       mt_dtype_name(parameters->dtype));
    }
    return mt_weights_check_shapes(weights, parameters);
}

static mt_status check_value(const mt_weights *weights, const char *name, double value,
                             double of_model)
{
    return value == of_model ? MT_OK
                             : mt_fail(MT_ERROR_INVALID, "%s: it has %s %g, the model %g",
                                       weights->file->path, name, value, of_model);
}

/* The share of channels in the norm's statistic. */
static double share(mt_norm_config norm)
{
    return norm.kind == MT_RMS_NORM && norm.partial > 0.0 && norm.partial < 1.0 ? norm.partial
                                                                                : 1.0;
}

mt_status mt_weights_check_config(const mt_weights *weights, const mt_model_config *config)
{
    const mt_model_config own = mt_model_config_resolved(config);
    mt_norm_config norm = weights->config.norm;
    if (own.norm.kind != norm.kind) {
        return mt_fail(MT_ERROR_INVALID, "%s: it has normalization %s, the model %s",
                       weights->file->path, mt_norm_kind_name(norm.kind),
                       mt_norm_kind_name(own.norm.kind));
    }
    bool describes = weights->file->describes;
    bool tells_eps = describes || (weights->layout != NULL && weights->layout->eps_is_fixed);
    mt_status status = MT_OK;
    if (tells_eps && norm.kind != MT_BASIC_NORM) { /* whose eps is learnt */
        status = check_value(weights, "eps", norm.eps, own.norm.eps);
    }
    if (status == MT_OK && describes) {
        status = check_value(weights, "partial", share(norm), share(own.norm));
    }
    if (status == MT_OK && describes) {
        status =
            check_value(weights, "embed_pad", weights->config.padding_index, own.padding_index);
    }
    return status;
}

static mt_status check_restore(const mt_weights *weights, const mt_model *model)
{
    mt_status status = mt_weights_check_config(weights, &model->config);
    return status == MT_OK ? mt_weights_check_fit(weights, model->parameters) : status;
}

mt_status mt_weights_restore(const mt_weights *weights, mt_model *model)
{
    if (weights == NULL || model == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check_restore(weights, model);
    if (status == MT_OK) {
        status = mt_weights_check_and_fill(weights, model->parameters);
    }
    return status == MT_OK ? mt_weights_begin_tuned(weights, model) : status;
}

mt_status mt_weights_check_begin(const mt_weights *weights, const mt_parameters *parameters,
                                 bool may_grow)
{
    mt_status status = mt_weights_check_whole(weights, "another model");
    return status == MT_OK
               ? check_parameters(weights->parameters, parameters, (may_lack){true, may_grow})
               : status;
}

mt_status mt_weights_begin(const mt_weights *weights, mt_model *model)
{
    if (weights == NULL || model == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_weights_check_begin(weights, model->parameters, false);
    return status == MT_OK ? mt_weights_check_and_fill(weights, model->parameters) : status;
}

/* ---- into a model that is new ---- */

mt_status mt_weights_restore_new(const mt_weights *weights, mt_model *model)
{
    mt_status status = check_restore(weights, model);
    if (status == MT_OK) {
        status = mt_weights_fill(weights, model->parameters);
    }
    return status == MT_OK ? mt_weights_begin_tuned(weights, model) : status;
}

mt_status mt_weights_begin_new(const mt_weights *weights, mt_model *model, uint64_t seed,
                               bool may_grow)
{
    mt_parameters *parameters = model->parameters;
    mt_status status = mt_weights_check_begin(weights, parameters, may_grow);
    if (status == MT_OK) {
        status = mt_weights_fill(weights, model->parameters);
    }
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        bool lacks = mt_parameters_find(weights->parameters, parameters->items[i]->name) == NULL;
        status = lacks ? mt_parameters_draw(parameters, i, seed) : MT_OK;
    }
    return status == MT_OK && may_grow ? mt_weights_grow(weights, parameters) : status;
}

mt_status mt_weights_model(const mt_weights *weights, mt_device *device, mt_model **model)
{
    *model = NULL;
    if (weights == NULL || device == NULL) {
        return mt_fail_null(__func__);
    }
    return mt_weights_model_as(weights, device, weights->dtype, model);
}

mt_status mt_weights_model_as(const mt_weights *weights, mt_device *device, mt_dtype dtype,
                              mt_model **model)
{
    mt_status status = mt_model_reserve(device, dtype, &weights->config, model);
    if (status == MT_OK) {
        status = mt_weights_restore_new(weights, *model);
    }
    if (status != MT_OK) {
        mt_model_destroy(*model);
        *model = NULL;
    }
    return status;
}
