#include <mixtape/parameter.h>

#include "kernels/device.h"
#include "kernels/null.h"
#include "layers/layer.h"

#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parameters begin at multiples of this many elements: 64 bytes for either real type, and more. */
enum { ALIGNMENT = 16 };

mt_status mt_parameters_create(mt_device *device, mt_dtype dtype, mt_parameters **parameters)
{
    *parameters = NULL;
    if (dtype != MT_F32 && dtype != MT_F64) {
        return mt_fail(MT_ERROR_INVALID, "parameters: of type %d, neither f32 nor f64", (int)dtype);
    }
    *parameters = calloc(1, sizeof **parameters);
    if (*parameters == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "parameters: no memory for %zu bytes", sizeof **parameters);
    }
    (*parameters)->device = device;
    (*parameters)->dtype = dtype;
    return MT_OK;
}

static void keep(void *parameter)
{
    (void)parameter;
}

void mt_parameters_release_blocks(mt_parameters *parameters)
{
    mt_device *device = parameters->device;
    for (int i = 0; i < parameters->count; i++) {
        mt_tensor *tensor = &parameters->items[i]->tensor;
        device->release(device, tensor->zero_rows);
        tensor->zero_rows = NULL;
    }
    device->release(device, parameters->data);
    device->release(device, parameters->grad);
    device->release(device, parameters->narrow);
    parameters->data = parameters->grad = NULL;
    parameters->narrow = NULL;
}

void mt_parameters_destroy(mt_parameters *parameters)
{
    if (parameters == NULL) {
        return;
    }
    tdestroy(parameters->names, keep);
    if (parameters->device != NULL) {
        mt_parameters_release_blocks(parameters);
        parameters->device->release(parameters->device, parameters->compact);
    }
    for (int i = 0; i < parameters->count; i++) {
        free(parameters->items[i]);
    }
    free(parameters->items);
    free(parameters);
}

/* Compares names, with which parameters begin. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static mt_parameter *find(const mt_parameters *parameters, const char *name)
{
    mt_parameter *const *found = tfind(name, &parameters->names, compare_names);
    return found != NULL ? *found : NULL;
}

mt_parameter *mt_parameters_find(const mt_parameters *parameters, const char *name)
{
    return parameters != NULL ? find(parameters, name) : NULL;
}

/* Room for one more item. */
static mt_status grow(mt_parameters *parameters)
{
    if (parameters->count < parameters->capacity) {
        return MT_OK;
    }
    int capacity = parameters->capacity > 0 ? 2 * parameters->capacity : 64;
    void *items = realloc(parameters->items, (size_t)capacity * sizeof(mt_parameter *));
    if (items == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "parameters: no memory for %d of them", capacity);
    }
    parameters->items = items;
    parameters->capacity = capacity;
    return MT_OK;
}

static mt_status fill_in(mt_parameters *parameters, mt_parameter *parameter, const char *prefix,
                         const char *name, int rank, const int64_t *shape)
{
    int length = snprintf(parameter->name, sizeof parameter->name, "%s%s", prefix, name);
    if (length < 0 || (size_t)length >= sizeof parameter->name) {
        return mt_fail(MT_ERROR_INVALID, "parameters: the name %s%s exceeds %d bytes", prefix, name,
                       MT_NAME_MAX - 1);
    }
    if (strchr(parameter->name, '/') != NULL || parameter->name[0] == '\0' ||
        strcmp(parameter->name, ".") == 0) {
        return mt_fail(MT_ERROR_INVALID, "parameters: '%s' is no name: files could not hold it",
                       parameter->name);
    }
    if (find(parameters, parameter->name) != NULL) {
        return mt_fail(MT_ERROR_INVALID, "parameters: %s is there already", parameter->name);
    }
    mt_tensor *tensor = &parameter->tensor;
    *tensor = (mt_tensor){.name = parameter->name,
                          .device = parameters->device,
                          .dtype = parameters->dtype,
                          .rank = rank,
                          .requires_grad = true};
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 1 || count > INT64_MAX / 16 / shape[i]) {
            return mt_fail(MT_ERROR_INVALID, "parameters: %s cannot have a dimension of %" PRId64,
                           parameter->name, shape[i]);
        }
        count *= shape[i];
        tensor->shape[i] = shape[i];
    }
    return MT_OK;
}

mt_status mt_parameters_status(const mt_parameters *parameters)
{
    return parameters != NULL ? parameters->status : mt_fail_null("mt_parameters_add");
}

static mt_tensor *keep_failure(mt_parameters *parameters, mt_status status)
{
    if (parameters->status == MT_OK) {
        parameters->status = status;
        snprintf(parameters->error, sizeof parameters->error, "%s", mt_error_message());
    }
    return NULL;
}

static int64_t padded(int64_t count)
{
    return (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Places those that decay, or the others, from element `at` on; returns the element behind them. */
static int64_t place_all(mt_parameters *parameters, bool decay, int64_t at)
{
    for (int i = 0; i < parameters->count; i++) {
        mt_parameter *parameter = parameters->items[i];
        if (parameter->decay == decay) {
            int64_t count = mt_tensor_count(&parameter->tensor);
            parameter->offset = (size_t)at;
            at += padded(count);
        }
    }
    return at;
}

static void lay_out(mt_parameters *parameters)
{
    parameters->decayed = place_all(parameters, true, 0);
    parameters->total = place_all(parameters, false, parameters->decayed);
}

mt_tensor *mt_parameters_add(mt_parameters *parameters, const char *prefix, const char *name,
                             int rank, const int64_t *shape, mt_initial initial)
{
    if (parameters == NULL) {
        return NULL;
    }
    mt_parameter *parameter = calloc(1, sizeof *parameter);
    if (parameter == NULL) {
        return keep_failure(
            parameters,
            mt_fail(MT_ERROR_MEMORY, "parameters: no memory for %zu bytes", sizeof *parameter));
    }
    mt_status status = fill_in(parameters, parameter, prefix, name, rank, shape);
    if (status == MT_OK) {
        status = grow(parameters);
    }
    if (status == MT_OK && tsearch(parameter, &parameters->names, compare_names) == NULL) {
        status = mt_fail(MT_ERROR_MEMORY, "parameters: no memory for %d names", parameters->count);
    }
    if (status != MT_OK) {
        free(parameter);
        return keep_failure(parameters, status);
    }
    parameter->initial = initial;
    parameter->padding_row = -1;
    parameter->decay = rank == 2;
    parameter->rate = 1.0;
    parameters->items[parameters->count++] = parameter;
    return &parameter->tensor;
}

void mt_parameters_set_table(mt_parameters *parameters)
{
    if (parameters != NULL && parameters->count > 0) {
        mt_parameter *parameter = parameters->items[parameters->count - 1];
        parameter->is_table = parameter->tensor.rank == 2;
    }
}

void mt_parameters_set_padding_row(mt_parameters *parameters, int64_t row)
{
    if (parameters == NULL) {
        return;
    }
    if (parameters->count > 0) {
        parameters->items[parameters->count - 1]->padding_row = row;
    }
}

/* Draws the values of one parameter on the host, so that they are the same for every device, and
 * puts them in place. The stream of random numbers is the parameter's own: it does not depend on
 * what else the model has. */
static mt_status initialise(const mt_parameters *parameters, int i, uint64_t seed, double *values)
{
    mt_parameter *parameter = parameters->items[i];
    mt_tensor *tensor = &parameter->tensor;
    int64_t n = mt_tensor_count(tensor);
    mt_random random = mt_random_make(seed, (uint64_t)i);
    parameter->initial.fill(&parameter->initial, &random, n, values);
    if (parameter->padding_row >= 0) {
        memset(values + parameter->padding_row * tensor->shape[1], 0,
               (size_t)tensor->shape[1] * sizeof *values);
    }
    if (parameters->dtype == MT_F32) {
        float *narrow = (float *)(void *)values;
        for (int64_t k = 0; k < n; k++) {
            float value = (float)values[k];
            memcpy(narrow + k, &value, sizeof value);
        }
    }
    return mt_tensor_write(tensor, values);
}

/* Those from the first up to the end. */
static mt_status initialise_some(const mt_parameters *parameters, int first, int end, uint64_t seed)
{
    int64_t largest = 0;
    for (int i = first; i < end; i++) {
        int64_t n = mt_tensor_count(&parameters->items[i]->tensor);
        largest = n > largest ? n : largest;
    }
    double *values = malloc((size_t)largest * sizeof *values);
    if (values == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "parameters: no host memory for %" PRId64 " values",
                       largest);
    }
    mt_status status = MT_OK;
    for (int i = first; i < end && status == MT_OK; i++) {
        status = initialise(parameters, i, seed, values);
    }
    free(values);
    return status;
}

mt_status mt_parameters_draw(mt_parameters *parameters, int i, uint64_t seed)
{
    return initialise_some(parameters, i, i + 1, seed);
}

/* Values and gradients are written whole before they are read, but for the gaps between them, which
 * whatever goes through a block as one array reads too. The rest is not touched, so that a model
 * that is never trained takes no memory for gradients where the system gives memory when it is
 * touched. */
mt_status mt_parameters_clear_gaps(const mt_parameters *parameters, int64_t first, int64_t count,
                                   void *part)
{
    mt_device *device = parameters->device;
    size_t size = mt_dtype_size(parameters->dtype);
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = parameters->items[i];
        int64_t n = mt_tensor_count(&parameter->tensor), at = (int64_t)parameter->offset;
        int64_t begin = at + n > first ? at + n : first;
        int64_t end = at + padded(n) < first + count ? at + padded(n) : first + count;
        if (begin < end) {
            status = device->zero(device, (char *)part + (size_t)(begin - first) * size,
                                  (size_t)(end - begin) * size);
        }
    }
    return status;
}

static mt_status clear_gaps(const mt_parameters *parameters, void *block)
{
    return mt_parameters_clear_gaps(parameters, 0, parameters->total, block);
}

static mt_status reserve_zero_rows(mt_parameters *parameters)
{
    mt_device *device = parameters->device;
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK && !parameters->frozen; i++) {
        mt_parameter *parameter = parameters->items[i];
        if (parameter->is_table) {
            size_t rows = (size_t)parameter->tensor.shape[0];
            void *memory = NULL;
            status = device->allocate(device, rows, &memory);
            parameter->tensor.zero_rows = memory;
            status = status == MT_OK ? device->zero(device, memory, rows) : status;
        }
    }
    return status;
}

void mt_parameters_set_narrow(mt_parameters *parameters)
{
    if (parameters != NULL) {
        parameters->keeps_narrow = true;
    }
}

mt_status mt_parameters_renew_narrow(const mt_parameters *parameters)
{
    if (parameters == NULL || parameters->data == NULL) {
        return mt_fail_null(__func__);
    }
    mt_device *device = parameters->device;
    return parameters->narrow != NULL
               ? device->kernels[MT_BF16]->narrow(device, parameters->total, parameters->data,
                                                  parameters->narrow)
               : MT_OK;
}

/* The copies of values that are yet to be written. */
static mt_status reserve_narrow(mt_parameters *parameters)
{
    mt_device *device = parameters->device;
    void *narrow;
    if (!parameters->keeps_narrow) {
        return MT_OK;
    }
    if (parameters->dtype != MT_F32) {
        return mt_fail(MT_ERROR_INVALID, "parameters: of %s no copy as bf16 is kept, of f32 alone",
                       mt_dtype_name(parameters->dtype));
    }
    mt_status status =
        device->allocate(device, (size_t)parameters->total * mt_dtype_size(MT_BF16), &narrow);
    if (status != MT_OK) {
        return status;
    }
    parameters->narrow = narrow;
    for (int i = 0; i < parameters->count; i++) {
        mt_parameter *parameter = parameters->items[i];
        parameter->tensor.narrow = parameters->narrow + parameter->offset;
    }
    return MT_OK;
}

mt_status mt_parameters_reserve(mt_parameters *parameters)
{
    if (parameters->status != MT_OK) {
        return mt_fail(parameters->status, "%s", parameters->error);
    }
    if (parameters->data != NULL || parameters->compact != NULL) {
        return mt_fail(MT_ERROR_INVALID, "parameters: they have memory already");
    }
    lay_out(parameters);
    mt_device *device = parameters->device;
    size_t size = mt_dtype_size(parameters->dtype), bytes = (size_t)parameters->total * size;
    mt_status status = device->allocate(device, bytes, &parameters->data);
    if (status == MT_OK && !parameters->frozen) {
        status = device->allocate(device, bytes, &parameters->grad);
    }
    if (status == MT_OK) {
        status = mt_poison(device, parameters->data, bytes);
    }
    if (status != MT_OK) {
        return status;
    }
    for (int i = 0; i < parameters->count; i++) {
        mt_parameter *parameter = parameters->items[i];
        parameter->tensor.data = (char *)parameters->data + parameter->offset * size;
        if (!parameters->frozen) {
            parameter->tensor.grad = (char *)parameters->grad + parameter->offset * size;
        }
    }
    status = clear_gaps(parameters, parameters->data);
    if (status == MT_OK && !parameters->frozen) {
        status = clear_gaps(parameters, parameters->grad);
    }
    if (status == MT_OK) {
        status = reserve_narrow(parameters);
    }
    return status == MT_OK ? reserve_zero_rows(parameters) : status;
}

mt_status mt_parameters_allocate(mt_parameters *parameters, uint64_t seed)
{
    if (parameters == NULL || parameters->device == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_parameters_reserve(parameters);
    return status == MT_OK ? initialise_some(parameters, 0, parameters->count, seed) : status;
}

int64_t mt_parameters_size(const mt_parameters *parameters)
{
    if (parameters == NULL) {
        return 0;
    }
    int64_t size = 0;
    for (int i = 0; i < parameters->count; i++) {
        size += mt_tensor_count(&parameters->items[i]->tensor);
    }
    return size;
}
