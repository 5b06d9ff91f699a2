/* Texts that a language model writes, one symbol at a time. */
#ifndef MT_COMMAND_WRITER_H
#define MT_COMMAND_WRITER_H

#include <mixtape/sampling.h>
#include <mixtape/stream.h>

#include "train/command/lines.h"
#include "train/command/shown_text.h"

/* What a model writes behind prompts: its state and its logits of what comes next. A signal ends
 * what is done (ending.h). */
typedef struct text_writer {
    const text_symbols *symbols;
    mt_dtype dtype;
    mt_stream *stream;
    mt_sampler *sampler;
    const char *state; /* the file that the model goes on from, or NULL */
    bool begun;        /* there are logits, of what comes behind the last symbol that was fed */
    void *logits;
    void *kept_state, *kept_logits; /* from where each sample begins */
    size_t logits_bytes;
    shown_text text;
    text_output output;
} text_writer;

/* `stop` ends texts, and the sampler chooses their symbols. All that is given outlives the writer,
 * which stays where it is, and is closed even after a failure. */
mt_status writer_open(text_writer *writer, mt_model *model, const text_symbols *symbols,
                      const text_stop *stop, mt_sampler *sampler);
void writer_close(text_writer *writer);

/* Goes on from a file, before anything is fed; leaves a file to go on from. */
mt_status writer_load(text_writer *writer, const char *path);
mt_status writer_save(const text_writer *writer, const char *path);

/* Feeds the symbols of a prompt. */
mt_status writer_feed(text_writer *writer, const int32_t *ids, int64_t count);

/* Remembers where the model is, and brings it back there; the choices go on. */
mt_status writer_keep(text_writer *writer);
mt_status writer_return(text_writer *writer);

/* Writes symbols to standard output: a prompt; at most `length` that the model chooses, and feeds
 * them, with a newline behind. */
mt_status writer_show(text_writer *writer, const int32_t *ids, int64_t count);
mt_status writer_answer(text_writer *writer, int64_t length);

#endif
