/* The transducer loss on plain arrays: what is checked before a device's kernels are called. */
#include <mixtape/transducer.h>

#include "kernels/device.h"
#include "kernels/null.h"
#include "kernels/transducer_formulas.h"

#include <inttypes.h>

mt_status mt_transducer_fail(mt_transducer_fault fault, int64_t value, int64_t row, int64_t place,
                             int64_t most)
{
    if (fault == MT_TRANSDUCER_FRAMES) {
        return mt_fail(MT_ERROR_INVALID,
                       "transducer_loss: frames[%" PRId64 "] is %" PRId64 ", not in 1 .. %" PRId64,
                       row, value, most);
    }
    if (fault == MT_TRANSDUCER_LABEL_LENGTH) {
        return mt_fail(MT_ERROR_INVALID,
                       "transducer_loss: label_lengths[%" PRId64 "] is %" PRId64
                       ", not in 0 .. %" PRId64,
                       row, value, most);
    }
    if (fault == MT_TRANSDUCER_LABEL) {
        return mt_fail(MT_ERROR_INVALID,
                       "transducer_loss: labels[%" PRId64 "][%" PRId64 "] is %" PRId64
                       ", not in 0 .. %" PRId64,
                       row, place, value, most);
    }
    return mt_fail(MT_ERROR_INVALID,
                   "transducer_loss: labels[%" PRId64 "][%" PRId64 "] is %" PRId64
                   ", which is the blank",
                   row, place, value);
}

static mt_status check_sizes(int64_t B, int64_t T, int64_t U, int64_t V, int32_t blank)
{
    if (B < 1 || T < 1 || U < 0 || V < 1 || U >= INT64_MAX / 32 / B / T / V) {
        return mt_fail(MT_ERROR_INVALID,
                       "transducer_loss: batch %" PRId64 ", frames %" PRId64 ", labels %" PRId64
                       ", vocabulary %" PRId64,
                       B, T, U, V);
    }
    if (blank < 0 || blank >= V) {
        return mt_fail(MT_ERROR_INVALID, "transducer_loss: blank %" PRId32 ", not in 0 .. %" PRId64,
                       blank, V - 1);
    }
    return MT_OK;
}

static mt_status check_labels(int64_t row, int32_t count, const int32_t *labels, int32_t blank,
                              int64_t V)
{
    for (int32_t u = 0; u < count; u++) {
        mt_transducer_fault fault = mt_transducer_label_fault(labels[u], blank, V);
        if (fault != MT_TRANSDUCER_FINE) {
            return mt_transducer_fail(fault, labels[u], row, u, V - 1);
        }
    }
    return MT_OK;
}

mt_status mt_transducer_check(int64_t B, int64_t T, int64_t U, int64_t V, int32_t blank,
                              const int32_t *labels, const int32_t *frames,
                              const int32_t *label_lengths)
{
    mt_status status = check_sizes(B, T, U, V, blank);
    for (int64_t b = 0; b < B && status == MT_OK; b++) {
        mt_transducer_fault fault = mt_transducer_length_fault(T, U, frames[b], label_lengths[b]);
        if (fault == MT_TRANSDUCER_FRAMES) {
            status = mt_transducer_fail(fault, frames[b], b, 0, T);
        } else if (fault == MT_TRANSDUCER_LABEL_LENGTH) {
            status = mt_transducer_fail(fault, label_lengths[b], b, 0, U);
        } else if (label_lengths[b] > 0) {
            status = check_labels(b, label_lengths[b], labels + b * U, blank, V);
        }
    }
    return status;
}

static mt_status check_call(mt_dtype dtype, int64_t B, int64_t T, int64_t U, int64_t V,
                            int32_t blank)
{
    if (dtype != MT_F32 && dtype != MT_F64) {
        return mt_fail(MT_ERROR_INVALID, "transducer_loss: type %d has no kernels", (int)dtype);
    }
    return check_sizes(B, T, U, V, blank);
}

mt_status mt_transducer_forward(mt_device *device, void *stream, mt_dtype dtype,
                                const mt_transducer_forward_args *args)
{
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check_call(dtype, args->B, args->T, args->U, args->V, args->blank);
    if (status == MT_OK) {
        device->use_stream(device, stream);
        status = device->kernels[dtype]->transducer_forward(device, args);
        device->use_own_stream(device);
    }
    return status;
}

mt_status mt_transducer_backward(mt_device *device, void *stream, mt_dtype dtype,
                                 const mt_transducer_backward_args *args)
{
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check_call(dtype, args->B, args->T, args->U, args->V, args->blank);
    if (status == MT_OK && !(args->fastemit_lambda >= 0.0 && isfinite(args->fastemit_lambda))) {
        status = mt_fail(MT_ERROR_INVALID,
                         "transducer_loss: fastemit_lambda %g, expected a number from 0 on",
                         args->fastemit_lambda);
    }
    if (status == MT_OK) {
        device->use_stream(device, stream);
        status = device->kernels[dtype]->transducer_backward(device, args);
        device->use_own_stream(device);
    }
    return status;
}
