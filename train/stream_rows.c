/* Rows of a stream: what a sequence carries, saved, loaded, copied and begun anew. */
#include <mixtape/carried.h>

#include "kernels/null.h"
#include "train/stream_internal.h"

#include <inttypes.h>

int64_t stream_least_rows(const mt_model_config *config)
{
    int64_t A = config->attention_size, rows = 1;
    while (rows * A % (A < 32 ? A : 32) != 0) {
        rows++;
    }
    return rows;
}

/* The planes of (B, width) that the tensors are made of. */
enum { PLANE_ATT_X, PLANE_NUM, PLANE_DEN, PLANE_MAX, PLANE_FFN_X, PLANES };

static const struct {
    int tensor, index; /* of the plane in it */
} planes[PLANES] = {
    [PLANE_ATT_X] = {ATT_X, 0}, [PLANE_NUM] = {ATT_WKV, 0}, [PLANE_DEN] = {ATT_WKV, 1},
    [PLANE_MAX] = {ATT_WKV, 2}, [PLANE_FFN_X] = {FFN_X, 0},
};

/* The place of a block's plane: of a row's part on the device, and in a row on the host. */
typedef struct row_piece {
    char *device;
    size_t host, bytes;
} row_piece;

static int64_t piece_count(const mt_stream *stream)
{
    return stream->model->config.num_blocks * PLANES;
}

static row_piece piece_of(const mt_stream *stream, int64_t row, int64_t piece)
{
    const mt_model_config *config = &stream->model->config;
    int plane = (int)(piece % PLANES);
    int64_t S = config->block_size, A = config->attention_size;
    const int64_t starts[PLANES] = {0, S, S + A, S + 2 * A, S + 3 * A};
    const mt_tensor *tensor = &stream->blocks[piece / PLANES].tensors[planes[plane].tensor];
    int64_t width = tensor->shape[tensor->rank - 1];
    int64_t at = (planes[plane].index * stream->batch + row) * width;
    int64_t host = piece / PLANES * (2 * S + 3 * A) + starts[plane];
    return (row_piece){(char *)tensor->data + (size_t)at * stream->size,
                       (size_t)host * stream->size, (size_t)width * stream->size};
}

size_t mt_stream_row_bytes(const mt_stream *stream)
{
    if (stream == NULL) {
        return 0;
    }
    const mt_model_config *config = &stream->model->config;
    return (size_t)(config->num_blocks * (2 * config->block_size + 3 * config->attention_size)) *
           stream->size;
}

static mt_status read_row(const mt_stream *stream, int64_t row, char *host)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < piece_count(stream) && status == MT_OK; i++) {
        row_piece piece = piece_of(stream, row, i);
        status =
            stream->device->read_back(stream->device, host + piece.host, piece.device, piece.bytes);
    }
    return status;
}

static mt_status write_row(mt_stream *stream, int64_t row, const char *host)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < piece_count(stream) && status == MT_OK; i++) {
        row_piece piece = piece_of(stream, row, i);
        status =
            stream->device->write(stream->device, piece.device, host + piece.host, piece.bytes);
    }
    return status;
}

mt_status stream_check_row(const mt_stream *stream, int64_t row, int64_t least)
{
    return row >= least && row < stream->batch
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "stream: there is no row %" PRId64 " of %" PRId64, row,
                         stream->batch);
}

/* The rows that `row` names: first, and the one behind the last. */
static void rows_of(const mt_stream *stream, int64_t row, int64_t *first, int64_t *end)
{
    *first = row == MT_EVERY_ROW ? 0 : row;
    *end = row == MT_EVERY_ROW ? stream->batch : row + 1;
}

mt_status mt_stream_save(const mt_stream *stream, int64_t row, void *host)
{
    if (stream == NULL) {
        return mt_fail_null(__func__);
    }
    int64_t first, end;
    mt_status status = stream_check_row(stream, row, MT_EVERY_ROW);
    rows_of(stream, row, &first, &end);
    for (int64_t b = first; b < end && status == MT_OK; b++) {
        status =
            read_row(stream, b, (char *)host + (size_t)(b - first) * mt_stream_row_bytes(stream));
    }
    return status;
}

/* Writes rows from the host, `stride` bytes apart; 0: the same into each. */
static mt_status write_rows(mt_stream *stream, int64_t row, const void *host, size_t stride)
{
    int64_t first, end;
    mt_status status = stream_check_row(stream, row, MT_EVERY_ROW);
    rows_of(stream, row, &first, &end);
    for (int64_t b = first; b < end && status == MT_OK; b++) {
        status = write_row(stream, b, (const char *)host + (size_t)(b - first) * stride);
    }
    return status;
}

mt_status mt_stream_load(mt_stream *stream, int64_t row, const void *host)
{
    return stream != NULL ? write_rows(stream, row, host, mt_stream_row_bytes(stream))
                          : mt_fail_null(__func__);
}

mt_status mt_stream_reset(mt_stream *stream, int64_t row)
{
    return stream != NULL ? write_rows(stream, row, stream->first_row, 0) : mt_fail_null(__func__);
}

static mt_status check_alike(const mt_stream *to, const mt_stream *from)
{
    const mt_model_config *a = &to->model->config, *b = &from->model->config;
    if (a->block_size != b->block_size || a->attention_size != b->attention_size ||
        a->num_blocks != b->num_blocks || to->size != from->size) {
        return mt_fail(MT_ERROR_INVALID,
                       "stream: a row of %zu bytes, of another model, does not fit one of %zu",
                       mt_stream_row_bytes(from), mt_stream_row_bytes(to));
    }
    return to->device == from->device
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "stream: rows of two devices, %s and %s",
                         from->device->name, to->device->name);
}

static mt_status copy_row(mt_stream *to, int64_t to_row, const mt_stream *from, int64_t from_row)
{
    mt_status status = MT_OK;
    bool itself = to == from && to_row == from_row;
    for (int64_t i = 0; i < piece_count(to) && status == MT_OK && !itself; i++) {
        row_piece piece = piece_of(to, to_row, i);
        status = to->device->copy(to->device, piece.device, piece_of(from, from_row, i).device,
                                  piece.bytes);
    }
    return status;
}

mt_status mt_stream_copy(mt_stream *to, int64_t to_row, const mt_stream *from, int64_t from_row)
{
    if (to == NULL || from == NULL) {
        return mt_fail_null(__func__);
    }
    bool all = to_row == MT_EVERY_ROW && from_row == MT_EVERY_ROW && to->batch == from->batch;
    int64_t first = all ? 0 : to_row, end = all ? to->batch : to_row + 1;
    mt_status status = all ? MT_OK : stream_check_row(to, to_row, 0);
    if (status == MT_OK && !all) {
        status = stream_check_row(from, from_row, 0);
    }
    if (status == MT_OK) {
        status = check_alike(to, from);
    }
    for (int64_t b = first; b < end && status == MT_OK; b++) {
        status = copy_row(to, b, from, all ? b : from_row);
    }
    return status;
}

/* In the order of a row's pieces. */
static mt_status read_block(const mt_block_state *begun, char *host)
{
    const mt_tensor *tensors[TENSORS] = {
        [ATT_X] = begun->att.x, [ATT_WKV] = begun->att.wkv, [FFN_X] = begun->ffn};
    mt_status status = MT_OK;
    for (int i = 0; i < TENSORS && status == MT_OK && tensors[i] != NULL; i++) {
        status = mt_tensor_read(tensors[i], host);
        host += mt_tensor_bytes(tensors[i]);
    }
    return status;
}

/* What was tuned, in place of the empty state. */
static mt_status put_begun(mt_stream *stream)
{
    mt_model_state begun;
    size_t bytes = mt_stream_row_bytes(stream) / (size_t)stream->model->config.num_blocks;
    mt_status status = mt_model_state_create(stream->model, &begun);
    mt_model_begin(stream->tape, stream->model, 1, &begun);
    if (status == MT_OK && mt_tape_status(stream->tape) != MT_OK) {
        status = mt_fail(mt_tape_status(stream->tape), "%s", mt_tape_error(stream->tape));
    }
    for (int64_t i = 0; i < begun.num_blocks && status == MT_OK; i++) {
        status = read_block(&begun.blocks[i], (char *)stream->first_row + (size_t)i * bytes);
    }
    mt_model_state_destroy(&begun);
    mt_tape_reset(stream->tape);
    return status;
}

mt_status stream_make_first_row(mt_stream *stream)
{
    mt_carried carried;
    mt_status status = mt_carried_of_model(stream->model, stream->batch, &carried);
    stream->first_row = carried.empty;
    return status == MT_OK ? put_begun(stream) : status;
}
