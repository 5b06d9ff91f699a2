/* The gradients of parameters: forgotten, made readable, or given up. */
#include "kernels/device.h"
#include "kernels/null.h"
#include "layers/layer.h"

void mt_parameters_zero_grad(mt_parameters *parameters)
{
    if (parameters == NULL) {
        return;
    }
    for (int i = 0; i < parameters->count; i++) {
        mt_tensor *tensor = &parameters->items[i]->tensor;
        tensor->has_grad = false;
        if (tensor->zero_rows !=
            NULL) { /* a CUDA device that fails here fails in all that follows */
            tensor->device->zero(tensor->device, tensor->zero_rows, (size_t)tensor->shape[0]);
        }
    }
}

void mt_parameters_renew_grad(mt_parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) {
        parameters->items[i]->tensor.has_grad = false;
    }
}

mt_status mt_parameters_settle_grad(mt_parameters *parameters)
{
    if (parameters == NULL || parameters->data == NULL) {
        return mt_fail_null(__func__);
    }
    for (int i = 0; i < parameters->count && !parameters->frozen; i++) {
        mt_tensor *tensor = &parameters->items[i]->tensor;
        if (!tensor->has_grad) {
            mt_status status =
                tensor->device->zero(tensor->device, tensor->grad, mt_tensor_bytes(tensor));
            if (status != MT_OK) {
                return status;
            }
            tensor->has_grad = true;
        }
    }
    return MT_OK;
}

void mt_parameters_freeze(mt_parameters *parameters)
{
    if (parameters == NULL) {
        return;
    }
    parameters->frozen = true;
    for (int i = 0; i < parameters->count; i++) {
        mt_tensor *tensor = &parameters->items[i]->tensor;
        tensor->requires_grad = tensor->has_grad = false;
        tensor->grad = NULL;
    }
    if (parameters->device != NULL) {
        parameters->device->release(parameters->device, parameters->grad);
    }
    parameters->grad = NULL;
}
