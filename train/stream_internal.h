/* A stream from the inside, for the files that implement stream.h. Internal. */
#ifndef MT_TRAIN_STREAM_INTERNAL_H
#define MT_TRAIN_STREAM_INTERNAL_H

#include <mixtape/stream.h>

#include "kernels/device.h"

/* The tensors that a block carries. */
enum { ATT_X, ATT_WKV, FFN_X, TENSORS };

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
    void *first_row; /* what a row carries at the beginning of a sequence, on the host */
    carried_block *blocks;
    mt_model_state state; /* the tensors as a call of the model sees them */
};

/* Makes the row that a sequence begins with: the model's (mt_model_begin), or the empty one, which
 * is zeros, but for the exponents of empty sums. */
mt_status stream_make_first_row(mt_stream *stream);

/* MT_ERROR_INVALID unless the stream has the row; `least` is MT_EVERY_ROW where that is one. */
mt_status stream_check_row(const mt_stream *stream, int64_t row, int64_t least);

/* The least number of rows that WKV takes, of which it takes every multiple: 1 unless a row is no
 * whole number of vectors. */
int64_t stream_least_rows(const mt_model_config *config);

/* Tells whether a state can be kept there, before there is one. MT_ERROR_INVALID for a name that
 * other files have, and for a file that is there and holds no state, which is not written over;
 * MT_ERROR_IO where no file can be made. */
mt_status stream_check_target(const char *path);

#endif
