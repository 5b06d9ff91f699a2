/* Attributes of an HDF5 file that is read. */
#include "io/hdf5_reader.h"

#include <inttypes.h>
#include <stdlib.h>

mt_status mt_hdf5_answer_has_attribute(const mt_hdf5_reader *reader, const mt_question *question,
                                       mt_answer *answer)
{
    htri_t found = H5Aexists_by_name(reader->file, question->group, question->name, H5P_DEFAULT);
    answer->whole = found > 0;
    return found >= 0 ? MT_OK : mt_hdf5_fail(reader->path, "%s: its attributes", question->group);
}

static mt_status fail_attribute(const mt_hdf5_reader *reader, const mt_question *question,
                                const char *why)
{
    return mt_fail(MT_ERROR_FORMAT, "%s: %s: the attribute '%s' %s", reader->path, question->group,
                   question->name, why);
}

/* An attribute that is open: its type, and its number of elements. */
typedef struct open_attribute {
    hid_t id, type;
    int rank;
    hssize_t count;
} open_attribute;

static mt_status open_attribute_of(const mt_hdf5_reader *reader, const mt_question *question,
                                   open_attribute *attribute)
{
    if (H5Aexists_by_name(reader->file, question->group, question->name, H5P_DEFAULT) == 0) {
        return fail_attribute(reader, question, "is missing");
    }
    attribute->id =
        H5Aopen_by_name(reader->file, question->group, question->name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute->id < 0) {
        return mt_hdf5_fail(reader->path, "%s: the attribute '%s'", question->group,
                            question->name);
    }
    hid_t space = H5Aget_space(attribute->id);
    attribute->type = H5Aget_type(attribute->id);
    attribute->rank = H5Sget_simple_extent_ndims(space);
    attribute->count = H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    return MT_OK;
}

static void close_attribute(const open_attribute *attribute)
{
    H5Tclose(attribute->type);
    H5Aclose(attribute->id);
}

static mt_status read_attribute(const mt_hdf5_reader *reader, const mt_question *question,
                                const open_attribute *attribute, hid_t type, void *value)
{
    return H5Aread(attribute->id, type, value) >= 0
               ? MT_OK
               : mt_hdf5_fail(reader->path, "%s: the attribute '%s'", question->group,
                              question->name);
}

static mt_status read_number(const mt_hdf5_reader *reader, const mt_question *question,
                             bool (*fits)(hid_t type), hid_t type, void *value)
{
    open_attribute attribute = {.id = H5I_INVALID_HID};
    mt_status status = open_attribute_of(reader, question, &attribute);
    if (status != MT_OK) {
        return status;
    }
    status = attribute.rank == 0 && attribute.count == 1 && fits(attribute.type)
                 ? read_attribute(reader, question, &attribute, type, value)
                 : fail_attribute(reader, question, "is of another type");
    close_attribute(&attribute);
    return status;
}

mt_status mt_hdf5_answer_int(const mt_hdf5_reader *reader, const mt_question *question,
                             mt_answer *answer)
{
    return read_number(reader, question, mt_hdf5_is_integer, H5T_NATIVE_INT64, &answer->whole);
}

mt_status mt_hdf5_answer_real(const mt_hdf5_reader *reader, const mt_question *question,
                              mt_answer *answer)
{
    return read_number(reader, question, mt_hdf5_is_real, H5T_NATIVE_DOUBLE, &answer->real);
}

/* No more is allocated than the file has bytes. */
static mt_status read_texts(const mt_hdf5_reader *reader, const mt_question *question,
                            const open_attribute *attribute, mt_answer *answer)
{
    size_t size = H5Tget_size(attribute->type);
    if (H5Tget_class(attribute->type) != H5T_STRING || attribute->rank != question->rank ||
        attribute->count < 0 || size == 0) {
        return fail_attribute(reader, question, "is of another type");
    }
    if (H5Tis_variable_str(attribute->type) != 0) {
        return fail_attribute(reader, question,
                              "is a variable-length string, which Mixtape does not write");
    }
    if ((uint64_t)attribute->count > (uint64_t)reader->size / size) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: %s: the attribute '%s' has %lld strings of %zu bytes in a file of "
                       "%" PRId64,
                       reader->path, question->group, question->name, (long long)attribute->count,
                       size, reader->size);
    }
    answer->texts = attribute->count;
    answer->text_bytes = (int64_t)size;
    answer->found_bytes = (size_t)attribute->count * size;
    answer->found = malloc(answer->found_bytes + 1);
    return answer->found != NULL
               ? read_attribute(reader, question, attribute, attribute->type, answer->found)
               : mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of texts", reader->path,
                         answer->found_bytes);
}

/* As the file has them: HDF5 does not convert between character sets. */
mt_status mt_hdf5_answer_texts(const mt_hdf5_reader *reader, const mt_question *question,
                               mt_answer *answer)
{
    open_attribute attribute = {.id = H5I_INVALID_HID};
    mt_status status = open_attribute_of(reader, question, &attribute);
    if (status == MT_OK) {
        status = read_texts(reader, question, &attribute, answer);
        close_attribute(&attribute);
    }
    return status;
}
