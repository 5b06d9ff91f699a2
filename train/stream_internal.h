/* A stream from the inside, for the files that implement stream.h. Internal. */
#ifndef MT_TRAIN_STREAM_INTERNAL_H
#define MT_TRAIN_STREAM_INTERNAL_H

#include <mixtape/stream.h>

const mt_model *stream_model(const mt_stream *stream);

/* MT_ERROR_INVALID unless the stream has the row; `least` is MT_EVERY_ROW where that is one. */
mt_status stream_check_row(const mt_stream *stream, int64_t row, int64_t least);

/* Tells whether a state can be kept there, before there is one. MT_ERROR_INVALID for a name that
 * other files have, and for a file that is there and holds no state, which is not written over;
 * MT_ERROR_IO where no file can be made. */
mt_status stream_check_target(const char *path);

#endif
