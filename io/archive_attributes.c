/* Attributes of an archive's groups: numbers, and fields of structs. */
#include "io/archive_internal.h"

#include <inttypes.h>
#include <math.h>

void mt_archive_write_attribute(mt_archive *archive, const char *group, const char *name,
                                hid_t type, hid_t space, const void *value)
{
    hid_t attribute = mt_archive_can_go_on(archive)
                          ? H5Acreate_by_name(archive->file, group, name, type, space, H5P_DEFAULT,
                                              H5P_DEFAULT, H5P_DEFAULT)
                          : H5I_INVALID_HID;
    if (attribute < 0 || H5Awrite(attribute, type, value) < 0) {
        mt_archive_lacks_memory(archive, name);
    }
    if (attribute >= 0 && H5Aclose(attribute) < 0) {
        mt_archive_lacks_memory(archive, name);
    }
    H5Sclose(space);
}

void mt_archive_write_int(mt_archive *archive, const char *group, const char *name, int64_t value)
{
    mt_archive_write_attribute(archive, group, name, H5T_NATIVE_INT64, H5Screate(H5S_SCALAR),
                               &value);
}

static void write_real(mt_archive *archive, const char *group, const char *name, double value)
{
    mt_archive_write_attribute(archive, group, name, H5T_NATIVE_DOUBLE, H5Screate(H5S_SCALAR),
                               &value);
}

int64_t mt_archive_read_int(mt_archive *archive, const char *group, const char *name)
{
    mt_answer answer;
    mt_archive_ask(archive, &(mt_question){.asked = MT_ASK_INT}, group, name, &answer);
    return answer.whole;
}

static double read_real(mt_archive *archive, const char *group, const char *name)
{
    mt_answer answer;
    mt_archive_ask(archive, &(mt_question){.asked = MT_ASK_REAL}, group, name, &answer);
    return answer.real;
}

static bool is_real(const mt_archive_field *field)
{
    return field->type != MT_FIELD_COUNT;
}

/* Tells if a real field may have this value. */
static bool allows(const mt_archive_field *field, double value)
{
    return isfinite(value) || (field->type == MT_FIELD_LOSS && !isnan(value));
}

static bool is_zero(const mt_archive_field *field, const void *value)
{
    return is_real(field) ? *(const double *)value == 0.0 : *(const int64_t *)value == 0;
}

void mt_archive_write_fields(mt_archive *archive, const char *group, const mt_archive_field *fields,
                             const void *from)
{
    for (const mt_archive_field *field = fields; field->name != NULL; field++) {
        const void *value = (const char *)from + field->offset;
        if (field->optional && is_zero(field, value)) {
            continue;
        }
        if (field->type == MT_FIELD_COUNT && *(const int64_t *)value < 0) {
            mt_archive_keep(archive,
                            mt_fail(MT_ERROR_INVALID, "%s: %s: %s is %" PRId64, archive->path,
                                    group, field->name, *(const int64_t *)value));
        } else if (!is_real(field)) {
            mt_archive_write_int(archive, group, field->name, *(const int64_t *)value);
        } else if (allows(field, *(const double *)value)) {
            write_real(archive, group, field->name, *(const double *)value);
        } else {
            mt_archive_keep(archive, mt_fail(MT_ERROR_INVALID, "%s: %s: %s is %g", archive->path,
                                             group, field->name, *(const double *)value));
        }
    }
}

static double read_real_field(mt_archive *archive, const char *group, const mt_archive_field *field)
{
    double value = read_real(archive, group, field->name);
    if (!allows(field, value)) {
        mt_archive_fail(archive, group, "%s is %g", field->name, value);
    }
    return value;
}

void mt_archive_read_fields(mt_archive *archive, const char *group, const mt_archive_field *fields,
                            void *to)
{
    for (const mt_archive_field *field = fields; field->name != NULL; field++) {
        void *value = (char *)to + field->offset;
        if (field->optional && !mt_archive_has_attribute(archive, group, field->name)) {
            continue;
        }
        if (is_real(field)) {
            *(double *)value = read_real_field(archive, group, field);
            continue;
        }
        int64_t number = mt_archive_read_int(archive, group, field->name);
        if (number < 0) {
            mt_archive_fail(archive, group, "%s is %" PRId64, field->name, number);
        }
        *(int64_t *)value = number;
    }
}
