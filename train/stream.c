#include <mixtape/operators.h>
#include <mixtape/wkv.h>

#include "kernels/device.h"
#include "kernels/null.h"
#include "train/stream_internal.h"

#include <inttypes.h>
#include <stdlib.h>

/* The tensors that a block carries, and the planes of (B, width) that they are made of. */
enum { ATT_X, ATT_WKV, FFN_X, TENSORS };
enum { PLANE_ATT_X, PLANE_NUM, PLANE_DEN, PLANE_MAX, PLANE_FFN_X, PLANES };

static const struct {
    int tensor, index; /* of the plane in it */
} planes[PLANES] = {
    [PLANE_ATT_X] = {ATT_X, 0}, [PLANE_NUM] = {ATT_WKV, 0}, [PLANE_DEN] = {ATT_WKV, 1},
    [PLANE_MAX] = {ATT_WKV, 2}, [PLANE_FFN_X] = {FFN_X, 0},
};

/* A block's carried tensors, over the stream's memory. */
typedef struct carried_block {
    mt_tensor tensors[TENSORS];
} carried_block;

struct mt_stream {
    mt_model *model;
    mt_device *device;
    mt_tape *tape;
    int64_t batch;
    size_t size;     /* of a value */
    void *memory;    /* of all tensors, on the device */
    void *empty_row; /* what a row carries at the beginning of a sequence, on the host */
    carried_block *blocks;
    mt_model_state state; /* the tensors as a call of the model sees them */
};

/* ---- its memory ---- */

/* Sets the shape, and says how many bytes it takes, with those up to the next tensor. */
static size_t shape_tensor(const mt_stream *stream, int which, mt_tensor *tensor)
{
    enum { ALIGNMENT = 64 };
    const mt_model_config *config = &stream->model->config;
    *tensor = (mt_tensor){.name = "carried",
                          .device = stream->device,
                          .dtype = stream->model->parameters->dtype,
                          .rank = 2,
                          .shape = {stream->batch, config->block_size}};
    if (which == ATT_WKV) {
        tensor->rank = 3;
        tensor->shape[0] = 3;
        tensor->shape[1] = stream->batch;
        tensor->shape[2] = config->attention_size;
    }
    return (mt_tensor_bytes(tensor) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static mt_status allocate_blocks(mt_stream *stream)
{
    int64_t count = stream->model->config.num_blocks;
    size_t bytes = 0;
    stream->blocks = calloc((size_t)count, sizeof *stream->blocks);
    if (stream->blocks == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "stream: no memory for %" PRId64 " blocks", count);
    }
    for (int64_t i = 0; i < count; i++) {
        for (int which = 0; which < TENSORS; which++) {
            bytes += shape_tensor(stream, which, &stream->blocks[i].tensors[which]);
        }
    }
    mt_status status = stream->device->allocate(stream->device, bytes, &stream->memory);
    char *at = stream->memory;
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        for (int which = 0; which < TENSORS; which++) {
            mt_tensor *tensor = &stream->blocks[i].tensors[which];
            size_t used = shape_tensor(stream, which, tensor);
            tensor->data = at;
            at += used;
        }
    }
    return status;
}

/* ---- a row of it ---- */

/* The place of a block's plane: of a row's part on the device, and in a row on the host. */
typedef struct row_piece {
    char *device;
    size_t host, bytes;
} row_piece;

const mt_model *stream_model(const mt_stream *stream)
{
    return stream->model;
}

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

mt_status mt_stream_load(mt_stream *stream, int64_t row, const void *host)
{
    if (stream == NULL) {
        return mt_fail_null(__func__);
    }
    int64_t first, end;
    mt_status status = stream_check_row(stream, row, MT_EVERY_ROW);
    rows_of(stream, row, &first, &end);
    for (int64_t b = first; b < end && status == MT_OK; b++) {
        status = write_row(stream, b,
                           (const char *)host + (size_t)(b - first) * mt_stream_row_bytes(stream));
    }
    return status;
}

mt_status mt_stream_reset(mt_stream *stream, int64_t row)
{
    if (stream == NULL) {
        return mt_fail_null(__func__);
    }
    int64_t first, end;
    mt_status status = stream_check_row(stream, row, MT_EVERY_ROW);
    rows_of(stream, row, &first, &end);
    for (int64_t b = first; b < end && status == MT_OK; b++) {
        status = write_row(stream, b, stream->empty_row);
    }
    return status;
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

/* Zeros, but for the exponents of empty sums. */
static mt_status make_empty_row(mt_stream *stream)
{
    stream->empty_row = calloc(1, mt_stream_row_bytes(stream));
    if (stream->empty_row == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "stream: no memory for %zu bytes",
                       mt_stream_row_bytes(stream));
    }
    for (int64_t i = PLANE_MAX; i < piece_count(stream); i += PLANES) {
        row_piece piece = piece_of(stream, 0, i);
        char *at = (char *)stream->empty_row + piece.host;
        for (size_t j = 0; j < piece.bytes / stream->size; j++) {
            if (stream->size == sizeof(double)) {
                ((double *)(void *)at)[j] = MT_WKV_EMPTY_MAX;
            } else {
                ((float *)(void *)at)[j] = (float)MT_WKV_EMPTY_MAX;
            }
        }
    }
    return MT_OK;
}

/* ---- its life ---- */

static mt_status open_stream(mt_stream *stream)
{
    const mt_model_config *config = &stream->model->config;
    mt_status status = mt_wkv_check(stream->batch, 1, config->attention_size, config->context_size);
    if (status == MT_OK && (size_t)stream->batch > SIZE_MAX / 4 / mt_stream_row_bytes(stream)) {
        status = mt_fail(MT_ERROR_MEMORY, "stream: %" PRId64 " rows of %zu bytes are too many",
                         stream->batch, mt_stream_row_bytes(stream));
    }
    if (status == MT_OK) {
        status = mt_tape_create(stream->device, &stream->tape);
    }
    if (status == MT_OK) {
        mt_tape_set_recording(stream->tape, false);
        status = mt_model_state_create(stream->model, &stream->state);
    }
    if (status == MT_OK) {
        status = allocate_blocks(stream);
    }
    if (status == MT_OK) {
        status = make_empty_row(stream);
    }
    return status == MT_OK ? mt_stream_reset(stream, MT_EVERY_ROW) : status;
}

mt_status mt_stream_create(mt_model *model, int64_t batch, mt_stream **stream)
{
    *stream = NULL;
    if (model == NULL) {
        return mt_fail_null(__func__);
    }
    mt_stream *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "stream: no memory for %zu bytes", sizeof *made);
    }
    made->model = model;
    made->device = model->parameters->device;
    made->batch = batch;
    made->size = mt_dtype_size(model->parameters->dtype);
    mt_status status = open_stream(made);
    if (status != MT_OK) {
        mt_stream_destroy(made);
        return status;
    }
    *stream = made;
    return MT_OK;
}

void mt_stream_destroy(mt_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    stream->device->release(stream->device, stream->memory);
    mt_model_state_destroy(&stream->state);
    mt_tape_destroy(stream->tape);
    free(stream->empty_row);
    free(stream->blocks);
    free(stream);
}

/* ---- feeding it ---- */

int64_t mt_stream_width(const mt_stream *stream)
{
    if (stream == NULL) {
        return 0;
    }
    const mt_model_config *config = &stream->model->config;
    return config->output_size > 0 ? config->output_size : config->block_size;
}

/* The model finds what came before in the stream's memory, and leaves what comes after on the
 * tape. */
static void carry_in(mt_stream *stream)
{
    for (int64_t i = 0; i < stream->state.num_blocks; i++) {
        mt_tensor *tensors = stream->blocks[i].tensors;
        stream->state.blocks[i].att.x = &tensors[ATT_X];
        stream->state.blocks[i].att.wkv = &tensors[ATT_WKV];
        stream->state.blocks[i].ffn = &tensors[FFN_X];
    }
}

static mt_status carry_out(mt_stream *stream)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < stream->state.num_blocks; i++) {
        const mt_block_state *after = &stream->state.blocks[i];
        const mt_tensor *tensors[TENSORS] = {after->att.x, after->att.wkv, after->ffn};
        for (int which = 0; which < TENSORS && status == MT_OK; which++) {
            mt_tensor *kept = &stream->blocks[i].tensors[which];
            status = stream->device->copy(stream->device, kept->data, tensors[which]->data,
                                          mt_tensor_bytes(kept));
        }
    }
    return status;
}

/* The outputs are read first: where the device finds fault with its work, nothing is carried. */
static mt_status feed(mt_stream *stream, mt_tensor *input, int64_t T, int64_t wanted, void *outputs)
{
    mt_tape *tape = stream->tape;
    mt_model *model = stream->model;
    carry_in(stream);
    mt_tensor *y = mt_model_decode(tape, model, input, &stream->state, false);
    if (wanted > 0) {
        y = wanted < T ? mt_slice(tape, y, 1, T - wanted, wanted) : y;
        y = model->config.output_size > 0 ? mt_model_head(tape, model, y) : y;
    }
    if (y == NULL) {
        return mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
    }
    mt_status status =
        wanted > 0 ? mt_tensor_read(y, outputs) : stream->device->synchronize(stream->device);
    return status == MT_OK ? carry_out(stream) : status;
}

static mt_status check_feed(const mt_stream *stream, bool labels, int64_t T, int64_t wanted)
{
    const mt_model_config *config = &stream->model->config;
    bool takes_labels = config->input_size == 0;
    if (labels != takes_labels) {
        return mt_fail(MT_ERROR_INVALID, "stream: the model takes %s, not %s",
                       takes_labels ? "labels" : "features", takes_labels ? "features" : "labels");
    }
    if (wanted < 0 || wanted > T) {
        return mt_fail(MT_ERROR_INVALID,
                       "stream: the outputs of %" PRId64 " steps, of %" PRId64 " that are fed",
                       wanted, T);
    }
    return mt_wkv_check(stream->batch, T, config->attention_size, config->context_size);
}

mt_status mt_stream_feed(mt_stream *stream, int64_t T, const int32_t *labels, int64_t wanted,
                         void *outputs)
{
    if (stream == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = check_feed(stream, true, T, wanted);
    if (status != MT_OK) {
        return status;
    }
    mt_tape_reset(stream->tape);
    return feed(stream, mt_tape_labels(stream->tape, stream->batch, T, labels), T, wanted, outputs);
}

mt_status mt_stream_feed_features(mt_stream *stream, int64_t T, const void *features,
                                  int64_t wanted, void *outputs)
{
    if (stream == NULL) {
        return mt_fail_null(__func__);
    }
    const mt_model *model = stream->model;
    mt_status status = check_feed(stream, false, T, wanted);
    if (status != MT_OK) {
        return status;
    }
    mt_tape_reset(stream->tape);
    return feed(stream,
                mt_tape_sequence(stream->tape, model->parameters->dtype, stream->batch, T,
                                 model->config.input_size, features),
                T, wanted, outputs);
}
