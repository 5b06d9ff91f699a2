#include "io/carried.h"

#include "io/arrays.h"
#include "io/weights_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char group[] = "/" MT_CARRIED_GROUP, name[] = "rows";

void mt_carried_write(mt_archive *archive, const char *path, const mt_carried_rows *carried)
{
    const int64_t shape[] = {carried->rows, carried->width};
    static char text[] = MT_CARRIED_GROUP;
    mt_array array = {.name = text, .dtype = carried->dtype, .rank = 2};
    memcpy(array.shape, shape, sizeof shape);
    mt_status status = mt_array_check_values(&array, carried->values);
    if (status != MT_OK) {
        mt_archive_keep(archive, mt_fail(status, "%s: %s", path, mt_error_message()));
    }
    mt_archive_write_group(archive, group);
    mt_archive_write_array(archive, group, name, carried->dtype, 2, shape, carried->values);
}

static void expect_rows(mt_archive *archive, const char *found, void *context)
{
    (void)context;
    if (strcmp(found, name) != 0) {
        mt_archive_fail(archive, found, "unknown: nothing that is carried");
    }
}

void mt_carried_describe(mt_archive *archive, mt_checkpoint *checkpoint)
{
    mt_dtype dtype = MT_I32;
    int rank = 0;
    int64_t shape[MT_MAX_RANK] = {0};
    if (!mt_archive_has(archive, MT_CARRIED_GROUP)) {
        return;
    }
    mt_archive_visit(archive, group, expect_rows, NULL);
    mt_archive_inspect_array(archive, group, name, &dtype, &rank, shape);
    if (mt_archive_status(archive) != MT_OK) {
        return;
    }
    if (rank != 2 || dtype != checkpoint->weights->parameters->dtype) {
        mt_archive_fail(archive, "carried/rows", "%s of rank %d, expected %s of rank 2",
                        mt_dtype_name(dtype), rank,
                        mt_dtype_name(checkpoint->weights->parameters->dtype));
        return;
    }
    checkpoint->carried_rows = shape[0];
    checkpoint->carried_width = shape[1];
}

/* Reads them; `bytes` is what there is room for. */
static mt_status read_rows(const mt_checkpoint *checkpoint, mt_dtype dtype, size_t bytes,
                           void *values)
{
    mt_archive *archive = checkpoint->weights->file->archive;
    int64_t rows = checkpoint->carried_rows, width = checkpoint->carried_width;
    double value;
    mt_archive_read_rows(archive, group, name, dtype, 0, rows, bytes, values);
    int64_t at = mt_archive_status(archive) == MT_OK
                     ? mt_first_not_finite(dtype, values, rows * width, &value)
                     : -1;
    return at >= 0 ? mt_fail(MT_ERROR_FORMAT, "%s: carried/rows: element %" PRId64 " is %g",
                             checkpoint->weights->file->path, at, value)
                   : mt_archive_status(archive);
}

mt_status mt_carried_check(const mt_checkpoint *checkpoint)
{
    mt_dtype dtype = checkpoint->weights->parameters->dtype;
    size_t bytes =
        (size_t)(checkpoint->carried_rows * checkpoint->carried_width) * mt_dtype_size(dtype);
    if (checkpoint->carried_rows == 0) {
        return MT_OK;
    }
    void *values = malloc(bytes);
    if (values == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for the %zu bytes that it carries",
                       checkpoint->weights->file->path, bytes);
    }
    mt_status status = read_rows(checkpoint, dtype, bytes, values);
    free(values);
    return status;
}

mt_status mt_checkpoint_read_carried(const mt_checkpoint *checkpoint, mt_dtype dtype, int64_t rows,
                                     int64_t width, void *values)
{
    const char *path = checkpoint->weights->file->path;
    int64_t own_rows = checkpoint->carried_rows, own_width = checkpoint->carried_width;
    if ((own_rows > 0) != (width > 0)) {
        return mt_fail(MT_ERROR_INVALID,
                       width > 0 ? "%s: it has no state that is carried to go on from"
                                 : "%s: it has a state that is carried, and this run carries none",
                       path);
    }
    if (width == 0) {
        return MT_OK;
    }
    if (own_rows != rows || own_width != width || dtype != checkpoint->weights->parameters->dtype) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: it carries %" PRId64 " rows of %" PRId64 " %s, this run %" PRId64
                       " of %" PRId64 " %s",
                       path, own_rows, own_width,
                       mt_dtype_name(checkpoint->weights->parameters->dtype), rows, width,
                       mt_dtype_name(dtype));
    }
    return read_rows(checkpoint, dtype, (size_t)(rows * width) * mt_dtype_size(dtype), values);
}
