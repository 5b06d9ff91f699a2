/* Arrays: datasets of an archive. */
#include <mixtape/tensor.h>

#include "io/archive_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PATH_MAX_BYTES = 512 }; /* of an object within the file */

/* "/model" and "embed.weight" make "/model/embed.weight". */
static const char *join(char path[PATH_MAX_BYTES], const char *group, const char *name)
{
    snprintf(path, PATH_MAX_BYTES, "%s%s%s", group, group[1] == '\0' ? "" : "/", name);
    return path;
}

static hid_t file_type(mt_dtype dtype)
{
    return dtype == MT_F32 ? H5T_IEEE_F32LE : dtype == MT_F64 ? H5T_IEEE_F64LE : H5T_STD_I32LE;
}

static hid_t memory_type(mt_dtype dtype)
{
    return dtype == MT_F32   ? H5T_NATIVE_FLOAT
           : dtype == MT_F64 ? H5T_NATIVE_DOUBLE
                             : H5T_NATIVE_INT32;
}

/* Chunks of whole rows, of some megabytes: what a checksum is computed over. */
static void set_chunks(hid_t properties, mt_dtype dtype, int rank, const int64_t *shape)
{
    const int64_t chunk_bytes = 16 << 20;
    hsize_t chunk[MT_MAX_RANK];
    int64_t row_bytes = (int64_t)mt_dtype_size(dtype);
    for (int i = 1; i < rank; i++) {
        chunk[i] = (hsize_t)shape[i];
        row_bytes *= shape[i];
    }
    int64_t rows = row_bytes < chunk_bytes ? chunk_bytes / row_bytes : 1;
    chunk[0] = (hsize_t)(rows < shape[0] ? rows : shape[0]);
    H5Pset_chunk(properties, rank, chunk);
    H5Pset_fletcher32(properties);
}

/* A scalar, which HDF5 gives no Fletcher-32, is kept in the dataset's header, which has a checksum
 * of its own. What HDF5 finds no values for it fills in: with values that no reader takes for
 * weights. */
static hid_t array_properties(mt_dtype dtype, int rank, const int64_t *shape)
{
    const double missing = NAN;
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    if (rank > 0) {
        set_chunks(properties, dtype, rank, shape);
    } else {
        H5Pset_layout(properties, H5D_COMPACT);
    }
    if (dtype != MT_I32) {
        H5Pset_fill_value(properties, H5T_NATIVE_DOUBLE, &missing);
    }
    H5Pset_obj_track_times(properties, false);
    return properties;
}

static hid_t array_space(int rank, const int64_t *shape)
{
    hsize_t dims[MT_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        dims[i] = (hsize_t)shape[i];
    }
    return rank > 0 ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
}

void mt_archive_begin_array(mt_archive *archive, const char *group, const char *name,
                            mt_dtype dtype, int rank, const int64_t *shape)
{
    char path[PATH_MAX_BYTES];
    mt_archive_end_array(archive);
    if (archive->status != MT_OK) {
        return;
    }
    hid_t space = array_space(rank, shape), properties = array_properties(dtype, rank, shape);
    archive->array = H5Dcreate2(archive->file, join(path, group, name), file_type(dtype), space,
                                H5P_DEFAULT, properties, H5P_DEFAULT);
    if (archive->array < 0) {
        mt_archive_lacks_memory(archive, name);
    }
    H5Pclose(properties);
    H5Sclose(space);
}

/* Rows of a dataset: a space of the file, and the one that they have in memory. The caller closes
 * both. */
static hid_t select_rows(hid_t dataset, int64_t first, int64_t rows, hid_t *in_memory)
{
    hsize_t dims[H5S_MAX_RANK], start[H5S_MAX_RANK] = {(hsize_t)first};
    hid_t space = H5Dget_space(dataset);
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    if (rank > 0) {
        dims[0] = (hsize_t)rows;
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, dims, NULL);
    }
    *in_memory = rank > 0 ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    return space;
}

void mt_archive_write_rows(mt_archive *archive, mt_dtype dtype, int64_t first, int64_t rows,
                           const void *values)
{
    hid_t in_memory;
    if (archive->status != MT_OK) {
        return;
    }
    hid_t space = select_rows(archive->array, first, rows, &in_memory);
    if (H5Dwrite(archive->array, memory_type(dtype), in_memory, space, H5P_DEFAULT, values) < 0) {
        mt_archive_lacks_memory(archive, "an array");
    }
    H5Sclose(space);
    H5Sclose(in_memory);
}

/* The element type of a dataset, as it is read, and the bytes of an element in the file. HDF5
 * widens floats of 16 bits, IEEE's and bfloat16, and narrows integers of any width to int32: those
 * beyond its range are clipped to its ends, which no index reaches. */
static bool parse_type(hid_t dataset, mt_dtype *dtype, size_t *size)
{
    hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    *size = H5Tget_size(type);
    H5Tclose(type);
    *dtype = class == H5T_INTEGER ? MT_I32 : *size == sizeof(double) ? MT_F64 : MT_F32;
    return class == H5T_INTEGER ||
           (class == H5T_FLOAT && (*size == 2 || *size == mt_dtype_size(*dtype)));
}

static void inspect(mt_archive *archive, const char *name, hid_t dataset, mt_dtype *dtype,
                    int *rank, int64_t shape[MT_MAX_RANK])
{
    hsize_t dims[H5S_MAX_RANK];
    size_t size;
    hid_t space = H5Dget_space(dataset);
    *rank = H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    if (!parse_type(dataset, dtype, &size)) {
        mt_archive_fail(archive, name, "neither floats of 16, 32 or 64 bits nor integers");
    } else if (*rank < 0 || *rank > MT_MAX_RANK) {
        mt_archive_fail(archive, name, "%d dimensions, at most %d", *rank, MT_MAX_RANK);
    }
    hsize_t count = 1; /* so many that no product with an element's size overflows */
    for (int i = 0; i < *rank && archive->status == MT_OK; i++) {
        if (dims[i] > INT64_MAX / 16 / count) {
            mt_archive_fail(archive, name, "dimension %d is %llu", i, (unsigned long long)dims[i]);
        }
        shape[i] = (int64_t)dims[i];
        count *= dims[i] > 0 ? dims[i] : 1;
    }
}

/* A negative number where it fails. Nothing is opened that a link would lead to elsewhere. */
static hid_t open_dataset(mt_archive *archive, const char *group, const char *name)
{
    char path[PATH_MAX_BYTES];
    if (!mt_archive_follows(archive, group) ||
        !mt_archive_follows(archive, join(path, group, name))) {
        return H5I_INVALID_HID;
    }
    hid_t dataset = H5Dopen2(archive->file, join(path, group, name), H5P_DEFAULT);
    if (dataset < 0) {
        mt_archive_fail(archive, name, "missing, or not a dataset");
    }
    return dataset;
}

void mt_archive_inspect_array(mt_archive *archive, const char *group, const char *name,
                              mt_dtype *dtype, int *rank, int64_t shape[MT_MAX_RANK])
{
    hid_t dataset = open_dataset(archive, group, name);
    if (dataset >= 0) {
        inspect(archive, name, dataset, dtype, rank, shape);
        H5Dclose(dataset);
    }
}

static const char *shape_text(int rank, const int64_t *shape, char text[96])
{
    mt_tensor tensor = {.rank = rank};
    memcpy(tensor.shape, shape, (size_t)rank * sizeof *shape);
    return mt_tensor_shape_text(&tensor, text, 96);
}

/* Refuses filters but deflate and Fletcher-32, and either of them twice. Returns the most bytes
 * that one stored byte can stand for. */
static int64_t check_filters(mt_archive *archive, const char *name, hid_t properties)
{
    const int64_t most_by_deflate = 1032;
    int deflates = 0, checksums = 0, count = H5Pget_nfilters(properties);
    for (int i = 0; i < count; i++) {
        unsigned flags;
        size_t parameters = 0;
        H5Z_filter_t filter =
            H5Pget_filter2(properties, (unsigned)i, &flags, &parameters, NULL, 0, NULL, NULL);
        deflates += filter == H5Z_FILTER_DEFLATE;
        checksums += filter == H5Z_FILTER_FLETCHER32;
    }
    if (count > deflates + checksums || deflates > 1 || checksums > 1) {
        mt_archive_fail(archive, name,
                        "%d filters, where deflate and Fletcher-32 may be, each once", count);
    }
    return deflates > 0 ? most_by_deflate : 1;
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
static void check_stored(mt_archive *archive, const char *name, hid_t dataset, int64_t bytes,
                         int64_t size)
{
    hid_t properties = H5Dget_create_plist(dataset);
    H5D_layout_t layout = H5Pget_layout(properties);
    int64_t expansion = check_filters(archive, name, properties);
    int64_t chunk = chunk_bytes(properties, size);
    bool elsewhere = H5Pget_external_count(properties) > 0 || layout == H5D_VIRTUAL;
    hsize_t stored = H5Dget_storage_size(dataset);
    H5Pclose(properties);
    if (elsewhere) {
        mt_archive_fail(archive, name, "its bytes are in another file");
    } else if (stored > (hsize_t)archive->size || (int64_t)stored < bytes / expansion) {
        mt_archive_fail(archive, name,
                        "%" PRIu64 " bytes stored in a file of %" PRId64 " bytes, for %" PRId64
                        " bytes of values",
                        (uint64_t)stored, archive->size, bytes);
    } else if (chunk / expansion > archive->size) {
        mt_archive_fail(archive, name, "a chunk of %" PRId64 " bytes in a file of %" PRId64, chunk,
                        archive->size);
    }
}

static void check_array(mt_archive *archive, const char *name, hid_t dataset, mt_dtype dtype,
                        int rank, const int64_t *shape)
{
    mt_dtype found_dtype;
    int found_rank;
    int64_t found[MT_MAX_RANK];
    char is[96], wanted[96];
    inspect(archive, name, dataset, &found_dtype, &found_rank, found);
    if (archive->status != MT_OK) {
        return;
    }
    if (found_dtype != dtype) {
        mt_archive_fail(archive, name, "type %s, expected %s", mt_dtype_name(found_dtype),
                        mt_dtype_name(dtype));
    } else if (found_rank != rank ||
               (rank > 0 && memcmp(found, shape, (size_t)rank * sizeof *shape) != 0)) {
        mt_archive_fail(archive, name, "shape %s, expected %s", shape_text(found_rank, found, is),
                        shape_text(rank, shape, wanted));
    } else {
        size_t size = 0;
        parse_type(dataset, &found_dtype, &size);
        int64_t bytes = (int64_t)size;
        for (int i = 0; i < rank; i++) {
            bytes *= shape[i];
        }
        check_stored(archive, name, dataset, bytes, (int64_t)size);
    }
}

void mt_archive_check_array(mt_archive *archive, const char *group, const char *name,
                            mt_dtype dtype, int rank, const int64_t *shape)
{
    hid_t dataset = open_dataset(archive, group, name);
    if (dataset >= 0) {
        check_array(archive, name, dataset, dtype, rank, shape);
        H5Dclose(dataset);
    }
}

void mt_archive_read_rows(mt_archive *archive, const char *group, const char *name, mt_dtype dtype,
                          int64_t first, int64_t rows, void *values)
{
    hid_t dataset = open_dataset(archive, group, name), in_memory;
    if (dataset < 0) {
        return;
    }
    hid_t space = select_rows(dataset, first, rows, &in_memory);
    if (H5Dread(dataset, memory_type(dtype), in_memory, space, H5P_DEFAULT, values) < 0) {
        mt_archive_fail(archive, name, "its bytes are damaged, or missing");
    }
    H5Sclose(space);
    H5Sclose(in_memory);
    H5Dclose(dataset);
}
