/* Exchange files, of weights.h: a model's parameters under the names of a layout. */
#include "io/adapter_file.h"
#include "kernels/null.h"

#include <stdio.h>
#include <string.h>

static mt_status refuse_nonzero(void *context, int64_t first, int64_t rows, const void *values)
{
    const mt_array *array = context;
    int64_t count = rows * mt_array_width(array);
    (void)first;
    for (int64_t i = 0; i < count; i++) {
        if (mt_real_at(array->dtype, values, i) != 0.0) {
            return mt_fail(MT_ERROR_INVALID,
                           "it has no place for %s, which is not zero (train with --no-bias)",
                           array->name);
        }
    }
    return MT_OK;
}

/* Zeros for the bias that a projection or head of the model lacks and the layout asks for. */
static mt_status add_missing_bias(const mt_weights *weights, const mt_layout *layout,
                                  const mt_parameter *weight, mt_arrays *arrays)
{
    char ours[MT_NAME_MAX], theirs[MT_NAME_MAX];
    bool projects =
        strstr(weight->name, ".proj_") != NULL || strncmp(weight->name, "head.", 5) == 0;
    const char *last = strrchr(weight->name, '.');
    if (!layout->biases || !projects || strcmp(last, ".weight") != 0) {
        return MT_OK;
    }
    snprintf(ours, sizeof ours, "%.*s.bias", (int)(last - weight->name), weight->name);
    if (mt_parameters_find(weights->parameters, ours) != NULL ||
        mt_layout_name(layout, ours, theirs) != MT_PLACED) {
        return MT_OK;
    }
    mt_tensor bias = weight->tensor;
    bias.rank = 1;
    return mt_arrays_add_like(arrays, theirs, &bias);
}

/* One parameter, under the layout's name. */
static mt_status add_parameter(const mt_weights *weights, const mt_layout *layout,
                               const mt_parameter *parameter, mt_arrays *arrays)
{
    char theirs[MT_NAME_MAX];
    mt_layout_place place = mt_layout_name(layout, parameter->name, theirs);
    if (place == MT_LEFT_OUT) {
        return MT_OK;
    }
    if (place == MT_MUST_BE_ZERO) {
        mt_array array = mt_weights_array(weights, parameter);
        mt_status status = mt_array_visit(&array, refuse_nonzero, &array);
        return status == MT_OK ? MT_OK
                               : mt_fail(status, "layout %s: %s", layout->name, mt_error_message());
    }
    mt_status status = mt_weights_add(weights, parameter, theirs, arrays);
    return status == MT_OK ? add_missing_bias(weights, layout, parameter, arrays) : status;
}

/* A folder's configuration tells an eps that is not its layout's, too. */
static mt_status check_layout(const mt_weights *weights, const mt_layout *layout,
                              const mt_format *format)
{
    mt_model_config config = weights->config;
    if (format->container == MT_FOLDER && config.norm.kind == MT_LAYER_NORM) {
        config.norm.eps = layout->eps;
    }
    return mt_layout_check(layout, &config);
}

mt_status mt_weights_export(const mt_weights *weights, const char *path, const mt_layout *layout,
                            mt_stored_type stored)
{
    if (weights == NULL) {
        return mt_fail_null(__func__);
    }
    mt_arrays arrays = {0};
    layout = layout != NULL ? layout : weights->layout;
    if (layout == NULL) {
        return mt_fail(MT_ERROR_INVALID,
                       "a checkpoint has no layout of its own: export it first (mixtape export "
                       "--layout)");
    }
    const mt_format *format = mt_format_of_name(path, layout);
    mt_status status = mt_weights_check_whole(weights, "a layout");
    if (status == MT_OK) {
        status = check_layout(weights, layout, format);
    }
    for (int i = 0; i < weights->parameters->count && status == MT_OK; i++) {
        status = add_parameter(weights, layout, weights->parameters->items[i], &arrays);
    }
    if (status == MT_OK) {
        status = format->write(weights, layout, &arrays, stored, path);
    }
    mt_arrays_free(&arrays);
    return status;
}

mt_status mt_weights_convert(const mt_weights *weights, const char *path, const mt_layout *layout)
{
    return weights != NULL ? mt_weights_export(weights, path, layout, MT_STORED_AS_IS)
                           : mt_fail_null(__func__);
}

mt_status mt_weights_save(const char *path, const mt_model *model, const mt_layout *layout,
                          const mt_token_list *tokens)
{
    if (model == NULL || layout == NULL) {
        return mt_fail_null(__func__);
    }
    mt_weights weights;
    mt_weights_file file;
    mt_status status = mt_weights_of(model->parameters, &model->config, tokens, &file, &weights);
    if (status == MT_OK) {
        status = mt_weights_convert(&weights, path, layout);
        mt_weights_file_close(&file);
    }
    return status;
}
