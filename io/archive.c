#include "io/archive.h"

#include "io/file.h"

#include <errno.h>
#include <hdf5.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 512 };

struct mt_archive {
    hid_t file;
    int64_t size;        /* bytes, of a file that is read */
    void *image;         /* of a file that is being written: its bytes, once HDF5 has closed it */
    H5E_auto2_t printer; /* the program's own, put back when the archive is closed */
    void *printer_data;
    char path[PATH_MAX];
};

mt_status mt_archive_fail(const mt_archive *archive, const char *object, const char *format, ...)
{
    char text[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return mt_fail(MT_ERROR_FORMAT, "%s: %s: %s", archive->path, object, text);
}

/* An archive that has no file yet, with HDF5's own printing off. */
static mt_status new_archive(const char *path, mt_archive **archive)
{
    *archive = calloc(1, sizeof **archive);
    if (*archive == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof **archive);
    }
    snprintf((*archive)->path, sizeof(*archive)->path, "%s", path);
    (*archive)->file = H5I_INVALID_HID;
    H5Eget_auto2(H5E_DEFAULT, &(*archive)->printer, &(*archive)->printer_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return MT_OK;
}

void mt_archive_close(mt_archive *archive)
{
    if (archive == NULL) {
        return;
    }
    if (archive->file >= 0) {
        H5Fclose(archive->file);
    }
    H5Eset_auto2(H5E_DEFAULT, archive->printer, archive->printer_data);
    free(archive->image);
    free(archive);
}

/* HDF5 keeps a file in memory in a buffer that these allocate; when the file is closed, and the
 * buffer is whole, it is handed over instead of freed. */
static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *archive)
{
    (void)op;
    (void)archive;
    return malloc(size);
}

static void *image_realloc(void *image, size_t size, H5FD_file_image_op_t op, void *archive)
{
    (void)op;
    (void)archive;
    return realloc(image, size);
}

static herr_t image_free(void *image, H5FD_file_image_op_t op, void *archive)
{
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE) {
        free(((mt_archive *)archive)->image);
        ((mt_archive *)archive)->image = image;
    } else {
        free(image);
    }
    return 0;
}

static void *share_archive(void *archive)
{
    return archive;
}

static herr_t keep_archive(void *archive)
{
    (void)archive;
    return 0;
}

/* In the file format of HDF5 1.8, whose metadata have checksums and whose attributes can be of any
 * size, and which every program in use reads. Nothing in it has a time: the same model gives the same
 * bytes. */
static hid_t create_in_memory(mt_archive *archive)
{
    const size_t increment = (size_t)1 << 20;
    H5FD_file_image_callbacks_t callbacks = {.image_malloc = image_malloc,
                                             .image_realloc = image_realloc,
                                             .image_free = image_free,
                                             .udata_copy = share_archive,
                                             .udata_free = keep_archive,
                                             .udata = archive};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = H5I_INVALID_HID;
    if (H5Pset_fapl_core(access, increment, 0) >= 0 &&
        H5Pset_file_image_callbacks(access, &callbacks) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
        H5Pset_attr_phase_change(creation, 0, 0) >= 0 &&
        H5Pset_obj_track_times(creation, false) >= 0) {
        /* A name that no file can have: HDF5 would read an old file before it makes a new one. */
        file = H5Fcreate("/dev/null/in-memory", H5F_ACC_TRUNC, creation, access);
    }
    H5Pclose(access);
    H5Pclose(creation);
    return file;
}

mt_status mt_archive_create(const char *path, mt_archive **archive)
{
    if (mt_is_safetensors(path)) {
        *archive = NULL;
        return mt_fail(MT_ERROR_INVALID, "%s: this file is HDF5; give it another name", path);
    }
    mt_status status = new_archive(path, archive);
    if (status != MT_OK) {
        return status;
    }
    (*archive)->file = create_in_memory(*archive);
    if ((*archive)->file < 0) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: HDF5 cannot make a file in memory", path);
        mt_archive_close(*archive);
        *archive = NULL;
    }
    return status;
}

/* The length of a whole file in memory, whose buffer is longer: the end-of-file address in its
 * superblock, at byte 28 of version 2 (HDF5 File Format Specification, II.A). */
static uint64_t image_length(const unsigned char *image)
{
    enum { END_OF_FILE = 28 };
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | image[END_OF_FILE + i];
    }
    return length;
}

mt_status mt_archive_commit(mt_archive *archive)
{
    hsize_t size = 0;
    bool whole = H5Fflush(archive->file, H5F_SCOPE_GLOBAL) >= 0 &&
                 H5Fget_filesize(archive->file, &size) >= 0 && H5Fclose(archive->file) >= 0;
    archive->file = H5I_INVALID_HID;
    if (!whole || archive->image == NULL || image_length(archive->image) > size) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for the file", archive->path);
    }
    return mt_file_replace(archive->path, archive->image, (size_t)image_length(archive->image));
}

mt_status mt_archive_open(const char *path, mt_archive **archive)
{
    struct stat info;
    *archive = NULL;
    if (stat(path, &info) != 0 || access(path, R_OK) != 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        return mt_fail(MT_ERROR_IO, "%s: not a regular file", path);
    }
    mt_status status = new_archive(path, archive);
    if (status != MT_OK) {
        return status;
    }
    (*archive)->size = (int64_t)info.st_size;
    (*archive)->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if ((*archive)->file < 0) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: not an HDF5 file, or a damaged one, of %lld bytes",
                         path, (long long)info.st_size);
        mt_archive_close(*archive);
        *archive = NULL;
    }
    return status;
}

/* "/model" and "embed.weight" make "/model/embed.weight". */
static const char *join(char path[NAME_MAX_BYTES], const char *group, const char *name)
{
    snprintf(path, NAME_MAX_BYTES, "%s%s%s", group, group[1] == '\0' ? "" : "/", name);
    return path;
}

mt_status mt_archive_write_group(mt_archive *archive, const char *group)
{
    hid_t properties = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_attr_phase_change(properties, 0, 0);
    H5Pset_obj_track_times(properties, false);
    hid_t made = H5Gcreate2(archive->file, group, H5P_DEFAULT, properties, H5P_DEFAULT);
    H5Pclose(properties);
    if (made < 0) {
        return mt_archive_fail(archive, group, "HDF5 cannot make the group");
    }
    H5Gclose(made);
    return MT_OK;
}

/* ---- arrays ---- */

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
static hid_t array_properties(mt_dtype dtype, int rank, const int64_t *shape)
{
    const int64_t chunk_bytes = 16 << 20;
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    if (rank > 0) {
        hsize_t chunk[4];
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
    H5Pset_obj_track_times(properties, false);
    return properties;
}

static hid_t array_space(int rank, const int64_t *shape)
{
    hsize_t dims[4];
    for (int i = 0; i < rank; i++) {
        dims[i] = (hsize_t)shape[i];
    }
    return rank > 0 ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
}

mt_status mt_archive_write_array(mt_archive *archive, const char *group, const char *name,
                                 mt_dtype dtype, int rank, const int64_t *shape, const void *data)
{
    char path[NAME_MAX_BYTES];
    hid_t space = array_space(rank, shape), properties = array_properties(dtype, rank, shape);
    hid_t dataset = H5Dcreate2(archive->file, join(path, group, name), file_type(dtype), space,
                               H5P_DEFAULT, properties, H5P_DEFAULT);
    bool whole = dataset >= 0 &&
                 H5Dwrite(dataset, memory_type(dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    if (dataset >= 0) {
        whole = H5Dclose(dataset) >= 0 && whole;
    }
    H5Pclose(properties);
    H5Sclose(space);
    return whole ? MT_OK
                 : mt_fail(MT_ERROR_MEMORY, "%s: %s: no memory to write it", archive->path, name);
}

/* The element type of a dataset, if it is one of ours. Integers of any width are read as int32:
 * those beyond its range are clipped to its ends, which no index reaches. */
static bool parse_type(hid_t dataset, mt_dtype *dtype)
{
    hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    size_t size = H5Tget_size(type);
    H5Tclose(type);
    *dtype = class == H5T_INTEGER ? MT_I32 : size == sizeof(float) ? MT_F32 : MT_F64;
    return class == H5T_INTEGER || (class == H5T_FLOAT && size == mt_dtype_size(*dtype));
}

static mt_status inspect(mt_archive *archive, const char *name, hid_t dataset, mt_dtype *dtype,
                         int *rank, int64_t shape[4])
{
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    *rank = H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    if (!parse_type(dataset, dtype)) {
        return mt_archive_fail(archive, name, "neither 32-bit nor 64-bit floats nor integers");
    }
    if (*rank < 0 || *rank > 4) {
        return mt_archive_fail(archive, name, "%d dimensions, at most 4", *rank);
    }
    hsize_t count = 1; /* so many that no product with an element's size overflows */
    for (int i = 0; i < *rank; i++) {
        if (dims[i] > INT64_MAX / 16 / count) {
            return mt_archive_fail(archive, name, "dimension %d is %llu", i,
                                   (unsigned long long)dims[i]);
        }
        shape[i] = (int64_t)dims[i];
        count *= dims[i] > 0 ? dims[i] : 1;
    }
    return MT_OK;
}

static mt_status open_dataset(mt_archive *archive, const char *group, const char *name,
                              hid_t *dataset)
{
    char path[NAME_MAX_BYTES];
    *dataset = H5Dopen2(archive->file, join(path, group, name), H5P_DEFAULT);
    return *dataset >= 0 ? MT_OK : mt_archive_fail(archive, name, "missing, or not a dataset");
}

mt_status mt_archive_inspect_array(mt_archive *archive, const char *group, const char *name,
                                   mt_dtype *dtype, int *rank, int64_t shape[4])
{
    hid_t dataset;
    mt_status status = open_dataset(archive, group, name, &dataset);
    if (status == MT_OK) {
        status = inspect(archive, name, dataset, dtype, rank, shape);
        H5Dclose(dataset);
    }
    return status;
}

static const char *shape_text(int rank, const int64_t *shape, char text[96])
{
    int used = snprintf(text, 96, "(");
    for (int i = 0; i < rank && used < 90; i++) {
        used +=
            snprintf(text + used, (size_t)(96 - used), "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    }
    snprintf(text + used, (size_t)(96 - used), ")");
    return text;
}

/* How many bytes one stored byte can stand for: deflate's limit where a dataset is compressed. */
static int64_t most_expansion(hid_t properties)
{
    int filters = H5Pget_nfilters(properties);
    for (int i = 0; i < filters; i++) {
        unsigned flags;
        size_t parameters = 0;
        H5Z_filter_t filter =
            H5Pget_filter2(properties, (unsigned)i, &flags, &parameters, NULL, 0, NULL, NULL);
        if (filter != H5Z_FILTER_FLETCHER32 && filter != H5Z_FILTER_SHUFFLE) {
            return 1032;
        }
    }
    return 1;
}

/* Whether the file is long enough for what a dataset claims to be: HDF5 would fill in zeros for
 * what was never written, however much that is. */
static mt_status check_stored(mt_archive *archive, const char *name, hid_t dataset, int64_t bytes)
{
    hid_t properties = H5Dget_create_plist(dataset);
    int64_t expansion = most_expansion(properties);
    bool external = H5Pget_external_count(properties) > 0;
    hsize_t stored = H5Dget_storage_size(dataset);
    H5Pclose(properties);
    if (external) {
        return mt_archive_fail(archive, name, "its bytes are in another file");
    }
    if (stored > (hsize_t)archive->size || (int64_t)stored < bytes / expansion) {
        return mt_archive_fail(archive, name,
                               "%" PRIu64 " bytes stored in a file of %" PRId64
                               " bytes, for %" PRId64 " bytes of values",
                               (uint64_t)stored, archive->size, bytes);
    }
    return MT_OK;
}

static mt_status check_array(mt_archive *archive, const char *name, hid_t dataset, mt_dtype dtype,
                             int rank, const int64_t *shape)
{
    mt_dtype found_dtype;
    int found_rank;
    int64_t found[4];
    mt_status status = inspect(archive, name, dataset, &found_dtype, &found_rank, found);
    if (status != MT_OK) {
        return status;
    }
    if (found_dtype != dtype) {
        return mt_archive_fail(archive, name, "type %s, expected %s", mt_dtype_name(found_dtype),
                               mt_dtype_name(dtype));
    }
    if (found_rank != rank ||
        (rank > 0 && memcmp(found, shape, (size_t)rank * sizeof *shape) != 0)) {
        char is[96], wanted[96];
        return mt_archive_fail(archive, name, "shape %s, expected %s",
                               shape_text(found_rank, found, is), shape_text(rank, shape, wanted));
    }
    int64_t bytes = (int64_t)mt_dtype_size(dtype);
    for (int i = 0; i < rank; i++) {
        bytes *= shape[i];
    }
    return check_stored(archive, name, dataset, bytes);
}

mt_status mt_archive_check_array(mt_archive *archive, const char *group, const char *name,
                                 mt_dtype dtype, int rank, const int64_t *shape)
{
    hid_t dataset;
    mt_status status = open_dataset(archive, group, name, &dataset);
    if (status == MT_OK) {
        status = check_array(archive, name, dataset, dtype, rank, shape);
        H5Dclose(dataset);
    }
    return status;
}

mt_status mt_archive_read_array(mt_archive *archive, const char *group, const char *name,
                                mt_dtype dtype, int rank, const int64_t *shape, void *data)
{
    hid_t dataset;
    mt_status status = open_dataset(archive, group, name, &dataset);
    if (status != MT_OK) {
        return status;
    }
    status = check_array(archive, name, dataset, dtype, rank, shape);
    if (status == MT_OK &&
        H5Dread(dataset, memory_type(dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        status = mt_archive_fail(archive, name, "its bytes are damaged, or missing");
    }
    H5Dclose(dataset);
    return status;
}

typedef struct visiting {
    mt_archive *archive;
    mt_status (*visit)(mt_archive *archive, const char *name, void *context);
    void *context;
    mt_status status;
} visiting;

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    visiting *visitor = context;
    (void)group;
    visitor->status = info->type == H5L_TYPE_HARD
                          ? visitor->visit(visitor->archive, name, visitor->context)
                          : mt_archive_fail(visitor->archive, name, "a link to somewhere else");
    return visitor->status == MT_OK ? 0 : 1;
}

mt_status mt_archive_visit(mt_archive *archive, const char *group,
                           mt_status (*visit)(mt_archive *archive, const char *name, void *context),
                           void *context)
{
    visiting all = {archive, visit, context, MT_OK};
    herr_t result = H5Literate_by_name(archive->file, group, H5_INDEX_NAME, H5_ITER_INC, NULL,
                                       visit_link, &all, H5P_DEFAULT);
    if (result < 0) {
        return mt_archive_fail(archive, group, "missing, or not a group");
    }
    return all.status;
}

bool mt_archive_has(mt_archive *archive, const char *name)
{
    return H5Lexists(archive->file, name, H5P_DEFAULT) > 0;
}

/* ---- attributes ---- */

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

static mt_status check_format(mt_archive *archive, int count, const char *const *formats,
                              int64_t version, int *which)
{
    char *format;
    int64_t found;
    mt_status status = mt_archive_read_text(archive, "/", "format", &format);
    if (status != MT_OK) {
        return status;
    }
    int index = 0;
    while (index < count && strcmp(format, formats[index]) != 0) {
        index++;
    }
    if (index == count) {
        status = mt_archive_fail(archive, "/", "format '%.64s', expected %s%s%s", format,
                                 formats[0], count > 1 ? " or " : "", count > 1 ? formats[1] : "");
    }
    free(format);
    if (status == MT_OK) {
        status = mt_archive_read_int(archive, "/", "version", &found);
    }
    if (status == MT_OK && found != version) {
        status = mt_archive_fail(archive, "/", "version %" PRId64 ", this program reads %" PRId64,
                                 found, version);
    }
    if (which != NULL) {
        *which = index;
    }
    return status;
}

mt_status mt_archive_open_format(const char *path, int format_count, const char *const *formats,
                                 int64_t version, int *which, mt_archive **archive)
{
    mt_status status = mt_archive_open(path, archive);
    if (status == MT_OK) {
        status = check_format(*archive, format_count, formats, version, which);
        if (status != MT_OK) {
            mt_archive_close(*archive);
            *archive = NULL;
        }
    }
    return status;
}
