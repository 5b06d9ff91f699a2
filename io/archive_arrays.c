/* Arrays that are written: datasets of an archive. */
#include "io/archive_internal.h"
#include "io/hdf5_library.h"

#include <math.h>
#include <stdio.h>

static hid_t file_type(mt_dtype dtype)
{
    return dtype == MT_F32 ? H5T_IEEE_F32LE : dtype == MT_F64 ? H5T_IEEE_F64LE : H5T_STD_I32LE;
}

/* Chunks of whole rows, of some megabytes: what a checksum is computed over. */
static bool set_chunks(hid_t properties, mt_dtype dtype, int rank, const int64_t *shape)
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
    return H5Pset_chunk(properties, rank, chunk) >= 0 && H5Pset_fletcher32(properties) >= 0;
}

/* A scalar, which HDF5 gives no Fletcher-32, is kept in the dataset's header, which has a checksum
 * of its own. What HDF5 finds no values for it fills in: with values that no reader takes for
 * weights. */
static bool set_properties(hid_t properties, mt_dtype dtype, int rank, const int64_t *shape)
{
    const double missing = NAN;
    bool set = rank > 0 ? set_chunks(properties, dtype, rank, shape)
                        : H5Pset_layout(properties, H5D_COMPACT) >= 0;
    if (set && dtype != MT_I32) {
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
    mt_archive_end_array(archive);
    if (!mt_archive_can_go_on(archive)) {
        return;
    }
    hid_t space = array_space(rank, shape), properties = H5Pcreate(H5P_DATASET_CREATE);
    if (set_properties(properties, dtype, rank, shape)) {
        archive->array = H5Dcreate2(archive->file, mt_hdf5_join(path, group, name),
                                    file_type(dtype), space, H5P_DEFAULT, properties, H5P_DEFAULT);
    }
    if (archive->array < 0) {
        mt_archive_lacks_memory(archive, name);
    }
    H5Pclose(properties);
    H5Sclose(space);
}

void mt_archive_write_rows(mt_archive *archive, mt_dtype dtype, int64_t first, int64_t rows,
                           const void *values)
{
    hid_t in_memory;
    if (!mt_archive_can_go_on(archive)) {
        return;
    }
    hid_t space = mt_hdf5_select_rows(archive->array, first, rows, &in_memory);
    if (H5Dwrite(archive->array, mt_hdf5_type(dtype), in_memory, space, H5P_DEFAULT, values) < 0) {
        mt_archive_lacks_memory(archive, "an array");
    }
    H5Sclose(space);
    H5Sclose(in_memory);
}
