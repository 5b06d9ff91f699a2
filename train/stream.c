#include <mixtape/operators.h>
#include <mixtape/wkv.h>

#include "kernels/null.h"
#include "train/stream_internal.h"

#include <inttypes.h>
#include <stdlib.h>

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
        status = stream_make_first_row(stream);
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
    free(stream->first_row);
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
        y = model->config.output_size > 0 ? mt_model_head(tape, model, y)
                                          : mt_cast(tape, y, model->parameters->dtype);
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
