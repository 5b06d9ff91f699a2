/* Arrays of an HDF5 file that is read: what they are, if the file can hold them, and their rows. */
#include "io/hdf5_reader.h"

#include <inttypes.h>
#include <string.h>

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

bool mt_hdf5_is_real(hid_t type)
{
    const hid_t types[] = {H5T_IEEE_F32LE, H5T_IEEE_F32BE, H5T_IEEE_F64LE, H5T_IEEE_F64BE};
    return is_one_of(type, types, sizeof types / sizeof *types) || is_half(type, 5, 10, 15) ||
           is_half(type, 8, 7, 127);
}

bool mt_hdf5_is_integer(hid_t type)
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
    bool integer = mt_hdf5_is_integer(type), known = integer || mt_hdf5_is_real(type);
    H5Tclose(type);
    *dtype = integer ? MT_I32 : *size == sizeof(double) ? MT_F64 : MT_F32;
    return known;
}

/* To look at the shape of a dataset that is made of others opens their files, so this comes first:
 * a virtual dataset, or one whose bytes are in another file, is refused. */
static mt_status check_is_here(const mt_hdf5_reader *reader, const char *name, hid_t dataset)
{
    hid_t properties = H5Dget_create_plist(dataset);
    H5D_layout_t layout = H5Pget_layout(properties);
    bool is_here = (layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED) &&
                   H5Pget_external_count(properties) == 0;
    H5Pclose(properties);
    return is_here ? MT_OK
                   : mt_fail(MT_ERROR_FORMAT, "%s: %s: its bytes are in another file", reader->path,
                             name);
}

/* A negative number, and why, where it fails. */
static hid_t open_dataset(const mt_hdf5_reader *reader, const mt_question *question,
                          mt_status *status)
{
    char path[MT_PATH_IN_FILE];
    hid_t dataset = H5I_INVALID_HID;
    *status = mt_hdf5_follow(reader, mt_hdf5_join(path, question->group, question->name));
    if (*status == MT_OK && H5Lexists(reader->file, path, H5P_DEFAULT) == 0) {
        *status = mt_fail(MT_ERROR_FORMAT, "%s: %s: missing", reader->path, question->name);
    }
    if (*status == MT_OK) {
        dataset = H5Dopen2(reader->file, path, H5P_DEFAULT);
        if (dataset < 0) {
            *status = mt_hdf5_fail(reader->path, "%s", question->name);
        }
    }
    if (dataset >= 0) {
        *status = check_is_here(reader, question->name, dataset);
    }
    if (dataset >= 0 && *status != MT_OK) {
        H5Dclose(dataset);
        dataset = H5I_INVALID_HID;
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

/* The bytes of a chunk, or 0 where the dataset has none; INT64_MAX where a chunk is of no bytes, or
 * an element is, as HDF5 has it that cannot tell. */
static int64_t chunk_bytes(hid_t properties, int64_t size)
{
    hsize_t chunk[H5S_MAX_RANK];
    int rank = H5Pget_layout(properties) == H5D_CHUNKED
                   ? H5Pget_chunk(properties, H5S_MAX_RANK, chunk)
                   : 0;
    int64_t bytes = rank > 0 ? size : 0;
    for (int i = 0; i < rank; i++) {
        bool fits = bytes > 0 && chunk[i] > 0 && chunk[i] < (hsize_t)(INT64_MAX / bytes);
        bytes = fits ? bytes * (int64_t)chunk[i] : INT64_MAX;
    }
    return bytes;
}

/* A file cannot hold more values than it is long enough for: HDF5 would fill in zeros for those
 * that were never written, and make room for a whole chunk, however much that is. */
static mt_status check_stored(const mt_hdf5_reader *reader, const char *name, hid_t dataset,
                              int64_t bytes, int64_t size)
{
    hid_t properties = H5Dget_create_plist(dataset);
    int64_t expansion = 1, chunk = chunk_bytes(properties, size);
    hsize_t stored = H5Dget_storage_size(dataset);
    mt_status status = check_filters(reader->path, name, properties, &expansion);
    H5Pclose(properties);
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

static mt_status find_shape(const mt_hdf5_reader *reader, const char *name, hid_t dataset,
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

static mt_status describe(const mt_hdf5_reader *reader, const char *name, hid_t dataset,
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

mt_status mt_hdf5_answer_shape(const mt_hdf5_reader *reader, const mt_question *question,
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

/* The bytes of a dataset's chunks, as its cache holds them, or 0 where they are not packed. */
static int64_t packed_chunk_bytes(hid_t dataset)
{
    hid_t properties = H5Dget_create_plist(dataset), type = H5Dget_type(dataset);
    int64_t bytes =
        H5Pget_nfilters(properties) > 0 ? chunk_bytes(properties, (int64_t)H5Tget_size(type)) : 0;
    H5Tclose(type);
    H5Pclose(properties);
    return bytes;
}

void mt_hdf5_keep(mt_hdf5_reader *reader, const mt_question *question)
{
    const int64_t usual = 1 << 20, most = 1 << 28; /* bytes of chunks that HDF5 keeps */
    char path[MT_PATH_IN_FILE];
    mt_status status;
    if (reader->kept >= 0) {
        if (strcmp(mt_hdf5_join(path, question->group, question->name), reader->kept_path) == 0) {
            return;
        }
        H5Dclose(reader->kept);
    }
    reader->has_checked = false;
    reader->kept = open_dataset(reader, question, &status);
    if (reader->kept < 0) {
        return;
    }
    mt_hdf5_join(reader->kept_path, question->group, question->name);
    int64_t chunk = packed_chunk_bytes(reader->kept);
    if (chunk > usual && chunk <= most) {
        H5Dclose(reader->kept);
        hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
        H5Pset_chunk_cache(access, H5D_CHUNK_CACHE_NSLOTS_DEFAULT, (size_t)chunk,
                           H5D_CHUNK_CACHE_W0_DEFAULT);
        reader->kept = H5Dopen2(reader->file, reader->kept_path, access);
        H5Pclose(access);
    }
}

/* Columns of rows of a matrix, as mt_hdf5_select_rows has all of them. */
static hid_t select_columns(hid_t dataset, const mt_question *question, hid_t *in_memory)
{
    const hsize_t start[2] = {(hsize_t)question->first, (hsize_t)question->first_column};
    const hsize_t count[2] = {(hsize_t)question->rows, (hsize_t)question->columns};
    hid_t space = H5Dget_space(dataset);
    if (H5Sget_simple_extent_ndims(space) == 2) {
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    }
    *in_memory = H5Screate_simple(2, count, NULL);
    return space;
}

mt_status mt_hdf5_answer_rows(const mt_hdf5_reader *reader, const mt_question *question,
                              mt_answer *answer)
{
    mt_status status;
    hid_t dataset = open_dataset(reader, question, &status), in_memory;
    (void)answer;
    if (dataset < 0) {
        return status;
    }
    hid_t space = question->columns > 0
                      ? select_columns(dataset, question, &in_memory)
                      : mt_hdf5_select_rows(dataset, question->first, question->rows, &in_memory);
    hssize_t values = H5Sget_select_npoints(in_memory);
    if (values < 0 || (size_t)values != question->bytes / mt_dtype_size(question->dtype)) {
        status =
            mt_fail(MT_ERROR_FORMAT, "%s: %s: its shape has changed", reader->path, question->name);
    } else if (!mt_hdf5_read_chunk(reader, question) &&
               H5Dread(dataset, mt_hdf5_type(question->dtype), in_memory, space, H5P_DEFAULT,
                       question->values) < 0) {
        status = mt_hdf5_fail(reader->path, "%s: its values", question->name);
    }
    H5Sclose(space);
    H5Sclose(in_memory);
    H5Dclose(dataset);
    return status;
}
