/* Arrays that are written: datasets of an archive. */
#include "io/archive_internal.h"
#include "io/arrays.h"
#include "io/hdf5_library.h"

#include <math.h>
#include <string.h>

static hid_t file_type(mt_dtype dtype)
{
    return dtype == MT_F32 ? H5T_IEEE_F32LE : dtype == MT_F64 ? H5T_IEEE_F64LE : H5T_STD_I32LE;
}

/* Chunks are of whole rows, of some megabytes: what a checksum is computed over. A scalar, which
 * HDF5 gives no chunks, is a row too. */
static void find_chunks(mt_begun_array *array, mt_dtype dtype, int rank, const int64_t *shape)
{
    array->dtype = dtype;
    array->rank = rank;
    array->rows = rank > 0 ? shape[0] : 1;
    array->row_bytes = (int64_t)mt_dtype_size(dtype);
    for (int i = 1; i < rank; i++) {
        array->row_bytes *= shape[i];
    }
    array->chunk_rows = mt_piece_rows(array->rows, array->row_bytes);
    array->next = 0;
}

static bool set_chunks(hid_t properties, const mt_begun_array *array, const int64_t *shape)
{
    hsize_t chunk[MT_MAX_RANK] = {(hsize_t)array->chunk_rows};
    for (int i = 1; i < array->rank; i++) {
        chunk[i] = (hsize_t)shape[i];
    }
    return H5Pset_chunk(properties, array->rank, chunk) >= 0 && H5Pset_fletcher32(properties) >= 0;
}

/* A scalar, which HDF5 gives no Fletcher-32, is kept in the dataset's header, which has a checksum
 * of its own. What HDF5 finds no values for it fills in: with values that no reader takes for
 * weights. */
static bool set_properties(hid_t properties, const mt_begun_array *array, const int64_t *shape)
{
    const double missing = NAN;
    bool set = array->rank > 0 ? set_chunks(properties, array, shape)
                               : H5Pset_layout(properties, H5D_COMPACT) >= 0;
    if (set && array->dtype != MT_I32) {
        set = H5Pset_fill_value(properties, H5T_NATIVE_DOUBLE, &missing) >= 0;
    }
    return set && H5Pset_obj_track_times(properties, false) >= 0;
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
    char path[MT_PATH_IN_FILE];
    mt_begun_array *array = &archive->array;
    mt_archive_end_array(archive);
    if (!mt_archive_can_go_on(archive)) {
        return;
    }
    find_chunks(array, dtype, rank, shape);
    hid_t space = array_space(rank, shape), properties = H5Pcreate(H5P_DATASET_CREATE);
    if (set_properties(properties, array, shape)) {
        array->dataset = H5Dcreate2(archive->file, mt_hdf5_join(path, group, name),
                                    file_type(dtype), space, H5P_DEFAULT, properties, H5P_DEFAULT);
    }
    if (array->dataset < 0) {
        mt_archive_lacks_memory(archive, name);
    }
    H5Pclose(properties);
    H5Sclose(space);
}

/* What a chunk holds behind the array's last row. */
static void fill_missing(mt_dtype dtype, void *values, int64_t bytes)
{
    const int64_t size = (int64_t)mt_dtype_size(dtype);
    for (int64_t i = 0; i < bytes / size; i++) {
        if (dtype == MT_F64) {
            ((double *)values)[i] = NAN;
        } else if (dtype == MT_F32) {
            ((float *)values)[i] = NAN;
        } else {
            ((int32_t *)values)[i] = 0;
        }
    }
}

void *mt_archive_next_rows(mt_archive *archive, int64_t *first, int64_t *rows)
{
    const mt_begun_array *array = &archive->array;
    if (!mt_archive_can_go_on(archive) || array->next == array->rows) {
        return NULL;
    }
    int64_t left = array->rows - array->next;
    *first = array->next;
    *rows = left < array->chunk_rows ? left : array->chunk_rows;
    char *values = mt_chunks_add(archive->chunks, (size_t)(array->chunk_rows * array->row_bytes));
    if (values == NULL) {
        mt_archive_lacks_memory(archive, "an array");
        return NULL;
    }
    fill_missing(array->dtype, values + *rows * array->row_bytes,
                 (array->chunk_rows - *rows) * array->row_bytes);
    return values;
}

mt_chunk_sum *mt_archive_rows_sum(mt_archive *archive)
{
    return &mt_chunks_last(archive->chunks)->sum;
}

bool mt_archive_keeps_rows(const mt_archive *archive)
{
    return archive->saver != NULL && archive->array.rank > 0; /* HDF5 copies a scalar */
}

/* Lets HDF5 find a place for the last chunk. */
static bool place_chunk(mt_archive *archive)
{
    const hsize_t offset[MT_MAX_RANK] = {(hsize_t)archive->array.next};
    const mt_chunk *chunk = mt_chunks_last(archive->chunks);
    return H5Dwrite_chunk(archive->array.dataset, H5P_DEFAULT, 0, offset, chunk->size,
                          chunk->bytes) >= 0 &&
           chunk->placed;
}

static bool write_scalar(mt_archive *archive)
{
    const char *value = mt_chunks_last(archive->chunks)->bytes;
    bool written = H5Dwrite(archive->array.dataset, mt_hdf5_type(archive->array.dtype), H5S_ALL,
                            H5S_ALL, H5P_DEFAULT, value) >= 0;
    mt_chunks_drop(archive->chunks);
    return written;
}

/* While the last chunk is written the next one is filled. */
static void write_behind(mt_archive *archive)
{
    mt_chunks *other = archive->chunks == archive->own ? archive->own + 1 : archive->own;
    mt_archive_keep(archive, mt_chunks_write_last_behind(archive->chunks, archive->target));
    archive->chunks = other;
    mt_chunks_empty(other);
}

void mt_archive_write_rows(mt_archive *archive)
{
    mt_begun_array *array = &archive->array;
    if (!mt_archive_can_go_on(archive)) {
        return;
    }
    if (!(array->rank > 0 ? place_chunk(archive) : write_scalar(archive))) {
        mt_archive_lacks_memory(archive, "an array");
        return;
    }
    array->next += array->chunk_rows < array->rows - array->next ? array->chunk_rows
                                                                 : array->rows - array->next;
    if (archive->saver == NULL && array->rank > 0) {
        write_behind(archive);
    }
}

void mt_archive_write_array(mt_archive *archive, const char *group, const char *name,
                            mt_dtype dtype, int rank, const int64_t *shape, const void *values)
{
    int64_t first, rows;
    void *next;
    mt_archive_begin_array(archive, group, name, dtype, rank, shape);
    while ((next = mt_archive_next_rows(archive, &first, &rows)) != NULL) {
        int64_t row_bytes = archive->array.row_bytes;
        memcpy(next, (const char *)values + first * row_bytes, (size_t)(rows * row_bytes));
        mt_archive_write_rows(archive);
    }
}
