#include "train/command/writer.h"

#include "train/command/ending.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static mt_status put(void *context, const char *bytes, size_t count)
{
    text_writer *writer = context;
    text_output_put(&writer->output, bytes, count);
    return MT_OK; /* whoever asks standard output is told */
}

mt_status writer_open(text_writer *writer, mt_model *model, const text_symbols *symbols,
                      const text_stop *stop, mt_sampler *sampler)
{
    mt_dtype dtype = model->parameters->dtype;
    *writer = (text_writer){.symbols = symbols,
                            .dtype = dtype,
                            .logits_bytes = (size_t)symbols->count * mt_dtype_size(dtype),
                            .output = text_output_make(stdout),
                            .sampler = sampler};
    mt_status status = shown_text_open(&writer->text, symbols, stop, put, writer);
    if (status == MT_OK) {
        status = mt_stream_create(model, 1, &writer->stream);
    }
    if (status != MT_OK) {
        return status;
    }
    writer->logits = malloc(writer->logits_bytes);
    writer->kept_logits = malloc(writer->logits_bytes);
    writer->kept_state = malloc(mt_stream_row_bytes(writer->stream));
    return writer->logits != NULL && writer->kept_logits != NULL && writer->kept_state != NULL
               ? MT_OK
               : mt_fail(MT_ERROR_MEMORY, "generate: no memory for %" PRId64 " logits",
                         symbols->count);
}

void writer_close(text_writer *writer)
{
    mt_stream_destroy(writer->stream);
    shown_text_close(&writer->text);
    free(writer->logits);
    free(writer->kept_logits);
    free(writer->kept_state);
}

static mt_status feed(text_writer *writer, int32_t symbol)
{
    mt_status status = mt_stream_feed(writer->stream, 1, &symbol, 1, writer->logits);
    writer->begun = writer->begun || status == MT_OK;
    return status;
}

mt_status writer_feed(text_writer *writer, const int32_t *ids, int64_t count)
{
    bool needs_start = !writer->begun && symbols_need_start(writer->symbols, count);
    mt_status status = needs_start ? feed(writer, 0) : MT_OK;
    for (int64_t i = 0; i < count && status == MT_OK && ending_signal() == 0; i++) {
        status = feed(writer, ids[i]);
    }
    return status;
}

mt_status writer_load(text_writer *writer, const char *path)
{
    mt_stream_end end = {.outputs = writer->logits};
    mt_status status = mt_stream_load_file(writer->stream, 0, path, &end);
    writer->begun = status == MT_OK && end.outputs != NULL;
    writer->state = path;
    return status == MT_OK ? mt_sampler_seek(writer->sampler, end.position) : status;
}

mt_status writer_save(const text_writer *writer, const char *path)
{
    mt_stream_end end = {writer->begun ? writer->logits : NULL,
                         mt_sampler_position(writer->sampler)};
    return mt_stream_save_file(writer->stream, 0, &end, path);
}

mt_status writer_keep(text_writer *writer)
{
    memcpy(writer->kept_logits, writer->logits, writer->logits_bytes);
    return mt_stream_save(writer->stream, 0, writer->kept_state);
}

mt_status writer_return(text_writer *writer)
{
    memcpy(writer->logits, writer->kept_logits, writer->logits_bytes);
    return mt_stream_load(writer->stream, 0, writer->kept_state);
}

mt_status writer_show(text_writer *writer, const int32_t *ids, int64_t count)
{
    return shown_text_prompt(&writer->text, ids, count);
}

/* Draws a symbol, and writes and feeds it; one that cannot be shown any more is not drawn yet. */
static mt_status add_symbol(text_writer *writer)
{
    int32_t symbol;
    int64_t before = mt_sampler_position(writer->sampler);
    mt_status status = mt_sampler_draw(writer->sampler, writer->dtype, writer->logits, &symbol);
    if (status != MT_OK) {
        return mt_fail(status, "the model%s%s: %s", writer->state != NULL ? ", behind " : "",
                       writer->state != NULL ? writer->state : "", mt_error_message());
    }
    status = shown_text_add(&writer->text, symbol);
    if (status == MT_OK && writer->text.silent) {
        return mt_sampler_seek(writer->sampler, before);
    }
    return status == MT_OK ? feed(writer, symbol) : status;
}

mt_status writer_answer(text_writer *writer, int64_t length)
{
    mt_status status = MT_OK;
    shown_text_begin_answer(&writer->text);
    for (int64_t i = 0; i < length && status == MT_OK && !shown_text_has_ended(&writer->text);
         i++) {
        if (ferror(stdout) || ending_signal() != 0) {
            break;
        }
        status = add_symbol(writer);
    }
    if (status == MT_OK) {
        status = shown_text_finish(&writer->text);
    }
    if (status == MT_OK) {
        text_output_end(&writer->output);
    }
    return status;
}
