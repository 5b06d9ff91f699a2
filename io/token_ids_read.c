/* Token ids read where they are used, and checked. */
#include "io/ascending.h"
#include "io/token_ids_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
        mt_status status = mt_ids_open_bytes(file->path, &file->descriptor, &bytes);
        if (status != MT_OK) {
            return status;
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

/* An id, as a number of 64 bits; those above count as the largest. */
static int64_t widen(const unsigned char *bytes, mt_ids_type type)
{
    uint64_t value = 0;
    for (int i = 0; i < type.size; i++) {
        int from = type.is_swapped ? type.size - 1 - i : i;
        value |= (uint64_t)bytes[from] << 8 * i;
    }
    uint64_t sign = UINT64_C(1) << (8 * type.size - 1);
    if (type.is_signed) {
        return (int64_t)((value ^ sign) - sign);
    }
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

/* Reads at most a piece, of one document, from index `first` of a file on, into `values`. */
static mt_status read_piece(mt_token_ids *ids, int64_t f, int64_t first, int64_t count)
{
    mt_ids_file *file = &ids->file[f];
    mt_status status = reopen(ids, f);
    if (status != MT_OK) {
        return status;
    }
    if (file->dataset != NULL) {
        status = mt_ids_read_dataset(file, first, count, ids->narrow);
        for (int64_t i = 0; i < count && status == MT_OK; i++) {
            ids->values[i] = ids->narrow[i];
        }
        return status;
    }
    int size = file->type.size;
    status = mt_ids_view_bytes(file, file->offset + first * size, (size_t)(count * size),
                               ids->buffer, &ids->bytes);
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        ids->values[i] = widen(ids->bytes + i * size, file->type);
    }
    return status;
}

/* The number that a value was made of: as the file has it or, where HDF5 has clipped it, what is
 * known of it. */
static void tell_value(const mt_token_ids *ids, const mt_ids_file *file, int64_t i, char text[48])
{
    int64_t value = ids->values[i];
    bool is_clipped = file->dataset != NULL && (value == INT32_MAX || value == INT32_MIN);
    bool is_large = file->dataset == NULL && value == INT64_MAX && !file->type.is_signed;
    if (is_large) { /* of 64 bits without a sign */
        uint64_t whole;
        memcpy(&whole, ids->bytes + i * (int64_t)sizeof whole, sizeof whole);
        snprintf(text, 48, "%" PRIu64, file->type.is_swapped ? __builtin_bswap64(whole) : whole);
    } else {
        snprintf(text, 48, "%" PRId64 "%s", value,
                 !is_clipped ? ""
                 : value > 0 ? " or more"
                             : " or less");
    }
}

/* Checks a piece that was read. */
static mt_status check_piece(const mt_token_ids *ids, int64_t f, int64_t first, int64_t count,
                             int64_t vocabulary)
{
    const mt_ids_file *file = &ids->file[f];
    for (int64_t i = 0; i < count; i++) {
        if (ids->values[i] < 0 || ids->values[i] >= vocabulary) {
            char value[48];
            tell_value(ids, file, i, value);
            return mt_fail(MT_ERROR_FORMAT, "%s: id %" PRId64 " is %s, not in 0 .. %" PRId64 "%s",
                           file->path, first + i, value, vocabulary - 1,
                           file->is_untold ? " (if it is of the right --ids-type)" : "");
        }
    }
    return MT_OK;
}

/* Reads and checks a piece at a position, as long as it may be. */
static mt_status take_piece(mt_token_ids *ids, int64_t position, int64_t most, int64_t vocabulary,
                            int64_t *count)
{
    int64_t f = mt_find_last(ids->first_id, ids->files, position);
    *count = most < MT_IDS_PIECE ? most : MT_IDS_PIECE;
    int64_t first = position - ids->first_id[f];
    mt_status status = read_piece(ids, f, first, *count);
    return status == MT_OK ? check_piece(ids, f, first, *count, vocabulary) : status;
}

mt_status mt_token_ids_read(mt_token_ids *ids, int64_t position, int64_t count, int64_t vocabulary,
                            int32_t *values)
{
    int64_t taken;
    mt_status status = MT_OK;
    for (int64_t done = 0; done < count && status == MT_OK; done += taken) {
        status = take_piece(ids, position + done, count - done, vocabulary, &taken);
        for (int64_t i = 0; i < taken && status == MT_OK; i++) {
            values[done + i] = (int32_t)ids->values[i];
        }
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
        status = take_piece(ids, at, end - at, MT_IDS_MOST, &taken);
        for (int64_t i = 0; i < taken && status == MT_OK; i++) {
            *largest = ids->values[i] > *largest ? ids->values[i] : *largest;
        }
    }
    return status;
}
