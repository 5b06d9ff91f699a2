#include "io/source.h"

#include "kernels/device.h"

#include <stdlib.h>
#include <string.h>

void mt_source_close(mt_source *source)
{
    if (source != NULL) {
        source->close(source);
    }
}

static mt_status no_memory(void)
{
    return mt_fail(MT_ERROR_MEMORY, "weights: no memory to read them");
}

/* ---- an archive ---- */

typedef struct archive_source {
    mt_source base;
    mt_archive *archive;
    const char *group;
} archive_source;

static void add_name(mt_archive *archive, const char *name, void *arrays)
{
    mt_archive_keep(archive, mt_arrays_add_name(arrays, name));
}

static mt_status list_archive(mt_source *base, mt_arrays *arrays)
{
    const archive_source *source = (archive_source *)base;
    mt_archive_visit(source->archive, source->group, add_name, arrays);
    return mt_archive_status(source->archive);
}

static mt_status inspect_archive(mt_source *base, mt_array *array)
{
    const archive_source *source = (archive_source *)base;
    mt_archive_inspect_array(source->archive, source->group, array->name, &array->dtype,
                             &array->rank, array->shape);
    if (mt_archive_status(source->archive) == MT_OK && array->dtype == MT_I32) {
        mt_archive_fail(source->archive, array->name, "integers are no weights");
    }
    if (mt_archive_status(source->archive) == MT_OK && !mt_array_is_weight(array)) {
        mt_archive_fail(source->archive, array->name, "a dimension that no weight has");
    }
    return mt_archive_status(source->archive);
}

static mt_status read_archive(mt_source *base, const char *name, mt_dtype dtype, int64_t first,
                              int64_t rows, size_t bytes, void *values)
{
    const archive_source *source = (archive_source *)base;
    mt_archive_read_rows(source->archive, source->group, name, dtype, first, rows, bytes, values);
    return mt_archive_status(source->archive);
}

static void close_plain(mt_source *base)
{
    free(base);
}

mt_status mt_archive_source(mt_archive *archive, const char *group, mt_source **source)
{
    archive_source *made = malloc(sizeof *made);
    if (made == NULL) {
        return no_memory();
    }
    *made = (archive_source){
        {list_archive, inspect_archive, read_archive, close_plain}, archive, group};
    *source = &made->base;
    return MT_OK;
}

/* ---- parameters and moments ---- */

typedef struct block_source {
    mt_source base;
    const mt_parameters *parameters;
    const mt_adam *adam; /* whose moments they are, and which; NULL: the parameters' data */
    mt_moment which;
} block_source;

static int64_t width_of(const mt_tensor *tensor)
{
    return mt_tensor_count(tensor) / (tensor->rank > 0 ? tensor->shape[0] : 1);
}

/* The place of a row in the blocks. */
static int64_t place_of(const mt_parameter *parameter, int64_t row)
{
    return (int64_t)parameter->offset + row * width_of(&parameter->tensor);
}

static const void *value_at(const mt_parameters *parameters, int64_t place)
{
    return (const char *)parameters->data + (size_t)place * mt_dtype_size(parameters->dtype);
}

static mt_status read_block(mt_source *base, const char *name, mt_dtype dtype, int64_t first,
                            int64_t rows, size_t bytes, void *values)
{
    const block_source *source = (block_source *)base;
    const mt_parameters *parameters = source->parameters;
    const mt_parameter *parameter = mt_parameters_find(parameters, name);
    int64_t at = place_of(parameter, first);
    (void)dtype; /* the parameters' own */
    if (source->adam != NULL) {
        return mt_adam_read_moments(source->adam, source->which, at,
                                    rows * width_of(&parameter->tensor), values);
    }
    return mt_device_read(parameters->device, values, value_at(parameters, at), bytes);
}

static const void *find_block(mt_source *base, const char *name, int64_t first)
{
    const block_source *source = (block_source *)base;
    const mt_parameters *parameters = source->parameters;
    int64_t at = place_of(mt_parameters_find(parameters, name), first);
    if (source->adam != NULL) {
        return mt_adam_find_moments(source->adam, source->which, at);
    }
    return parameters->device->is_host ? value_at(parameters, at) : NULL;
}

static mt_status block_source_of(const block_source *made, mt_source **source)
{
    if (made->parameters->data == NULL) {
        return mt_fail(MT_ERROR_INVALID, "the parameters have no memory, or are kept compact");
    }
    block_source *kept = malloc(sizeof *kept);
    if (kept == NULL) {
        return no_memory();
    }
    *kept = *made;
    kept->base = (mt_source){.read = read_block, .close = close_plain, .find = find_block};
    *source = &kept->base;
    return MT_OK;
}

mt_status mt_parameters_source(const mt_parameters *parameters, mt_source **source)
{
    return block_source_of(&(block_source){.parameters = parameters}, source);
}

mt_status mt_moments_source(const mt_adam *adam, mt_moment which, mt_source **source)
{
    const block_source made = {.parameters = adam->parameters, .adam = adam, .which = which};
    return block_source_of(&made, source);
}

/* ---- another source, with some arrays replaced ---- */

typedef struct replaced_source {
    mt_source base;
    mt_source *under;
    mt_arrays arrays;
} replaced_source;

static mt_status read_replaced(mt_source *base, const char *name, mt_dtype dtype, int64_t first,
                               int64_t rows, size_t bytes, void *values)
{
    const replaced_source *source = (replaced_source *)base;
    const mt_array *array = mt_arrays_find(&source->arrays, name);
    if (array == NULL) {
        return source->under->read(source->under, name, dtype, first, rows, bytes, values);
    }
    (void)bytes; /* the array cannot change */
    int64_t width = mt_array_width(array);
    const char *from =
        (const char *)array->data + (size_t)(first * width) * mt_dtype_size(array->dtype);
    mt_convert_reals(array->dtype, from, dtype, values, rows * width);
    return MT_OK;
}

static void close_replaced(mt_source *base)
{
    replaced_source *source = (replaced_source *)base;
    mt_source_close(source->under);
    mt_arrays_free(&source->arrays);
    free(source);
}

mt_status mt_source_replace(mt_source *under, mt_arrays *arrays, mt_source **source)
{
    replaced_source *made = malloc(sizeof *made);
    if (made == NULL) {
        return no_memory();
    }
    *made = (replaced_source){{NULL, NULL, read_replaced, close_replaced}, under, *arrays};
    *arrays = (mt_arrays){0};
    *source = &made->base;
    return MT_OK;
}
