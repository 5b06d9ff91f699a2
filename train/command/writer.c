#include "train/command/writer.h"

#include "train/command/ending.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of symbols that are written as their numbers, one ends a text, and not the digits of others. */
static mt_status take_stop(text_writer *writer, const char *stop)
{
    bool is_symbol = writer->symbols->numbers && stop[0] != '\0';
    writer->stop = is_symbol ? "" : stop;
    writer->stop_symbol = -1;
    writer->tail = malloc(strlen(stop) + 1);
    if (writer->tail == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "--stop: no memory for %zu bytes", strlen(stop));
    }
    mt_status status = is_symbol ? symbols_one(writer->symbols, stop, &writer->stop_symbol) : MT_OK;
    return status == MT_OK ? MT_OK : mt_fail(status, "--stop: %s", mt_error_message());
}

mt_status writer_open(text_writer *writer, mt_model *model, const text_symbols *symbols,
                      const mt_sampling *sampling, uint64_t seed, const char *stop)
{
    mt_dtype dtype = model->parameters->dtype;
    *writer = (text_writer){.symbols = symbols,
                            .dtype = dtype,
                            .logits_bytes = (size_t)symbols->count * mt_dtype_size(dtype),
                            .output = text_output_make(stdout)};
    mt_status status = take_stop(writer, stop);
    if (status == MT_OK) {
        status = mt_stream_create(model, 1, &writer->stream);
    }
    if (status == MT_OK) {
        status = mt_sampler_create(sampling, symbols->count, seed, &writer->sampler);
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
    mt_sampler_destroy(writer->sampler);
    free(writer->logits);
    free(writer->kept_logits);
    free(writer->kept_state);
    free(writer->tail);
}

mt_status writer_forbid(text_writer *writer, const char *token)
{
    int32_t symbol;
    mt_status status = symbols_one(writer->symbols, token, &symbol);
    if (status == MT_OK && (symbol == writer->stop_symbol || strcmp(token, writer->stop) == 0)) {
        return mt_fail(MT_ERROR_INVALID, "%s: it is to end the text, as --stop says", token);
    }
    return status == MT_OK ? mt_sampler_forbid(writer->sampler, symbol) : status;
}

static bool has_stopped(const text_writer *writer)
{
    size_t length = strlen(writer->stop);
    return writer->at_stop_symbol || (length > 0 && writer->tail_length == length &&
                                      memcmp(writer->tail, writer->stop, length) == 0);
}

/* Keeps the last bytes of the text, as many as --stop has. Gives how many there are until the text
 * ends with that, within a symbol, too. */
static size_t remember(text_writer *writer, const char *bytes, size_t count)
{
    size_t most = strlen(writer->stop);
    for (size_t i = 0; i < count && most > 0; i++) {
        if (writer->tail_length == most) {
            memmove(writer->tail, writer->tail + 1, --writer->tail_length);
        }
        writer->tail[writer->tail_length++] = bytes[i];
        if (writer->answers && has_stopped(writer)) {
            return i + 1;
        }
    }
    return count;
}

static void write_bytes(text_writer *writer, const char *bytes, size_t count)
{
    if (!writer->answers || !has_stopped(writer)) {
        text_output_put(&writer->output, bytes, remember(writer, bytes, count));
    }
}

/* What a tokenizer did not answer when a signal came is not shown. */
static mt_status forgive(text_writer *writer, mt_status status)
{
    writer->silent = status != MT_OK && ending_signal() != 0;
    return writer->silent ? MT_OK : status;
}

static mt_status write_symbol(text_writer *writer, int32_t symbol)
{
    symbol_text text = {.bytes = "", .behind = ""};
    text_tokenizer *tokenizer = writer->symbols->tokenizer;
    mt_status status = MT_OK;
    if (tokenizer != NULL) {
        status = forgive(writer, tokenizer_next(tokenizer, symbol, &text.bytes, &text.length));
    } else {
        symbols_text(writer->symbols, symbol, &text);
    }
    if (status == MT_OK) {
        write_bytes(writer, text.bytes, text.length);
        write_bytes(writer, text.behind, strlen(text.behind));
    }
    return status;
}

/* Writes what a tokenizer held back, and the end. */
static mt_status write_end(text_writer *writer)
{
    const char *bytes = "";
    size_t length = 0;
    text_tokenizer *tokenizer = writer->symbols->tokenizer;
    mt_status status =
        tokenizer != NULL ? forgive(writer, tokenizer_rest(tokenizer, &bytes, &length)) : MT_OK;
    if (status == MT_OK) {
        write_bytes(writer, bytes, length);
        text_output_end(&writer->output);
    }
    return status;
}

static mt_status feed(text_writer *writer, int32_t symbol)
{
    mt_status status = mt_stream_feed(writer->stream, 1, &symbol, 1, writer->logits);
    writer->begun = writer->begun || status == MT_OK;
    return status;
}

mt_status writer_feed(text_writer *writer, const int32_t *ids, int64_t count)
{
    /* Symbol 0 is what comes before everything where the model has learnt so. */
    bool needs_start = !writer->begun && (writer->symbols->transcripts || count == 0);
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
    mt_status status = MT_OK;
    writer->answers = false;
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        status = write_symbol(writer, ids[i]);
    }
    return status;
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
    status = write_symbol(writer, symbol);
    if (status == MT_OK && writer->silent) {
        return mt_sampler_seek(writer->sampler, before);
    }
    writer->at_stop_symbol = symbol == writer->stop_symbol;
    return status == MT_OK ? feed(writer, symbol) : status;
}

mt_status writer_answer(text_writer *writer, int64_t length)
{
    mt_status status = MT_OK;
    writer->tail_length = 0; /* the prompt does not end the text */
    writer->answers = true;
    writer->at_stop_symbol = false;
    for (int64_t i = 0; i < length && status == MT_OK && !has_stopped(writer); i++) {
        if (ferror(stdout) || ending_signal() != 0) {
            break;
        }
        status = add_symbol(writer);
    }
    return status == MT_OK ? write_end(writer) : status;
}
