/* Attributes of an archive's groups. */
#include "io/archive_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool mt_archive_has_attribute(mt_archive *archive, const char *group, const char *name)
{
    return H5Aexists_by_name(archive->file, group, name, H5P_DEFAULT) > 0;
}

static mt_status write_attribute(mt_archive *archive, const char *group, const char *name,
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

static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

mt_status mt_archive_write_int(mt_archive *archive, const char *group, const char *name,
                               int64_t value)
{
    return write_attribute(archive, group, name, H5T_NATIVE_INT64, H5Screate(H5S_SCALAR), &value);
}

mt_status mt_archive_write_real(mt_archive *archive, const char *group, const char *name,
                                double value)
{
    return write_attribute(archive, group, name, H5T_NATIVE_DOUBLE, H5Screate(H5S_SCALAR), &value);
}

mt_status mt_archive_write_text(mt_archive *archive, const char *group, const char *name,
                                const char *value)
{
    hid_t type = text_type();
    mt_status status = write_attribute(archive, group, name, type, H5Screate(H5S_SCALAR), &value);
    H5Tclose(type);
    return status;
}

mt_status mt_archive_write_tokens(mt_archive *archive, const char *group, const char *name,
                                  const mt_token_list *tokens)
{
    hid_t type = text_type();
    hsize_t count = (hsize_t)tokens->count;
    mt_status status = write_attribute(archive, group, name, type,
                                       H5Screate_simple(1, &count, NULL), tokens->tokens);
    H5Tclose(type);
    return status;
}

/* Opens an attribute of this class and rank. `count` receives its number of elements. */
static mt_status open_attribute(mt_archive *archive, const char *group, const char *name,
                                H5T_class_t class, int rank, hid_t *attribute, hsize_t *count)
{
    *attribute = H5Aopen_by_name(archive->file, group, name, H5P_DEFAULT, H5P_DEFAULT);
    if (*attribute < 0) {
        return mt_archive_fail(archive, group, "the attribute '%s' is missing", name);
    }
    hid_t type = H5Aget_type(*attribute), space = H5Aget_space(*attribute);
    bool fits = H5Tget_class(type) == class && H5Sget_simple_extent_ndims(space) == rank &&
                (class != H5T_STRING || H5Tis_variable_str(type) > 0);
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
    mt_status status = open_attribute(archive, group, name, class, 0, &attribute, &count);
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

/* Reads `count` strings, which HDF5 allocates, and gives back its memory with H5Dvlen_reclaim. */
static mt_status read_strings(mt_archive *archive, const char *group, const char *name, int rank,
                              mt_status (*take)(int32_t count, const char *const *texts, void *to),
                              void *to)
{
    hid_t attribute;
    hsize_t count;
    mt_status status = open_attribute(archive, group, name, H5T_STRING, rank, &attribute, &count);
    if (status != MT_OK) {
        return status;
    }
    char **texts = count < INT32_MAX ? calloc((size_t)count + 1, sizeof *texts) : NULL;
    /* As the file has them: HDF5 does not convert between character sets. */
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    if (texts == NULL) {
        status = mt_archive_fail(archive, group, "the attribute '%s' has %llu strings", name,
                                 (unsigned long long)count);
    } else if (H5Aread(attribute, type, texts) < 0) {
        status = mt_archive_fail(archive, group, "the attribute '%s' is damaged", name);
    } else {
        for (hsize_t i = 0; i < count && status == MT_OK; i++) {
            if (texts[i] == NULL) {
                status =
                    mt_archive_fail(archive, group, "the attribute '%s' has an empty string", name);
            }
        }
        if (status == MT_OK) {
            status = take((int32_t)count, (const char *const *)texts, to);
        }
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    }
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(attribute);
    free(texts);
    return status;
}

static mt_status take_text(int32_t count, const char *const *texts, void *to)
{
    char **text = to;
    (void)count;
    *text = strdup(texts[0]);
    return *text != NULL ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for a string");
}

static mt_status take_tokens(int32_t count, const char *const *texts, void *to)
{
    return mt_token_list_create(count, texts, to);
}

mt_status mt_archive_read_text(mt_archive *archive, const char *group, const char *name,
                               char **value)
{
    *value = NULL;
    return read_strings(archive, group, name, 0, take_text, value);
}

mt_status mt_archive_read_tokens(mt_archive *archive, const char *group, const char *name,
                                 mt_token_list **tokens)
{
    *tokens = NULL;
    return read_strings(archive, group, name, 1, take_tokens, tokens);
}

mt_status mt_archive_write_fields(mt_archive *archive, const char *group,
                                  const mt_archive_field *fields, const void *from)
{
    mt_status status = MT_OK;
    for (const mt_archive_field *field = fields; field->name != NULL && status == MT_OK; field++) {
        const void *value = (const char *)from + field->offset;
        if (field->type == MT_FIELD_REAL) {
            status = mt_archive_write_real(archive, group, field->name, *(const double *)value);
        } else {
            int64_t number =
                field->type == MT_FIELD_FLAG ? *(const bool *)value : *(const int64_t *)value;
            status = mt_archive_write_int(archive, group, field->name, number);
        }
    }
    return status;
}

mt_status mt_archive_read_fields(mt_archive *archive, const char *group,
                                 const mt_archive_field *fields, void *to)
{
    mt_status status = MT_OK;
    for (const mt_archive_field *field = fields; field->name != NULL && status == MT_OK; field++) {
        void *value = (char *)to + field->offset;
        int64_t number = 0;
        if (field->type == MT_FIELD_REAL) {
            status = mt_archive_read_real(archive, group, field->name, value);
            continue;
        }
        status = mt_archive_read_int(archive, group, field->name, &number);
        if (status == MT_OK && field->type == MT_FIELD_COUNT && number < 0) {
            status = mt_archive_fail(archive, group, "%s %" PRId64, field->name, number);
        }
        if (field->type == MT_FIELD_FLAG) {
            *(bool *)value = number != 0;
        } else {
            *(int64_t *)value = number;
        }
    }
    return status;
}
