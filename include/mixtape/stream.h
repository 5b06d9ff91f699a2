/* Streaming: a model fed step by step, or stretch by stretch, with what it carries from one call to
 * the next kept on its device.
 *
 *     mt_stream *stream;
 *     mt_status status = mt_stream_create(model, 1, &stream);   one sequence at a time
 *     while (status == MT_OK && next_label(&label)) {
 *         status = mt_stream_feed(stream, 1, &label, 1, logits);   of what comes next
 *     }
 *     mt_stream_destroy(stream);
 *
 * What comes out is what the model gives for the whole sequence at once, however it is cut. From
 * the second call of the same T on, nothing is allocated. A batch has rows that are fed together
 * and are otherwise apart: each begins, ends and moves on its own. */
#ifndef MIXTAPE_STREAM_H
#define MIXTAPE_STREAM_H

#include <mixtape/api.h>
#include <mixtape/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_stream mt_stream;

/* In place of a row: all of them. */
enum { MT_EVERY_ROW = -1 };

/* A stream of `batch` rows, each at the beginning of a sequence; `*stream` is NULL after a failure.
 * MT_ERROR_INVALID, with the figures, for a batch that WKV does not take (model.h). The model
 * outlives the stream, which the caller destroys, and serves one thread at a time with it. */
MT_API mt_status mt_stream_create(mt_model *model, int64_t batch, mt_stream **stream);
MT_API void mt_stream_destroy(mt_stream *stream); /* NULL is allowed */

/* Feeds T steps, at most the model's context_size, of labels (batch, T), or of features (batch, T,
 * input_size) in the model's type. `outputs`, host memory in the model's type, receives the logits
 * of the last `wanted` steps, 0 to T of them: (batch, wanted, mt_stream_width). After a failure the
 * stream is where it was, unless the device itself has failed, and `outputs` is undefined. */
MT_API mt_status mt_stream_feed(mt_stream *stream, int64_t T, const int32_t *labels, int64_t wanted,
                                void *outputs);
MT_API mt_status mt_stream_feed_features(mt_stream *stream, int64_t T, const void *features,
                                         int64_t wanted, void *outputs);

/* Values of one step's output: output_size, or block_size where the model has no head and the
 * decoder's output takes the place of logits. */
MT_API int64_t mt_stream_width(const mt_stream *stream);

/* Puts a row, or MT_EVERY_ROW, at the beginning of a sequence. */
MT_API mt_status mt_stream_reset(mt_stream *stream, int64_t row);

/* Makes a row go on from where a row of this or another stream is, of the same sizes, type and
 * device; or, with MT_EVERY_ROW twice, each row from where the same row of a stream of as many
 * is. */
MT_API mt_status mt_stream_copy(mt_stream *to, int64_t to_row, const mt_stream *from,
                                int64_t from_row);

/* Copy what a row carries to host memory and back: mt_stream_row_bytes of it, and for MT_EVERY_ROW
 * as much for each row, one after the other. In the model's type, for each block: the attention's
 * last input (S); num, den, max of its WKV (A each); the feed-forward layer's last input (S).
 * Loading believes what it is given. */
MT_API size_t mt_stream_row_bytes(const mt_stream *stream);
MT_API mt_status mt_stream_save(const mt_stream *stream, int64_t row, void *host);
MT_API mt_status mt_stream_load(mt_stream *stream, int64_t row, const void *host);

/* What a file holds beside a row, for whoever goes on choosing symbols from there. */
typedef struct mt_stream_end {
    void *outputs;    /* of the last step: mt_stream_width values in the model's type, or NULL */
    int64_t position; /* of the sampler that chooses from them (sampling.h), at most 2^53, or 0 */
} mt_stream_end;

/* Keep a row in a file, HDF5, and put a row where a file's was, with the same bits. What stands
 * beside it goes to `end`: to its outputs, unless they are NULL; they become NULL where the file
 * has none. A file is written atomically, and read as hostile ones are (weights.h), in full before
 * the row is changed. MT_ERROR_INVALID for the state of another model, with the field that differs,
 * or of other weights, as far as the first 1024 values of each parameter tell, and for a file to
 * save to that is there and holds no state; MT_ERROR_FORMAT with file and object; MT_ERROR_NUMERIC
 * for values to save that are not finite; MT_ERROR_IO; MT_ERROR_MEMORY. */
MT_API mt_status mt_stream_save_file(const mt_stream *stream, int64_t row, const mt_stream_end *end,
                                     const char *path);
MT_API mt_status mt_stream_load_file(mt_stream *stream, int64_t row, const char *path,
                                     mt_stream_end *end);

#ifdef __cplusplus
}
#endif

#endif
