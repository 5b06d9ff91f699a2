#include <mixtape/exchange.h>

#include "io/arrays.h"
#include "io/exchange_internal.h"
#include "io/file.h"
#include "io/model_attributes.h"
#include "io/model_block.h"
#include "io/model_file.h"
#include "io/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool all_zeros(const mt_array *array, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (array->dtype == MT_F64 ? ((const double *)array->data)[i] != 0.0
                                   : ((const float *)array->data)[i] != 0.0f) {
            return false;
        }
    }
    return true;
}

/* Zeros for the bias that a projection or head of the model lacks and the layout asks for. */
static mt_status add_missing_bias(const mt_model *model, const mt_layout *layout,
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
    if (mt_parameters_find(model->parameters, ours) != NULL ||
        mt_layout_name(layout, ours, theirs) != MT_PLACED) {
        return MT_OK;
    }
    void *data;
    const mt_tensor *tensor = &weight->tensor;
    mt_status status = mt_arrays_add(arrays, theirs, tensor->dtype, 1, tensor->shape, &data);
    if (status == MT_OK) {
        memset(data, 0, (size_t)tensor->shape[0] * mt_dtype_size(tensor->dtype));
    }
    return status;
}

/* The model's parameters on the host, by the layout's names. */
static mt_status gather(const mt_model *model, const mt_layout *layout, mt_arrays *arrays)
{
    mt_status status = MT_OK;
    *arrays = (mt_arrays){0};
    for (int i = 0; i < model->parameters->count && status == MT_OK; i++) {
        const mt_tensor *tensor = &model->parameters->items[i]->tensor;
        const char *ours = model->parameters->items[i]->name;
        char theirs[MT_NAME_MAX];
        mt_layout_place place = mt_layout_name(layout, ours, theirs);
        void *data;
        if (place == MT_LEFT_OUT) {
            continue;
        }
        status = mt_arrays_add(arrays, place == MT_PLACED ? theirs : ours, tensor->dtype,
                               tensor->rank, tensor->shape, &data);
        if (status == MT_OK) {
            status = mt_tensor_read(tensor, data);
        }
        if (status == MT_OK && place == MT_MUST_BE_ZERO) {
            if (!all_zeros(&arrays->items[arrays->count - 1], mt_tensor_count(tensor))) {
                status = mt_fail(MT_ERROR_INVALID,
                                 "layout %s: it has no place for %s, which is not zero "
                                 "(train with --no-bias)",
                                 layout->name, ours);
            }
            mt_arrays_remove(arrays, arrays->count - 1);
        }
        if (status == MT_OK) {
            status = add_missing_bias(model, layout, model->parameters->items[i], arrays);
        }
    }
    return status;
}

static mt_status write_exchange(const char *path, const mt_model *model, const mt_layout *layout,
                                const mt_token_list *tokens, const mt_arrays *arrays)
{
    mt_archive *archive;
    mt_model_config kept = mt_layout_kept(layout, &model->config);
    mt_status status = mt_model_file_create(path, MT_EXCHANGE_FILE, tokens, &archive);
    if (status != MT_OK) {
        return status;
    }
    status = mt_archive_write_text(archive, "/", "layout", layout->name);
    if (status == MT_OK) {
        status = mt_model_attributes_write(archive, "/", &kept, model->parameters->dtype);
    }
    for (int64_t i = 0; i < arrays->count && status == MT_OK; i++) {
        const mt_array *array = &arrays->items[i];
        status = mt_archive_write_array(archive, "/", array->name, array->dtype, array->rank,
                                        array->shape, array->data);
    }
    return mt_model_file_finish(archive, status);
}

mt_status mt_exchange_save(const char *path, const mt_model *model, const mt_layout *layout,
                           const mt_token_list *tokens)
{
    mt_arrays arrays = {0};
    mt_status status = mt_layout_check(layout, &model->config);
    if (status == MT_OK) {
        status = gather(model, layout, &arrays);
    }
    if (status == MT_OK) {
        status = mt_is_safetensors(path) ? mt_safetensors_write(path, &arrays)
                                         : write_exchange(path, model, layout, tokens, &arrays);
    }
    mt_arrays_free(&arrays);
    return status;
}

mt_status mt_exchange_load(mt_archive *archive, mt_checkpoint *checkpoint)
{
    char *layout;
    mt_status status = mt_archive_read_text(archive, "/", "layout", &layout);
    if (status != MT_OK) {
        return status;
    }
    if (mt_layout_parse(layout, &checkpoint->layout) != MT_OK) {
        status = mt_archive_fail(archive, "/", "%s", mt_error_message());
    }
    free(layout);
    if (status == MT_OK) {
        status = mt_model_attributes_read(archive, "/", &checkpoint->config, &checkpoint->dtype);
    }
    if (status == MT_OK) {
        checkpoint->config = mt_layout_kept(checkpoint->layout, &checkpoint->config);
        status = mt_model_describe(&checkpoint->config, checkpoint->dtype, &checkpoint->described);
    }
    return status == MT_OK ? mt_model_block_read(archive, "/", checkpoint->described,
                                                 checkpoint->layout, &checkpoint->data)
                           : status;
}
