/* Attributes of an archive's groups: numbers, and fields of structs. */
#include "io/archive_internal.h"

#include <inttypes.h>
#include <math.h>

mt_status mt_archive_write_attribute(mt_archive *archive, const char *group, const char *name,
                                     hid_t type, hid_t space, const void *value)
{
    hid_t attribute = H5Acreate_by_name(archive->file, group, name, type, space, H5P_DEFAULT,
                                        H5P_DEFAULT, H5P_DEFAULT);
    bool whole = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    if (attribute >= 0) {
        H5Aclose(attribute);
    }
    H5Sclose(space);
    return whole ? MT_OK
                 : mt_fail(MT_ERROR_MEMORY, "%s: %s: no memory to write it", archive->path, name);
}

mt_status mt_archive_write_int(mt_archive *archive, const char *group, const char *name,
                               int64_t value)
{
    return mt_archive_write_attribute(archive, group, name, H5T_NATIVE_INT64, H5Screate(H5S_SCALAR),
                                      &value);
}

mt_status mt_archive_write_real(mt_archive *archive, const char *group, const char *name,
                                double value)
{
    return mt_archive_write_attribute(archive, group, name, H5T_NATIVE_DOUBLE,
                                      H5Screate(H5S_SCALAR), &value);
}

mt_status mt_archive_open_attribute(mt_archive *archive, const char *group, const char *name,
                                    H5T_class_t class, int rank, hid_t *attribute, hsize_t *count)
{
    *count = 0;
    *attribute = H5Aopen_by_name(archive->file, group, name, H5P_DEFAULT, H5P_DEFAULT);
    if (*attribute < 0) {
        return mt_archive_fail(archive, group, "the attribute '%s' is missing", name);
    }
    hid_t type = H5Aget_type(*attribute), space = H5Aget_space(*attribute);
    bool fits = H5Tget_class(type) == class && H5Sget_simple_extent_ndims(space) == rank;
    hssize_t points = H5Sget_simple_extent_npoints(space);
    H5Tclose(type);
    H5Sclose(space);
    if (!fits || points < 0) {
        H5Aclose(*attribute);
        return mt_archive_fail(archive, group, "the attribute '%s' is of another type", name);
    }
    *count = (hsize_t)points;
    return MT_OK;
}

static mt_status read_number(mt_archive *archive, const char *group, const char *name,
                             H5T_class_t class, hid_t type, void *value)
{
    hid_t attribute;
    hsize_t count;
    mt_status status =
        mt_archive_open_attribute(archive, group, name, class, 0, &attribute, &count);
    if (status != MT_OK) {
        return status;
    }
    if (H5Aread(attribute, type, value) < 0) {
        status = mt_archive_fail(archive, group, "the attribute '%s' is damaged", name);
    }
    H5Aclose(attribute);
    return status;
}

mt_status mt_archive_read_int(mt_archive *archive, const char *group, const char *name,
                              int64_t *value)
{
    return read_number(archive, group, name, H5T_INTEGER, H5T_NATIVE_INT64, value);
}

mt_status mt_archive_read_real(mt_archive *archive, const char *group, const char *name,
                               double *value)
{
    return read_number(archive, group, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, value);
}

static bool is_real(const mt_archive_field *field)
{
    return field->type == MT_FIELD_REAL || field->type == MT_FIELD_LOSS;
}

/* Whether a real field may have this value. */
static bool allows(const mt_archive_field *field, double value)
{
    return isfinite(value) || (field->type == MT_FIELD_LOSS && !isnan(value));
}

static mt_status write_real_field(mt_archive *archive, const char *group,
                                  const mt_archive_field *field, double value)
{
    return allows(field, value) ? mt_archive_write_real(archive, group, field->name, value)
                                : mt_fail(MT_ERROR_INVALID, "%s: %s: %s is %g", archive->path,
                                          group, field->name, value);
}

mt_status mt_archive_write_fields(mt_archive *archive, const char *group,
                                  const mt_archive_field *fields, const void *from)
{
    mt_status status = MT_OK;
    for (const mt_archive_field *field = fields; field->name != NULL && status == MT_OK; field++) {
        const void *value = (const char *)from + field->offset;
        if (is_real(field)) {
            status = write_real_field(archive, group, field, *(const double *)value);
        } else {
            int64_t number =
                field->type == MT_FIELD_FLAG ? *(const bool *)value : *(const int64_t *)value;
            status = mt_archive_write_int(archive, group, field->name, number);
        }
    }
    return status;
}

static mt_status read_real_field(mt_archive *archive, const char *group,
                                 const mt_archive_field *field, double *value)
{
    mt_status status = mt_archive_read_real(archive, group, field->name, value);
    return status != MT_OK || allows(field, *value)
               ? status
               : mt_archive_fail(archive, group, "%s is %g", field->name, *value);
}

mt_status mt_archive_read_fields(mt_archive *archive, const char *group,
                                 const mt_archive_field *fields, void *to)
{
    mt_status status = MT_OK;
    for (const mt_archive_field *field = fields; field->name != NULL && status == MT_OK; field++) {
        void *value = (char *)to + field->offset;
        int64_t number = 0;
        if (is_real(field)) {
            status = read_real_field(archive, group, field, value);
            continue;
        }
        status = mt_archive_read_int(archive, group, field->name, &number);
        if (status == MT_OK && field->type == MT_FIELD_COUNT && number < 0) {
            status = mt_archive_fail(archive, group, "%s is %" PRId64, field->name, number);
        }
        if (field->type == MT_FIELD_FLAG) {
            *(bool *)value = number != 0;
        } else {
            *(int64_t *)value = number;
        }
    }
    return status;
}
