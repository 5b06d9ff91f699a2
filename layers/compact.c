/* Parameters in fewer bits, for a model that is only used: matrices that products take, each
 * rounded on the host, a few rows at a time, so that every device has the same. */
#include "kernels/bfloat16.h"
#include "kernels/device.h"
#include "kernels/null.h"
#include "layers/layer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 /* bytes */, PIECE = 1 << 16 /* values */, LARGEST = 127 };

static bool is_compacted(const mt_parameter *parameter)
{
    return parameter->tensor.rank == 2 && !parameter->is_table;
}

/* ---- rounding ---- */

/* The nearest integer, of two the even one, of a number below 2^51: the sum has no room for a
 * fraction. Compilers make vectors of this, and not of nearbyint. */
static double nearest_integer(double x)
{
    return (x + 0x1.8p52) - 0x1.8p52;
}

static double largest_of(const double *values, int64_t count)
{
    double largest = 0.0;
    for (int64_t i = 0; i < count; i++) {
        double magnitude = fabs(values[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

/* integers[i] = values[i] / scale, rounded, and |integers[i]| at most 127. A row whose scale would
 * be 0 in float32 is one of zeros. */
static void round_to_i8(const double *values, int64_t count, int8_t *integers, float *scale)
{
    *scale = (float)(largest_of(values, count) / LARGEST);
    for (int64_t i = 0; i < count; i++) {
        double ratio = *scale > 0.0f ? values[i] / (double)*scale : 0.0;
        double bounded = ratio > LARGEST ? LARGEST : ratio < -LARGEST ? -LARGEST : ratio;
        integers[i] = (int8_t)nearest_integer(bounded);
    }
}

/* Of a number that is none of float32 the neighbour whose last bit is set, so that it is rounded
 * once: no bfloat16, nor the middle of two, has that bit. */
static mt_bf16 bf16_of(double value)
{
    union {
        float single;
        uint32_t bits;
    } near = {.single = (float)value};
    if ((double)near.single != value && !isnan(value)) {
        if (fabs((double)near.single) > fabs(value)) {
            near.single = nextafterf(near.single, 0.0f);
        }
        near.bits |= 1;
    }
    return mt_bf16_rounded(near.single);
}

static void round_to_bf16(const double *values, int64_t count, mt_bf16 *halves)
{
    for (int64_t i = 0; i < count; i++) {
        halves[i] = bf16_of(values[i]);
    }
}

/* What a number is in the type, or of integers the scale of a row whose largest it is. */
static float part_of(mt_dtype type, double value)
{
    return type == MT_BF16 ? mt_bf16_value(bf16_of(value)) : (float)(value / LARGEST);
}

/* The first value that is not finite in the type; -1: none. */
static int64_t first_beyond(mt_dtype type, const double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(part_of(type, values[i]))) {
            return i;
        }
    }
    return -1;
}

/* ---- rows on their way ---- */

typedef struct compacting {
    mt_parameters *parameters;
    mt_dtype type;
    char *block;
    double *values; /* of some rows, */
    void *rounded;  /* and these in the type */
    float *scales;
} compacting;

/* Where a parameter's values and scales lie in the block, of which the first `at` bytes are taken;
 * returns what is taken then. */
static size_t place(const compacting *of, const mt_parameter *parameter, size_t at, size_t *values,
                    size_t *scales)
{
    bool compact = is_compacted(parameter);
    const mt_tensor *tensor = &parameter->tensor;
    size_t size = mt_dtype_size(compact ? of->type : tensor->dtype);
    size_t of_scales = compact && of->type == MT_I8 ? (size_t)tensor->shape[0] * sizeof(float) : 0;
    *values = at;
    at += ((size_t)mt_tensor_count(tensor) * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *scales = at;
    return at + (of_scales + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static int64_t rows_at_once(const mt_tensor *tensor)
{
    int64_t rows = PIECE / tensor->shape[1];
    return rows < 1 ? 1 : rows < tensor->shape[0] ? rows : tensor->shape[0];
}

static mt_status write_rows(const compacting *of, const mt_parameter *parameter, int64_t first,
                            int64_t rows, size_t values, size_t scales)
{
    const mt_tensor *tensor = &parameter->tensor;
    mt_device *device = tensor->device;
    int64_t width = tensor->shape[1], count = rows * width, before = first * width;
    size_t size = mt_dtype_size(tensor->dtype), compact = mt_dtype_size(of->type);
    mt_status status =
        device->read_back(device, of->values, (const char *)tensor->data + (size_t)before * size,
                          (size_t)count * size);
    if (status != MT_OK) {
        return status;
    }
    mt_reals_widen(tensor->dtype, count, of->values);
    int64_t beyond = first_beyond(of->type, of->values, count);
    if (beyond >= 0) {
        return mt_fail(MT_ERROR_NUMERIC, "%s: the value at %" PRId64 " is %g, which is none of %s",
                       parameter->name, before + beyond, of->values[beyond],
                       mt_dtype_name(of->type));
    }
    if (of->type == MT_BF16) {
        round_to_bf16(of->values, count, of->rounded);
    }
    for (int64_t row = 0; row < rows && of->type == MT_I8; row++) {
        round_to_i8(of->values + row * width, width, (int8_t *)of->rounded + row * width,
                    of->scales + row);
    }
    status = device->write(device, of->block + values + (size_t)before * compact, of->rounded,
                           (size_t)count * compact);
    return status == MT_OK && of->type == MT_I8
               ? device->write(device, of->block + scales + (size_t)first * sizeof(float),
                               of->scales, (size_t)rows * sizeof(float))
               : status;
}

static mt_status write_matrix(compacting *of, const mt_parameter *parameter, size_t values,
                              size_t scales)
{
    const mt_tensor *tensor = &parameter->tensor;
    int64_t most = rows_at_once(tensor), count = most * tensor->shape[1];
    of->values = malloc((size_t)count * sizeof *of->values);
    of->rounded = malloc((size_t)count * mt_dtype_size(of->type));
    of->scales = malloc((size_t)most * sizeof *of->scales);
    mt_status status = MT_OK;
    if (of->values == NULL || of->rounded == NULL || of->scales == NULL) {
        status = mt_fail(MT_ERROR_MEMORY, "parameters: no memory for %" PRId64 " values", count);
    }
    for (int64_t row = 0; row < tensor->shape[0] && status == MT_OK; row += most) {
        int64_t rest = tensor->shape[0] - row;
        status = write_rows(of, parameter, row, rest < most ? rest : most, values, scales);
    }
    free(of->values);
    free(of->rounded);
    free(of->scales);
    return status;
}

static mt_status write_all(compacting *of)
{
    mt_device *device = of->parameters->device;
    size_t at = 0, values, scales;
    mt_status status = MT_OK;
    for (int i = 0; i < of->parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = of->parameters->items[i];
        at = place(of, parameter, at, &values, &scales);
        status = is_compacted(parameter)
                     ? write_matrix(of, parameter, values, scales)
                     : device->copy(device, of->block + values, parameter->tensor.data,
                                    mt_tensor_bytes(&parameter->tensor));
    }
    return status;
}

/* ---- the parameters ---- */

static void turn_to(const compacting *of)
{
    size_t at = 0, values, scales;
    for (int i = 0; i < of->parameters->count; i++) {
        mt_parameter *parameter = of->parameters->items[i];
        mt_tensor *tensor = &parameter->tensor;
        at = place(of, parameter, at, &values, &scales);
        if (is_compacted(parameter)) {
            tensor->dtype = of->type;
            tensor->scales =
                of->type == MT_I8 ? (const float *)(const void *)(of->block + scales) : NULL;
        }
        tensor->data = of->block + values;
        tensor->grad = NULL;
        tensor->has_grad = tensor->requires_grad = false;
        tensor->narrow = NULL;
    }
    mt_parameters_release_blocks(of->parameters);
    of->parameters->compact = of->block;
}

mt_status mt_parameters_compact(mt_parameters *parameters, mt_dtype type)
{
    if (parameters == NULL || (parameters->data == NULL && parameters->compact == NULL)) {
        return mt_fail_null(__func__);
    }
    if (parameters->compact != NULL) {
        return mt_fail(MT_ERROR_INVALID, "parameters: they are kept compact already");
    }
    if (type != MT_BF16 && type != MT_I8) {
        return mt_fail(MT_ERROR_INVALID, "parameters: none are kept as type %d, but as bf16 or i8",
                       (int)type);
    }
    mt_device *device = parameters->device;
    compacting of = {.parameters = parameters, .type = type};
    size_t bytes = 0, values, scales;
    for (int i = 0; i < parameters->count; i++) {
        bytes = place(&of, parameters->items[i], bytes, &values, &scales);
    }
    void *block;
    mt_status status = device->allocate(device, bytes, &block);
    if (status != MT_OK) {
        return status;
    }
    of.block = block;
    status = write_all(&of);
    if (status != MT_OK) {
        device->release(device, block);
        return status;
    }
    turn_to(&of);
    return MT_OK;
}
