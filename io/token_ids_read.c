/* Token ids read where they are used, and checked. */
#include "io/ascending.h"
#include "io/token_ids_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

/* Opens a file of the list again, in the place of the one that was opened longest ago. */
static mt_status reopen(mt_token_ids *ids, int64_t f)
{
    mt_ids_file *file = &ids->file[f];
    int64_t bytes, *place = &ids->open[ids->next];
    if (file->descriptor >= 0 || file->archive != NULL) {
        return MT_OK;
    }
    if (*place >= 0) {
        mt_ids_close_file(&ids->file[*place]);
        *place = -1;
    }
    if (file->dataset != NULL) {
        mt_status status = mt_archive_open(file->path, &file->archive);
        if (status != MT_OK) {
            return status;
        }
    } else {
        struct stat info;
        mt_status status = mt_ids_open_bytes(file->path, &file->descriptor, &bytes);
        if (status != MT_OK) {
            return status;
        }
        if (bytes == file->bytes && fstat(file->descriptor, &info) == 0 &&
            (info.st_dev != file->device || info.st_ino != file->number)) {
            mt_ids_close_file(file);
            return mt_fail(MT_ERROR_IO, "%s: it is another file than when it was first opened",
                           file->path);
        }
        if (bytes != file->bytes) {
            mt_ids_close_file(file);
            return mt_fail(MT_ERROR_IO,
                           "%s: %" PRId64 " bytes, and %" PRId64 " when it was first opened",
                           file->path, bytes, file->bytes);
        }
        mt_ids_map(file);
    }
    *place = f;
    ids->next = (ids->next + 1) % MT_IDS_OPEN;
    return MT_OK;
}

/* An id, as a number of 64 bits: one below 0 as one that is beyond any vocabulary. */
static uint64_t widen(const unsigned char *bytes, mt_ids_type type)
{
    uint64_t value = 0;
    for (int i = 0; i < type.size; i++) {
        int from = type.is_swapped ? type.size - 1 - i : i;
        value |= (uint64_t)bytes[from] << 8 * i;
    }
    uint64_t sign = UINT64_C(1) << (8 * type.size - 1);
    return type.is_signed ? (value ^ sign) - sign : value;
}

static mt_status fail_at(const mt_ids_file *file, int64_t at, const char *value, int64_t vocabulary)
{
    return mt_fail(MT_ERROR_FORMAT, "%s: id %" PRId64 " is %s, not in 0 .. %" PRId64 "%s",
                   file->path, at, value, vocabulary - 1,
                   file->is_untold ? " (if it is of the right --ids-type)" : "");
}

/* Takes ids as they lie in a file. */
static mt_status take_ids(const mt_ids_file *file, const unsigned char *bytes, int64_t first,
                          int64_t count, int64_t vocabulary, int32_t *values)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t id = widen(bytes + i * file->type.size, file->type);
        if (id >= (uint64_t)vocabulary) {
            char value[24];
            bool is_negative = file->type.is_signed && (int64_t)id < 0;
            snprintf(value, sizeof value, "%s%" PRIu64, is_negative ? "-" : "",
                     is_negative ? -id : id);
            return fail_at(file, first + i, value, vocabulary);
        }
        values[i] = (int32_t)id;
    }
    return MT_OK;
}

/* Checks ids of a dataset, which HDF5 has clipped. */
static mt_status check_ids(const mt_ids_file *file, int64_t first, int64_t count,
                           int64_t vocabulary, const int32_t *values)
{
    for (int64_t i = 0; i < count; i++) {
        if (values[i] < 0 || values[i] >= vocabulary) {
            const char *more = values[i] == INT32_MAX ? " or more" : "";
            char value[24];
            snprintf(value, sizeof value, "%" PRId32 "%s", values[i],
                     values[i] == INT32_MIN ? " or less" : more);
            return fail_at(file, first + i, value, vocabulary);
        }
    }
    return MT_OK;
}

/* Reads and checks at most a piece, of one document, from index `first` of a file on. */
static mt_status read_piece(mt_token_ids *ids, int64_t f, int64_t first, int64_t count,
                            int64_t vocabulary, int32_t *values)
{
    mt_ids_file *file = &ids->file[f];
    mt_status status = reopen(ids, f);
    if (status != MT_OK) {
        return status;
    }
    if (file->dataset != NULL) {
        status = mt_ids_read_dataset(file, first, count, values);
        return status == MT_OK ? check_ids(file, first, count, vocabulary, values) : status;
    }
    const unsigned char *bytes;
    int64_t offset = file->offset + first * file->type.size;
    size_t size = (size_t)(count * file->type.size);
    status = mt_ids_view_bytes(file, offset, size, ids->buffer, &bytes);
    if (status == MT_OK) {
        status = take_ids(file, bytes, first, count, vocabulary, values);
        mt_ids_leave_bytes(file, offset, size);
    }
    return status;
}

/* Reads and checks a piece at a position, as long as it may be. */
static mt_status take_piece(mt_token_ids *ids, int64_t position, int64_t most, int64_t vocabulary,
                            int32_t *values, int64_t *count)
{
    int64_t f = mt_find_last(ids->first_id, ids->files, position);
    *count = most < MT_IDS_PIECE ? most : MT_IDS_PIECE;
    return read_piece(ids, f, position - ids->first_id[f], *count, vocabulary, values);
}

mt_status mt_token_ids_read(mt_token_ids *ids, int64_t position, int64_t count, int64_t vocabulary,
                            int32_t *values)
{
    int64_t taken;
    mt_status status = MT_OK;
    for (int64_t done = 0; done < count && status == MT_OK; done += taken) {
        status = take_piece(ids, position + done, count - done, vocabulary, values + done, &taken);
    }
    return status;
}

/* Where the ids that can be read at once from a position on end: those of a file or, of a matrix in
 * HDF5, those of a row. */
static int64_t end_of_run(const mt_token_ids *ids, int64_t position)
{
    int64_t f = mt_find_last(ids->first_id, ids->files, position);
    const mt_ids_file *file = &ids->file[f];
    mt_ids_span row = mt_token_ids_document(ids, mt_token_ids_find(ids, position));
    return file->dataset != NULL ? row.first + row.count : ids->first_id[f] + file->count;
}

mt_status mt_token_ids_largest(mt_token_ids *ids, int64_t *largest)
{
    int64_t taken;
    mt_status status = MT_OK;
    *largest = 0;
    for (int64_t at = 0; at < ids->count && status == MT_OK; at += taken) {
        int64_t end = end_of_run(ids, at);
        status = take_piece(ids, at, end - at, MT_IDS_MOST, ids->values, &taken);
        for (int64_t i = 0; i < taken && status == MT_OK; i++) {
            *largest = ids->values[i] > *largest ? ids->values[i] : *largest;
        }
    }
    return status;
}
