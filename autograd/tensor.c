#include <mixtape/tensor.h>

#include "kernels/device.h"
#include "kernels/null.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int64_t mt_tensor_count(const mt_tensor *tensor)
{
    if (tensor == NULL) {
        return 0;
    }
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        count *= tensor->shape[i];
    }
    return count;
}

size_t mt_tensor_bytes(const mt_tensor *tensor)
{
    if (tensor == NULL) {
        return 0;
    }
    return (size_t)mt_tensor_count(tensor) * mt_dtype_size(tensor->dtype);
}

bool mt_tensor_same_shape(const mt_tensor *a, const mt_tensor *b)
{
    if (a == NULL || b == NULL) {
        return false;
    }
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

const void *mt_tensor_grad(const mt_tensor *tensor)
{
    if (tensor == NULL) {
        return NULL;
    }
    const mt_tensor *owner = tensor->base != NULL ? tensor->base : tensor;
    return owner->has_grad ? owner->grad : NULL;
}

char *mt_tensor_shape_text(const mt_tensor *tensor, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < tensor->rank && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%" PRId64, i > 0 ? ", " : "",
                                 tensor->shape[i]);
    }
    if (used < size) {
        snprintf(text + used, size - used, ")");
    }
    return text;
}

mt_status mt_tensor_read(const mt_tensor *tensor, void *host)
{
    if (tensor == NULL || tensor->data == NULL) {
        return mt_fail_null(__func__);
    }
    return tensor->device->read_back(tensor->device, host, tensor->data, mt_tensor_bytes(tensor));
}

mt_status mt_tensor_read_doubles(const mt_tensor *tensor, double *values)
{
    if (tensor == NULL || tensor->data == NULL) {
        return mt_fail_null(__func__);
    }
    if (!mt_dtype_is_real(tensor->dtype)) {
        return mt_fail(MT_ERROR_INVALID, "tensor: no reals are read of %s",
                       mt_dtype_name(tensor->dtype));
    }
    mt_status status = mt_tensor_read(tensor, values);
    if (status == MT_OK) {
        mt_reals_widen(tensor->dtype, mt_tensor_count(tensor), values);
    }
    return status;
}

mt_status mt_tensor_read_grad(const mt_tensor *tensor, void *host)
{
    if (tensor == NULL) {
        return mt_fail_null(__func__);
    }
    const void *grad = mt_tensor_grad(tensor);
    if (grad == NULL) {
        memset(host, 0, mt_tensor_bytes(tensor));
        return MT_OK;
    }
    return tensor->device->read_back(tensor->device, host, grad, mt_tensor_bytes(tensor));
}

mt_status mt_tensor_write(mt_tensor *tensor, const void *host)
{
    if (tensor == NULL || tensor->data == NULL) {
        return mt_fail_null(__func__);
    }
    if (tensor->dtype == MT_I8) {
        return mt_fail(MT_ERROR_INVALID, "%s: its integers stand for other values",
                       tensor->name != NULL ? tensor->name : "tensor");
    }
    mt_device *device = tensor->device;
    mt_status status = device->write(device, tensor->data, host, mt_tensor_bytes(tensor));
    if (status == MT_OK && tensor->narrow != NULL) {
        status = device->kernels[MT_BF16]->narrow(device, mt_tensor_count(tensor), tensor->data,
                                                  (void *)(uintptr_t)tensor->narrow);
    }
    return status;
}
