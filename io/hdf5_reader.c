/* HDF5 files, opened and read: the one place that does. Nothing leads elsewhere (links, external
 * and virtual datasets), and whatever is opened or read is looked at first: its types are standard
 * ones, its filters are few, and its sizes are what a file of this length can hold. */
#include "io/file_kind.h"
#include "io/hdf5_library.h"
#include "io/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct hdf5_reader {
    mt_reader base;
    hid_t file;
    int64_t size; /* bytes */
    char path[PATH_MAX];
} hdf5_reader;

/* "/model" and "embed.weight" make "/model/embed.weight". */
enum { PATH_MAX_BYTES = MT_GROUP_MAX + MT_OBJECT_MAX };
static const char *join(char path[PATH_MAX_BYTES], const mt_question *question)
{
    snprintf(path, PATH_MAX_BYTES, "%s%s%s", question->group, question->group[1] == '\0' ? "" : "/",
             question->name);
    return path;
}

/* Every step of a path must be a hard link, if it is there: whoever opens it tells of what is
 * not. */
static mt_status follow(const hdf5_reader *reader, const char *path)
{
    char step[PATH_MAX_BYTES];
    snprintf(step, sizeof step, "%s", path);
    for (char *end = step; *end != '\0';) {
        H5L_info_t info;
        end += 1 + strcspn(end + 1, "/");
        char kept = *end;
        *end = '\0';
        if (step[1] == '\0' || H5Lget_info(reader->file, step, &info, H5P_DEFAULT) < 0) {
            return MT_OK;
        }
        if (info.type != H5L_TYPE_HARD) {
            return mt_fail(MT_ERROR_FORMAT, "%s: %s: a link to somewhere else", reader->path, step);
        }
        *end = kept;
    }
    return MT_OK;
}

/* ---- names ---- */

/* Names of a group's objects, as they are found. */
typedef struct name_list {
    const hdf5_reader *reader;
    mt_answer *answer;
    size_t capacity;
    mt_status status;
} name_list;

/* The names of a file are a part of it. */
static mt_status make_room(name_list *list, size_t size)
{
    mt_answer *answer = list->answer;
    const char *path = list->reader->path;
    size_t needed = answer->found_bytes + size, capacity = list->capacity;
    if (needed > (size_t)list->reader->size) {
        return mt_fail(MT_ERROR_FORMAT, "%s: more names than a file of %" PRId64 " bytes can have",
                       path, list->reader->size);
    }
    if (needed <= capacity) {
        return MT_OK;
    }
    capacity = needed > 2 * capacity ? needed : 2 * capacity;
    char *names = realloc(answer->found, capacity);
    if (names == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of names", path, capacity);
    }
    answer->found = names;
    list->capacity = capacity;
    return MT_OK;
}

static herr_t list_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    name_list *list = context;
    size_t size = strlen(name) + 1;
    (void)group;
    list->status = info->type == H5L_TYPE_HARD
                       ? make_room(list, size)
                       : mt_fail(MT_ERROR_FORMAT, "%s: %.128s: a link to somewhere else",
                                 list->reader->path, name);
    if (list->status == MT_OK) {
        memcpy(list->answer->found + list->answer->found_bytes, name, size);
        list->answer->found_bytes += size;
    }
    return list->status == MT_OK ? 0 : 1;
}

/* HDF5 lists them in the order in which it finds them: where it is to sort the names of a damaged
 * group, it frees memory that it never had. */
static mt_status answer_names(const hdf5_reader *reader, const mt_question *question,
                              mt_answer *answer)
{
    name_list list = {reader, answer, 0, MT_OK};
    if (H5Literate_by_name(reader->file, question->group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL,
                           list_link, &list, H5P_DEFAULT) < 0 &&
        list.status == MT_OK) {
        list.status = mt_hdf5_fail(reader->path, "%s: no group that can be read", question->group);
    }
    return list.status;
}

static mt_status answer_has_object(const hdf5_reader *reader, const mt_question *question,
                                   mt_answer *answer)
{
    char path[PATH_MAX_BYTES];
    htri_t found = H5Lexists(reader->file, join(path, question), H5P_DEFAULT);
    answer->whole = found > 0;
    return found >= 0 ? MT_OK : mt_hdf5_fail(reader->path, "%s", path);
}

/* ---- types ---- */

/* A float of 16 bits, of which HDF5 1.10 has none by name. */
static hid_t make_half(size_t exponent_bits, size_t fraction_bits, size_t bias)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, fraction_bits, exponent_bits, 0, fraction_bits);
    H5Tset_precision(type, 16);
    H5Tset_ebias(type, bias);
    H5Tset_size(type, 2);
    return type;
}

static bool is_half(hid_t type, size_t exponent_bits, size_t fraction_bits, size_t bias)
{
    hid_t half = make_half(exponent_bits, fraction_bits, bias);
    bool same = H5Tequal(type, half) > 0;
    H5Tclose(half);
    return same;
}

static bool is_one_of(hid_t type, const hid_t *types, int count)
{
    bool found = false;
    for (int i = 0; i < count && !found; i++) {
        found = H5Tequal(type, types[i]) > 0;
    }
    return found;
}

/* IEEE's floats, and bfloat16. */
static bool is_real(hid_t type)
{
    const hid_t types[] = {H5T_IEEE_F32LE, H5T_IEEE_F32BE, H5T_IEEE_F64LE, H5T_IEEE_F64BE};
    return is_one_of(type, types, sizeof types / sizeof *types) || is_half(type, 5, 10, 15) ||
           is_half(type, 8, 7, 127);
}

static bool is_integer(hid_t type)
{
    const hid_t types[] = {H5T_STD_I8LE, H5T_STD_I16LE, H5T_STD_I32LE, H5T_STD_I64LE,
                           H5T_STD_U8LE, H5T_STD_U16LE, H5T_STD_U32LE, H5T_STD_U64LE,
                           H5T_STD_I8BE, H5T_STD_I16BE, H5T_STD_I32BE, H5T_STD_I64BE,
                           H5T_STD_U8BE, H5T_STD_U16BE, H5T_STD_U32BE, H5T_STD_U64BE};
    return is_one_of(type, types, sizeof types / sizeof *types);
}

/* The element type of a dataset, as it is read, and the bytes of an element in the file. HDF5
 * widens floats of 16 bits, IEEE's and bfloat16, and narrows integers of any width to int32: those
 * beyond its range are clipped to its ends, which no index reaches. */
static bool parse_type(hid_t dataset, mt_dtype *dtype, size_t *size)
{
    hid_t type = H5Dget_type(dataset);
    *size = H5Tget_size(type);
    bool integer = is_integer(type), known = integer || is_real(type);
    H5Tclose(type);
    *dtype = integer ? MT_I32 : *size == sizeof(double) ? MT_F64 : MT_F32;
    return known;
}

/* ---- arrays ---- */

/* A negative number, and why, where it fails. */
static hid_t open_dataset(const hdf5_reader *reader, const mt_question *question, mt_status *status)
{
    char path[PATH_MAX_BYTES];
    hid_t dataset = H5I_INVALID_HID;
    *status = follow(reader, join(path, question));
    if (*status == MT_OK && H5Lexists(reader->file, path, H5P_DEFAULT) == 0) {
        *status = mt_fail(MT_ERROR_FORMAT, "%s: %s: missing", reader->path, question->name);
    }
    if (*status == MT_OK) {
        dataset = H5Dopen2(reader->file, path, H5P_DEFAULT);
        if (dataset < 0) {
            *status = mt_hdf5_fail(reader->path, "%s", question->name);
        }
    }
    return dataset;
}

/* Refuses filters but deflate and Fletcher-32, and either of them twice. `expansion` receives the
 * most bytes that one stored byte can stand for. */
static mt_status check_filters(const char *path, const char *name, hid_t properties,
                               int64_t *expansion)
{
    const int64_t most_by_deflate = 1032;
    int deflates = 0, checksums = 0, count = H5Pget_nfilters(properties);
    for (int i = 0; i < count; i++) {
        unsigned flags;
        size_t parameters = 0;
        char filter_name[64] = "";
        H5Z_filter_t filter = H5Pget_filter2(properties, (unsigned)i, &flags, &parameters, NULL,
                                             sizeof filter_name, filter_name, NULL);
        deflates += filter == H5Z_FILTER_DEFLATE;
        checksums += filter == H5Z_FILTER_FLETCHER32;
        if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_FLETCHER32) {
            return mt_fail(MT_ERROR_FORMAT,
                           "%s: %s: filter %d (%.63s), where deflate and Fletcher-32 may be: write "
                           "it again without (h5repack -f NONE)",
                           path, name, (int)filter, filter_name);
        }
    }
    *expansion = deflates > 0 ? most_by_deflate : 1;
    return deflates <= 1 && checksums <= 1
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT,
                         "%s: %s: %d filters, where deflate and Fletcher-32 may be, each once",
                         path, name, count);
}

/* The bytes of a chunk, or 0 where the dataset has none. */
static int64_t chunk_bytes(hid_t properties, int64_t size)
{
    hsize_t chunk[H5S_MAX_RANK];
    int rank = H5Pget_layout(properties) == H5D_CHUNKED
                   ? H5Pget_chunk(properties, H5S_MAX_RANK, chunk)
                   : 0;
    int64_t bytes = rank > 0 ? size : 0;
    for (int i = 0; i < rank; i++) {
        bytes = chunk[i] < (hsize_t)(INT64_MAX / bytes) ? bytes * (int64_t)chunk[i] : INT64_MAX;
    }
    return bytes;
}

/* A file cannot hold more values than it is long enough for: HDF5 would fill in zeros for those
 * that were never written, and make room for a whole chunk, however much that is. */
static mt_status check_stored(const hdf5_reader *reader, const char *name, hid_t dataset,
                              int64_t bytes, int64_t size)
{
    hid_t properties = H5Dget_create_plist(dataset);
    H5D_layout_t layout = H5Pget_layout(properties);
    int64_t expansion = 1, chunk = chunk_bytes(properties, size);
    bool elsewhere = H5Pget_external_count(properties) > 0 ||
                     (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED);
    hsize_t stored = H5Dget_storage_size(dataset);
    mt_status status = check_filters(reader->path, name, properties, &expansion);
    H5Pclose(properties);
    if (elsewhere) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %s: its bytes are in another file", reader->path,
                       name);
    }
    if (status == MT_OK &&
        (stored > (hsize_t)reader->size || (int64_t)stored < bytes / expansion)) {
        status = mt_fail(MT_ERROR_FORMAT,
                         "%s: %s: %" PRIu64 " bytes stored in a file of %" PRId64
                         " bytes, for %" PRId64 " bytes of values",
                         reader->path, name, (uint64_t)stored, reader->size, bytes);
    }
    if (status == MT_OK && chunk / expansion > reader->size) {
        status =
            mt_fail(MT_ERROR_FORMAT, "%s: %s: a chunk of %" PRId64 " bytes in a file of %" PRId64,
                    reader->path, name, chunk, reader->size);
    }
    return status;
}

static mt_status find_shape(const hdf5_reader *reader, const char *name, hid_t dataset,
                            mt_answer *answer)
{
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    answer->rank = H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    for (int i = 0; i < answer->rank && i < MT_MAX_RANK; i++) {
        answer->shape[i] = (int64_t)dims[i];
    }
    return mt_answer_is_array(answer)
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT,
                         "%s: %s: %d dimensions, of which there are at most %d, or too large ones",
                         reader->path, name, answer->rank, MT_MAX_RANK);
}

static mt_status describe(const hdf5_reader *reader, const char *name, hid_t dataset,
                          mt_answer *answer)
{
    size_t size;
    if (!parse_type(dataset, &answer->dtype, &size)) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: %s: neither floats of 16, 32 or 64 bits nor integers of 8 to 64",
                       reader->path, name);
    }
    mt_status status = find_shape(reader, name, dataset, answer);
    if (status != MT_OK) {
        return status;
    }
    int64_t bytes = (int64_t)size;
    for (int i = 0; i < answer->rank; i++) {
        bytes *= answer->shape[i];
    }
    return check_stored(reader, name, dataset, bytes, (int64_t)size);
}

static mt_status answer_shape(const hdf5_reader *reader, const mt_question *question,
                              mt_answer *answer)
{
    mt_status status;
    hid_t dataset = open_dataset(reader, question, &status);
    if (dataset >= 0) {
        status = describe(reader, question->name, dataset, answer);
        H5Dclose(dataset);
    }
    return status;
}

static mt_status answer_rows(const hdf5_reader *reader, const mt_question *question,
                             mt_answer *answer)
{
    mt_status status;
    hid_t dataset = open_dataset(reader, question, &status), in_memory;
    (void)answer;
    if (dataset < 0) {
        return status;
    }
    hid_t space = mt_hdf5_select_rows(dataset, question->first, question->rows, &in_memory);
    hssize_t values = H5Sget_select_npoints(in_memory);
    if (values < 0 || (size_t)values != question->bytes / mt_dtype_size(question->dtype)) {
        status =
            mt_fail(MT_ERROR_FORMAT, "%s: %s: its shape has changed", reader->path, question->name);
    } else if (H5Dread(dataset, mt_hdf5_type(question->dtype), in_memory, space, H5P_DEFAULT,
                       question->values) < 0) {
        status = mt_hdf5_fail(reader->path, "%s: its values", question->name);
    }
    H5Sclose(space);
    H5Sclose(in_memory);
    H5Dclose(dataset);
    return status;
}

/* ---- attributes ---- */

static mt_status answer_has_attribute(const hdf5_reader *reader, const mt_question *question,
                                      mt_answer *answer)
{
    htri_t found = H5Aexists_by_name(reader->file, question->group, question->name, H5P_DEFAULT);
    answer->whole = found > 0;
    return found >= 0 ? MT_OK : mt_hdf5_fail(reader->path, "%s: its attributes", question->group);
}

static mt_status fail_attribute(const hdf5_reader *reader, const mt_question *question,
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

static mt_status open_attribute_of(const hdf5_reader *reader, const mt_question *question,
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

static mt_status read_attribute(const hdf5_reader *reader, const mt_question *question,
                                const open_attribute *attribute, hid_t type, void *value)
{
    return H5Aread(attribute->id, type, value) >= 0
               ? MT_OK
               : mt_hdf5_fail(reader->path, "%s: the attribute '%s'", question->group,
                              question->name);
}

static mt_status read_number(const hdf5_reader *reader, const mt_question *question,
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

static mt_status answer_int(const hdf5_reader *reader, const mt_question *question,
                            mt_answer *answer)
{
    return read_number(reader, question, is_integer, H5T_NATIVE_INT64, &answer->whole);
}

static mt_status answer_real(const hdf5_reader *reader, const mt_question *question,
                             mt_answer *answer)
{
    return read_number(reader, question, is_real, H5T_NATIVE_DOUBLE, &answer->real);
}

/* No more is allocated than the file has bytes. */
static mt_status read_texts(const hdf5_reader *reader, const mt_question *question,
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
static mt_status answer_texts(const hdf5_reader *reader, const mt_question *question,
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

/* ---- the reader ---- */

static mt_status (*const answers[MT_ASKED])(const hdf5_reader *reader, const mt_question *question,
                                            mt_answer *answer) = {
    [MT_ASK_NAMES] = answer_names,
    [MT_ASK_HAS_OBJECT] = answer_has_object,
    [MT_ASK_HAS_ATTRIBUTE] = answer_has_attribute,
    [MT_ASK_SHAPE] = answer_shape,
    [MT_ASK_ROWS] = answer_rows,
    [MT_ASK_INT] = answer_int,
    [MT_ASK_REAL] = answer_real,
    [MT_ASK_TEXTS] = answer_texts,
};

static mt_status answer(mt_reader *base, const mt_question *question, mt_answer *answer)
{
    const hdf5_reader *reader = (hdf5_reader *)base;
    *answer = (mt_answer){0};
    mt_status status = follow(reader, question->group);
    if (status == MT_OK) {
        status = answers[question->asked](reader, question, answer);
    }
    if (status != MT_OK) {
        free(answer->found);
        *answer = (mt_answer){0};
    }
    return status;
}

static void close_reader(mt_reader *base)
{
    hdf5_reader *reader = (hdf5_reader *)base;
    if (reader->file >= 0) {
        H5Fclose(reader->file);
    }
    mt_hdf5_end();
    free(reader);
}

/* Fails if it is not there, may not be read, or is no regular file: a pipe is not waited for. */
static mt_status find_size(const char *path, int64_t *size)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    mt_status status =
        fstat(file, &info) != 0 ? mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno))
        : S_ISREG(info.st_mode) ? MT_OK
                                : mt_fail(MT_ERROR_IO, "%s: not a regular file", path);
    close(file);
    *size = status == MT_OK ? (int64_t)info.st_size : 0;
    return status;
}

/* Reading takes no lock: files are replaced by a new one that is renamed over them (io/file.h), and
 * some file systems have none. */
static mt_status open_hdf5(hdf5_reader *reader)
{
    mt_status status = MT_OK;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (H5Pset_fapl_sec2(access) >= 0 && H5Pset_file_locking(access, false, true) >= 0) {
        reader->file = H5Fopen(reader->path, H5F_ACC_RDONLY, access);
    }
    if (reader->file < 0) {
        status = mt_file_check_kind(reader->path, "an HDF5 file");
        status = status == MT_OK ? mt_hdf5_fail(reader->path, "opening it") : status;
    }
    H5Pclose(access);
    return status;
}

mt_status mt_reader_open_here(const char *path, mt_reader **reader)
{
    *reader = NULL;
    hdf5_reader *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *made);
    }
    made->base = (mt_reader){answer, close_reader};
    made->file = H5I_INVALID_HID;
    snprintf(made->path, sizeof made->path, "%s", path);
    mt_hdf5_begin();
    mt_status status = find_size(path, &made->size);
    if (status == MT_OK) {
        status = open_hdf5(made);
    }
    if (status != MT_OK) {
        close_reader(&made->base);
        return status;
    }
    *reader = &made->base;
    return MT_OK;
}
