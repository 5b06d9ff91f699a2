/* Chunks of a dataset. libhdf5 believes what a file says of them: one that is missing may be what
 * memory held before, and one that unpacks to less than a chunk is read beyond its end. So each is
 * looked at before it is read. And rows that are one chunk are taken as the file has them: HDF5
 * would sum the chunk, a third as fast as we do, and copy it. */
#include "io/fletcher32.h"
#include "io/gunzip.h"
#include "io/hdf5_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* How a dataset lies in chunks. */
typedef struct chunk_layout {
    bool has_chunks;
    int rank;
    hsize_t shape[MT_MAX_RANK], chunk[MT_MAX_RANK];
    size_t bytes;            /* of a chunk's values */
    int deflate, fletcher32; /* their places among the filters, or -1 */
    bool is_of_type;         /* that is asked for */
} chunk_layout;

static void find_filters(hid_t properties, chunk_layout *layout)
{
    layout->deflate = layout->fletcher32 = -1;
    for (int i = 0; i < H5Pget_nfilters(properties); i++) {
        unsigned flags;
        size_t parameters = 0;
        H5Z_filter_t filter =
            H5Pget_filter2(properties, (unsigned)i, &flags, &parameters, NULL, 0, NULL, NULL);
        layout->deflate = filter == H5Z_FILTER_DEFLATE ? i : layout->deflate;
        layout->fletcher32 = filter == H5Z_FILTER_FLETCHER32 ? i : layout->fletcher32;
    }
}

/* False where the dataset has no chunks, or they cannot be told. */
static bool find_layout(hid_t dataset, mt_dtype dtype, chunk_layout *layout)
{
    hid_t properties = H5Dget_create_plist(dataset), space = H5Dget_space(dataset);
    hid_t type = H5Dget_type(dataset);
    layout->rank = H5Sget_simple_extent_ndims(space);
    layout->bytes = H5Tget_size(type);
    layout->is_of_type = H5Tequal(type, mt_hdf5_type(dtype)) > 0;
    layout->has_chunks = H5Pget_layout(properties) == H5D_CHUNKED;
    bool found = layout->has_chunks && layout->rank > 0 && layout->rank <= MT_MAX_RANK &&
                 H5Sget_simple_extent_dims(space, layout->shape, NULL) == layout->rank &&
                 H5Pget_chunk(properties, MT_MAX_RANK, layout->chunk) == layout->rank;
    for (int i = 0; i < layout->rank && found; i++) {
        found = layout->chunk[i] > 0;
        layout->bytes *= (size_t)layout->chunk[i]; /* mt_hdf5_answer_shape has looked at it */
    }
    find_filters(properties, layout);
    H5Tclose(type);
    H5Sclose(space);
    H5Pclose(properties);
    return found;
}

/* ---- each chunk, before it is read ---- */

static mt_status fail_chunk(const mt_hdf5_reader *reader, const mt_question *question,
                            const hsize_t *offset, const char *what)
{
    return mt_fail(MT_ERROR_FORMAT, "%s: %s: its chunk of row %" PRIu64 " %s", reader->path,
                   question->name, (uint64_t)offset[0], what);
}

/* Tells if so many bytes as the file has are a whole chunk, once the filters that its mask does not
 * skip have undone what they did: the last one first. */
static mt_status check_unpacked(const mt_hdf5_reader *reader, const mt_question *question,
                                const chunk_layout *layout, const hsize_t *offset, size_t stored)
{
    uint32_t skipped = 0;
    char *packed = malloc(stored);
    if (packed == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: %s: no memory for a chunk of %zu bytes", reader->path,
                       question->name, stored);
    }
    mt_status status = MT_OK;
    if (H5Dread_chunk(reader->kept, H5P_DEFAULT, offset, &skipped, packed) < 0) {
        status = mt_hdf5_fail(reader->path, "%s: its values", question->name);
    } else {
        bool is_packed = (skipped >> layout->deflate & 1) == 0;
        bool has_sum = layout->fletcher32 >= 0 && (skipped >> layout->fletcher32 & 1) == 0;
        bool is_outside = has_sum && layout->fletcher32 > layout->deflate;
        size_t outside = is_outside ? MT_CHECKSUM_BYTES : 0;
        size_t inside = layout->bytes + (has_sum && !is_outside ? MT_CHECKSUM_BYTES : 0);
        bool is_whole =
            stored >= outside && (is_packed ? mt_inflates_to(packed, stored - outside, inside)
                                            : stored - outside == inside);
        if (!is_whole) {
            status =
                fail_chunk(reader, question, offset, "does not unpack to a whole one: damaged");
        }
    }
    free(packed);
    return status;
}

static bool is_checked(const mt_hdf5_reader *reader, const hsize_t *offset, int rank)
{
    return reader->has_checked &&
           memcmp(reader->checked, offset, (size_t)rank * sizeof *offset) == 0;
}

static mt_status check_chunk(mt_hdf5_reader *reader, const mt_question *question,
                             const chunk_layout *layout, const hsize_t *offset)
{
    hsize_t stored = 0;
    const size_t sum = layout->fletcher32 >= 0 ? MT_CHECKSUM_BYTES : 0;
    mt_status status = MT_OK;
    if (is_checked(reader, offset, layout->rank)) {
        return MT_OK;
    }
    if (H5Dget_chunk_storage_size(reader->kept, offset, &stored) < 0) {
        status = mt_hdf5_fail(reader->path, "%s: its chunk of row %" PRIu64, question->name,
                              (uint64_t)offset[0]);
    } else if (stored == 0) {
        status = fail_chunk(reader, question, offset, "was never written");
    } else if (stored > (hsize_t)reader->size) {
        status = fail_chunk(reader, question, offset, "is longer than the file: damaged");
    } else if (layout->deflate >= 0 && !mt_can_inflate()) {
        status = fail_chunk(reader, question, offset,
                            "is deflated, which this build of Mixtape, without zlib, cannot read");
    } else if (layout->deflate >= 0) {
        status = check_unpacked(reader, question, layout, offset, (size_t)stored);
    } else if (stored != layout->bytes + sum) {
        status = fail_chunk(reader, question, offset, "is not as long as a chunk: damaged");
    }
    if (status == MT_OK) {
        memcpy(reader->checked, offset, (size_t)layout->rank * sizeof *offset);
        reader->has_checked = true;
    }
    return status;
}

/* The chunk behind one, of those from `first` on and up to `end`, in the order of rows; false
 * behind the last. */
static bool next_chunk(const chunk_layout *layout, const hsize_t *first, const hsize_t *end,
                       hsize_t *offset)
{
    for (int i = layout->rank - 1; i >= 0; i--) {
        offset[i] += layout->chunk[i];
        if (offset[i] < end[i]) {
            return true;
        }
        offset[i] = first[i];
    }
    return false;
}

static mt_status check_all(mt_hdf5_reader *reader, const mt_question *question,
                           const chunk_layout *layout)
{
    hsize_t first[MT_MAX_RANK] = {0}, end[MT_MAX_RANK], offset[MT_MAX_RANK];
    memcpy(end, layout->shape, sizeof end);
    first[0] = (hsize_t)question->first / layout->chunk[0] * layout->chunk[0];
    end[0] = (hsize_t)question->first + (hsize_t)question->rows;
    if (question->columns > 0 && layout->rank == 2) {
        first[1] = (hsize_t)question->first_column / layout->chunk[1] * layout->chunk[1];
        end[1] = (hsize_t)question->first_column + (hsize_t)question->columns;
    }
    memcpy(offset, first, sizeof offset);
    mt_status status;
    do {
        status = check_chunk(reader, question, layout, offset);
    } while (status == MT_OK && next_chunk(layout, first, end, offset));
    return status;
}

mt_status mt_hdf5_check_chunks(mt_hdf5_reader *reader, const mt_question *question)
{
    chunk_layout layout;
    if (reader->kept < 0 || question->rows <= 0) {
        return MT_OK;
    }
    if (find_layout(reader->kept, question->dtype, &layout)) {
        return check_all(reader, question, &layout);
    }
    return layout.has_chunks ? mt_fail(MT_ERROR_FORMAT, "%s: %s: its chunks cannot be told",
                                       reader->path, question->name)
                             : MT_OK;
}

/* ---- rows that are one chunk ---- */

/* Tells if a chunk is all of the question's rows, of the type that is asked for, with a checksum
 * behind it. */
static bool is_chunk(const chunk_layout *layout, const mt_question *question)
{
    bool whole = question->columns == 0 && layout->chunk[0] == (hsize_t)question->rows &&
                 question->first % question->rows == 0 && layout->bytes == question->bytes;
    for (int i = 1; i < layout->rank && whole; i++) {
        whole = layout->chunk[i] == layout->shape[i];
    }
    return whole && layout->is_of_type && layout->deflate < 0 && layout->fletcher32 >= 0;
}

static bool read_with_sum(const mt_hdf5_reader *reader, const mt_question *question, char *chunk)
{
    const hsize_t offset[MT_MAX_RANK] = {(hsize_t)question->first};
    char sum[MT_CHECKSUM_BYTES];
    uint32_t skipped = 0;
    if (H5Dread_chunk(reader->kept, H5P_DEFAULT, offset, &skipped, chunk) < 0 || skipped != 0) {
        return false;
    }
    mt_fletcher32(chunk, question->bytes, sum);
    return memcmp(chunk + question->bytes, sum, sizeof sum) == 0;
}

bool mt_hdf5_read_chunk(const mt_hdf5_reader *reader, const mt_question *question)
{
    chunk_layout layout;
    if (reader->kept < 0 || question->rows <= 0 ||
        !find_layout(reader->kept, question->dtype, &layout) || !is_chunk(&layout, question)) {
        return false;
    }
    const size_t size = question->bytes + MT_CHECKSUM_BYTES;
    if (question->room >= size) {
        return read_with_sum(reader, question, question->values);
    }
    char *chunk = malloc(size);
    bool is_read = chunk != NULL && read_with_sum(reader, question, chunk);
    if (is_read) {
        memcpy(question->values, chunk, question->bytes);
    }
    free(chunk);
    return is_read;
}
