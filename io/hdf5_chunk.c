/* Rows that are one chunk, straight from the file: HDF5 would sum the chunk, a third as fast as we
 * do, and copy it. */
#include "io/fletcher32.h"
#include "io/hdf5_reader.h"

#include <string.h>
#include <sys/uio.h>

/* Tells if a chunk is all of the question's rows. */
static bool is_chunk(hid_t dataset, hid_t properties, const mt_question *question)
{
    hsize_t chunk[MT_MAX_RANK], shape[MT_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    int rank = H5Sget_simple_extent_ndims(space);
    bool whole = rank > 0 && rank <= MT_MAX_RANK && question->columns == 0 &&
                 H5Pget_layout(properties) == H5D_CHUNKED &&
                 H5Pget_chunk(properties, MT_MAX_RANK, chunk) == rank &&
                 H5Sget_simple_extent_dims(space, shape, NULL) == rank &&
                 chunk[0] == (hsize_t)question->rows && question->first % question->rows == 0;
    for (int i = 1; i < rank && whole; i++) {
        whole = chunk[i] == shape[i];
    }
    H5Sclose(space);
    return whole;
}

/* Tells if chunks are values of the type that is asked for with a checksum behind them. */
static bool is_plain(hid_t dataset, hid_t properties, const mt_question *question)
{
    unsigned flags;
    size_t parameters = 0;
    hid_t type = H5Dget_type(dataset);
    bool plain = H5Tequal(type, mt_hdf5_type(question->dtype)) > 0 &&
                 H5Pget_nfilters(properties) == 1 &&
                 H5Pget_filter2(properties, 0, &flags, &parameters, NULL, 0, NULL, NULL) ==
                     H5Z_FILTER_FLETCHER32;
    H5Tclose(type);
    return plain;
}

/* Places count from behind a user's block, if a file begins with one. */
static bool begins_at_zero(hid_t file)
{
    hsize_t block = 0;
    hid_t properties = H5Fget_create_plist(file);
    bool known = H5Pget_userblock(properties, &block) >= 0;
    H5Pclose(properties);
    return known && block == 0;
}

/* Where the chunk lies, of which HDF5 knows; false where it is not what was found above. */
static bool find_place(const mt_hdf5_reader *reader, const mt_question *question, haddr_t *place)
{
    const hsize_t offset[MT_MAX_RANK] = {(hsize_t)question->first};
    unsigned skipped_filters = 0;
    hsize_t size = 0, bytes = question->bytes + MT_CHECKSUM_BYTES;
    return begins_at_zero(reader->file) &&
           H5Dget_chunk_info_by_coord(reader->kept, offset, &skipped_filters, place, &size) >= 0 &&
           skipped_filters == 0 && size == bytes && bytes <= (hsize_t)reader->size &&
           *place <= (hsize_t)reader->size - bytes;
}

static bool read_place(const mt_hdf5_reader *reader, haddr_t place, const mt_question *question)
{
    char kept[MT_CHECKSUM_BYTES], sum[MT_CHECKSUM_BYTES];
    const struct iovec parts[] = {{question->values, question->bytes}, {kept, sizeof kept}};
    const ssize_t size = (ssize_t)(question->bytes + sizeof kept);
    int *file = NULL;
    if (H5Fget_vfd_handle(reader->file, H5P_DEFAULT, (void **)&file) < 0 ||
        preadv(*file, parts, 2, (off_t)place) != size) {
        return false;
    }
    mt_fletcher32_bytes(question->values, question->bytes, sum);
    return memcmp(kept, sum, sizeof sum) == 0;
}

bool mt_hdf5_read_chunk(const mt_hdf5_reader *reader, const mt_question *question)
{
    haddr_t place;
    if (reader->kept < 0 || question->rows <= 0) {
        return false;
    }
    hid_t properties = H5Dget_create_plist(reader->kept);
    bool found = is_chunk(reader->kept, properties, question) &&
                 is_plain(reader->kept, properties, question) &&
                 find_place(reader, question, &place);
    H5Pclose(properties);
    return found && read_place(reader, place, question);
}
