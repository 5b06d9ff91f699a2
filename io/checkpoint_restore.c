/* From a checkpoint into a model, of checkpoint.h. */
#include <mixtape/checkpoint.h>

#include "io/arrays.h"
#include "io/checkpoint_internal.h"

#include <string.h>

/* The first parameter that is not in both, or not of the same shape in both. With `new_head` the
 * model may have a head that the file lacks. */
static mt_status check_parameters(const mt_parameters *described, const mt_parameters *parameters,
                                  bool new_head)
{
    for (int i = 0; i < parameters->count; i++) {
        const mt_parameter *to = parameters->items[i];
        const mt_parameter *from = mt_parameters_find(described, to->name);
        char found[96], expected[96];
        if (from == NULL && !(new_head && strncmp(to->name, "head.", 5) == 0)) {
            return mt_fail(MT_ERROR_INVALID, "%s is not in the file", to->name);
        }
        if (from != NULL && !mt_tensor_same_shape(&from->tensor, &to->tensor)) {
            return mt_fail(MT_ERROR_INVALID, "%s has shape %s in the file, the model has %s",
                           to->name, mt_tensor_shape_text(&from->tensor, found, sizeof found),
                           mt_tensor_shape_text(&to->tensor, expected, sizeof expected));
        }
    }
    for (int i = 0; i < described->count; i++) {
        const char *name = described->items[i]->name;
        if (mt_parameters_find(parameters, name) == NULL) {
            return mt_fail(MT_ERROR_INVALID, "the model has no %s, which is in the file", name);
        }
    }
    return MT_OK;
}

/* The parameters must be just those that were read; they then lie in the same places. */
static mt_status check_fits(const mt_checkpoint *checkpoint, const mt_parameters *parameters)
{
    if (parameters->dtype != checkpoint->dtype) {
        return mt_fail(MT_ERROR_INVALID, "checkpoint: it is of type %s, the model of %s",
                       mt_dtype_name(checkpoint->dtype), mt_dtype_name(parameters->dtype));
    }
    mt_status status = check_parameters(checkpoint->described, parameters, false);
    return status == MT_OK ? MT_OK : mt_fail(status, "checkpoint: %s", mt_error_message());
}

mt_status mt_checkpoint_restore_parameters(const mt_checkpoint *checkpoint,
                                           mt_parameters *parameters, mt_adam *adam)
{
    mt_device *device = parameters->device;
    size_t bytes = (size_t)parameters->total * mt_dtype_size(parameters->dtype);
    mt_status status = check_fits(checkpoint, parameters);
    if (status == MT_OK && adam != NULL && checkpoint->m == NULL) {
        status = mt_fail(MT_ERROR_INVALID, "checkpoint: it has no optimiser state to go on from");
    }
    if (status == MT_OK) {
        status = mt_device_write(device, parameters->data, checkpoint->data, bytes);
    }
    if (status == MT_OK && adam != NULL) {
        status = mt_device_write(device, adam->m, checkpoint->m, bytes);
    }
    if (status == MT_OK && adam != NULL) {
        status = mt_device_write(device, adam->v, checkpoint->v, bytes);
        adam->step = checkpoint->adam_step;
    }
    return status;
}

mt_status mt_checkpoint_restore(const mt_checkpoint *checkpoint, mt_model *model, mt_adam *adam)
{
    mt_norm_kind kind = checkpoint->config.norm.kind;
    return model->config.norm.kind == kind
               ? mt_checkpoint_restore_parameters(checkpoint, model->parameters, adam)
               : mt_fail(MT_ERROR_INVALID, "checkpoint: it has normalization %s, the model %s",
                         mt_norm_kind_name(kind), mt_norm_kind_name(model->config.norm.kind));
}

static mt_status write_values(const mt_checkpoint *checkpoint, const mt_parameter *from,
                              mt_parameter *to)
{
    const char *values =
        (const char *)checkpoint->data + from->offset * mt_dtype_size(checkpoint->dtype);
    return mt_tensor_write_reals(&to->tensor, checkpoint->dtype, values);
}

mt_status mt_checkpoint_begin_with(const mt_checkpoint *checkpoint, mt_model *model)
{
    mt_parameters *parameters = model->parameters;
    mt_status status = check_parameters(checkpoint->described, parameters, true);
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *from =
            mt_parameters_find(checkpoint->described, parameters->items[i]->name);
        status = from != NULL ? write_values(checkpoint, from, parameters->items[i]) : MT_OK;
    }
    return status;
}
