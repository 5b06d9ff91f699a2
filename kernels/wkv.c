/* The WKV operator on plain arrays: what is checked before a device's kernels are called. */
#include <mixtape/wkv.h>

#include "kernels/device.h"
#include "kernels/null.h"

#include <inttypes.h>

int mt_bindings_version(void)
{
    return MT_BINDINGS_VERSION;
}

static mt_status check(mt_dtype dtype, int64_t B, int64_t T, int64_t C)
{
    if (!mt_dtype_is_real(dtype) && dtype != MT_F16) {
        return mt_fail(MT_ERROR_INVALID, "wkv: type %d has no kernels", (int)dtype);
    }
    if (B < 1 || T < 1 || C < 1 || T > INT64_MAX / 16 / B / C) {
        return mt_fail(MT_ERROR_INVALID,
                       "wkv: batch %" PRId64 ", sequence length %" PRId64 ", channels %" PRId64, B,
                       T, C);
    }
    return MT_OK;
}

size_t mt_wkv_saved_size(mt_device *device, mt_dtype dtype, int64_t B, int64_t T, int64_t C)
{
    if (device == NULL) {
        return 0;
    }
    return check(dtype, B, T, C) == MT_OK ? device->kernels[dtype]->wkv_saved_size(device, B, T, C)
                                          : 0;
}

size_t mt_wkv_workspace_size(mt_device *device, mt_dtype dtype, int64_t B, int64_t T, int64_t C)
{
    if (device == NULL) {
        return 0;
    }
    return check(dtype, B, T, C) == MT_OK
               ? device->kernels[dtype]->wkv_workspace_size(device, B, T, C)
               : 0;
}

static mt_status check_call(mt_device *device, mt_dtype dtype, int64_t B, int64_t T, int64_t C,
                            const void *workspace)
{
    mt_status status = check(dtype, B, T, C);
    if (status == MT_OK && workspace == NULL) {
        size_t bytes = device->kernels[dtype]->wkv_workspace_size(device, B, T, C);
        if (bytes > 0) {
            return mt_fail(MT_ERROR_INVALID, "wkv: no workspace: it takes %zu bytes", bytes);
        }
    }
    return status;
}

mt_status mt_wkv_forward(mt_device *device, void *stream, mt_dtype dtype,
                         const mt_wkv_forward_args *args)
{
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check_call(device, dtype, args->B, args->T, args->C, args->workspace);
    if (status == MT_OK) {
        device->use_stream(device, stream);
        status = device->kernels[dtype]->wkv_forward(device, args);
        device->use_own_stream(device);
    }
    return status;
}

mt_status mt_wkv_backward(mt_device *device, void *stream, mt_dtype dtype,
                          const mt_wkv_backward_args *args)
{
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check_call(device, dtype, args->B, args->T, args->C, args->workspace);
    if (status == MT_OK) {
        device->use_stream(device, stream);
        status = device->kernels[dtype]->wkv_backward(device, args);
        device->use_own_stream(device);
    }
    return status;
}

mt_status mt_wkv_check(int64_t B, int64_t T, int64_t C, int64_t context_size)
{
    enum { ESPNET_ALIGNMENT = 32 };
    if (B < 1 || T < 1 || C < 1) {
        return mt_fail(MT_ERROR_INVALID,
                       "wkv: batch %" PRId64 ", sequence length %" PRId64 ", channels %" PRId64
                       ": each must be positive",
                       B, T, C);
    }
    if (T > context_size) {
        return mt_fail(MT_ERROR_INVALID,
                       "wkv: sequence length %" PRId64 " exceeds context_size %" PRId64
                       " (shorten the rows, --length, or raise context_size, "
                       "--context-size)",
                       T, context_size);
    }
    int64_t alignment = C < ESPNET_ALIGNMENT ? C : ESPNET_ALIGNMENT;
    if (B % alignment * (C % alignment) % alignment != 0) {
        return mt_fail(MT_ERROR_INVALID,
                       "wkv: batch %" PRId64 " times channels %" PRId64
                       " is not a multiple of %" PRId64 " (change the batch or the attention size)",
                       B, C, alignment);
    }
    return MT_OK;
}
