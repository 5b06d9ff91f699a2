/* Texts that a language model writes, one symbol at a time. */
#ifndef MT_COMMAND_WRITER_H
#define MT_COMMAND_WRITER_H

#include <mixtape/sampling.h>
#include <mixtape/stream.h>

#include "train/command/lines.h"
#include "train/command/symbols.h"

/* Texts that a model writes from one prompt: its state and its logits of what comes next, and the
 * end of what was written, as far as it may be the beginning of what ends a text. */
typedef struct text_writer {
    const text_symbols *symbols;
    mt_dtype dtype;
    mt_stream *stream;
    mt_sampler *sampler;
    void *logits;
    void *begun_state, *begun_logits; /* behind the prompt, from where each sample begins */
    size_t logits_bytes;
    text_output output;
    const char *stop;
    char *tail; /* of strlen(stop) bytes at most */
    size_t tail_length;
} text_writer;

/* `stop`, unless it is empty, ends a text that ends with it. Closed even after a failure. */
mt_status writer_open(text_writer *writer, mt_model *model, const text_symbols *symbols,
                      const mt_sampling *sampling, uint64_t seed, const char *stop);
void writer_close(text_writer *writer);

/* Never writes a symbol, by its token or number. */
mt_status writer_forbid(text_writer *writer, const char *token);

/* Feeds the prompt, once for all texts. */
mt_status writer_begin(text_writer *writer, const int32_t *ids, int64_t count);

/* Writes one text to standard output: the prompt, and at most `length` symbols that follow. */
mt_status writer_write(text_writer *writer, const int32_t *ids, int64_t count, long long length);

#endif
