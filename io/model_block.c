#include "io/model_block.h"
#include "io/arrays.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A block of the device's memory, in host memory that the caller frees. */
static mt_status read_block(const mt_parameters *parameters, const void *block, void **host)
{
    size_t bytes = (size_t)parameters->total * mt_dtype_size(parameters->dtype);
    *host = malloc(bytes);
    if (*host == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "checkpoint: no host memory for %zu bytes", bytes);
    }
    return mt_device_read(parameters->device, *host, block, bytes);
}

mt_status mt_model_block_write(mt_archive *archive, const char *group,
                               const mt_parameters *parameters, const void *block)
{
    void *host;
    mt_status status = read_block(parameters, block, &host);
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = parameters->items[i];
        const mt_tensor *tensor = &parameter->tensor;
        status = mt_archive_write_array(
            archive, group, parameter->name, tensor->dtype, tensor->rank, tensor->shape,
            (const char *)host + parameter->offset * mt_dtype_size(tensor->dtype));
    }
    free(host);
    return status;
}

static mt_status check_finite(mt_archive *archive, const mt_tensor *tensor, const char *name,
                              const void *values)
{
    double value;
    int64_t i = mt_first_not_finite(tensor->dtype, values, mt_tensor_count(tensor), &value);
    return i < 0 ? MT_OK
                 : mt_archive_fail(archive, name, "element %lld is %g%s", (long long)i, value,
                                   isnan(value) ? ", or missing" : "");
}

/* The names that a group must hold, and no others. */
typedef struct expected_names {
    const mt_parameters *parameters;
    const mt_layout *layout;
} expected_names;

static bool expects(const expected_names *expected, const char *name)
{
    for (int i = 0; i < expected->parameters->count; i++) {
        const char *ours = expected->parameters->items[i]->name;
        char theirs[MT_NAME_MAX];
        bool placed =
            expected->layout == NULL || mt_layout_name(expected->layout, ours, theirs) == MT_PLACED;
        if (placed && strcmp(expected->layout == NULL ? ours : theirs, name) == 0) {
            return true;
        }
    }
    return false;
}

static mt_status refuse_unknown(mt_archive *archive, const char *name, void *context)
{
    return expects(context, name)
               ? MT_OK
               : mt_archive_fail(archive, name, "unknown: no parameter of this model");
}

/* The name in the file. What has no place in the layout was left out of the description. */
static const char *file_name(const mt_parameter *parameter, const mt_layout *layout,
                             char name[MT_NAME_MAX])
{
    if (layout == NULL || mt_layout_name(layout, parameter->name, name) != MT_PLACED) {
        memcpy(name, parameter->name, MT_NAME_MAX);
    }
    return name;
}

/* Every array is there, of its type and shape, and nothing else is. Until then a file's word on how
 * much memory it needs is not taken. */
static mt_status check_block(mt_archive *archive, const char *group,
                             const mt_parameters *parameters, const mt_layout *layout)
{
    expected_names expected = {parameters, layout};
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        char name[MT_NAME_MAX];
        status =
            mt_archive_check_array(archive, group, file_name(parameters->items[i], layout, name),
                                   tensor->dtype, tensor->rank, tensor->shape);
    }
    return status == MT_OK ? mt_archive_visit(archive, group, refuse_unknown, &expected) : status;
}

mt_status mt_model_block_read(mt_archive *archive, const char *group,
                              const mt_parameters *parameters, const mt_layout *layout,
                              void **block)
{
    size_t size = mt_dtype_size(parameters->dtype);
    mt_status status = check_block(archive, group, parameters, layout);
    if (status != MT_OK) {
        return status;
    }
    *block = calloc((size_t)parameters->total, size);
    if (*block == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "checkpoint: no host memory for %zu bytes",
                       (size_t)parameters->total * size);
    }
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = parameters->items[i];
        const mt_tensor *tensor = &parameter->tensor;
        char name[MT_NAME_MAX];
        file_name(parameter, layout, name);
        void *values = (char *)*block + parameter->offset * size;
        status = mt_archive_read_array(archive, group, name, tensor->dtype, tensor->rank,
                                       tensor->shape, values);
        if (status == MT_OK) {
            status = check_finite(archive, tensor, name, values);
        }
    }
    return status;
}
