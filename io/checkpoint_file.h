/* Checkpoints of parameters that need not be a model's. Internal: mt_trainer_save and
 * mt_trainer_load (mixtape/trainer.h) are what programs call. */
#ifndef MT_IO_CHECKPOINT_FILE_H
#define MT_IO_CHECKPOINT_FILE_H

#include <mixtape/checkpoint.h>
#include <mixtape/tape.h>

#include "io/saver.h"

/* A batch that a checkpoint of parameters alone holds beside them: the tensors of a step that went
 * wrong, which need not be finite, or NULL. */
enum { MT_KEPT_TENSORS = 7, MT_MOST_KEPT = 1024 };

typedef struct mt_kept_window {
    mt_tensor *tensors[MT_KEPT_TENSORS]; /* input, target, others, rows of what is carried */
} mt_kept_window;

typedef struct mt_kept_batch {
    int64_t index;
    uint64_t seed; /* of the masks of dropout */
    int64_t count; /* of windows, at most MT_MOST_KEPT */
    mt_kept_window *windows;
    mt_tensor *carried; /* the table of what is carried to the first; or NULL */
} mt_kept_batch;

/* Rows that a run carries from batch to batch, in host memory; none: it carries nothing. */
typedef struct mt_carried_rows {
    mt_dtype dtype; /* MT_F32 or MT_F64 */
    int64_t rows, width;
    const void *values;
} mt_carried_rows;

/* What a checkpoint holds. `parameters` and `state` are there, the rest may be NULL: without a
 * model's configuration the parameters are a program's own, of which the file says names, shapes
 * and type alone. */
typedef struct mt_checkpoint_parts {
    const mt_parameters *parameters;
    const mt_model_config *config;
    const mt_adam *adam;
    const mt_train_state *state;
    const char *run_config;
    const mt_token_list *tokens;
    const mt_tokenizer_file *tokenizer;
    const mt_kept_batch *batch;
    mt_carried_rows carried;
    const struct mt_adapter_origin *adapter; /* whose parameters they are (io/adapter_file.h) */
} mt_checkpoint_parts;

/* Saves as mt_checkpoint_save does. With a saver, not NULL, the file is on its way when this
 * returns MT_OK, and the saver tells how it ended. */
mt_status mt_checkpoint_write(const char *path, const mt_checkpoint_parts *parts, mt_saver *saver);

/* Reads a checkpoint that must hold just these parameters, a model's or not; its configuration and
 * tokens are not read. The caller destroys what it gets. */
mt_status mt_checkpoint_load_own(const char *path, const mt_parameters *parameters,
                                 mt_checkpoint **checkpoint);

/* Gives the bits to parameters of the same names, shapes and type, and to their optimiser (or
 * NULL), as mt_checkpoint_restore does. */
mt_status mt_checkpoint_restore_own(const mt_checkpoint *checkpoint, mt_parameters *parameters,
                                    mt_adam *adam);

/* Reads what a checkpoint carries into host memory for so many rows. MT_ERROR_INVALID where it
 * carries nothing, or of another type, or other rows; a width of 0 asks that it carry nothing. */
mt_status mt_checkpoint_read_carried(const mt_checkpoint *checkpoint, mt_dtype dtype, int64_t rows,
                                     int64_t width, void *values);

/* Puts the batch of a checkpoint on the tape. MT_ERROR_INVALID where it has none. The caller frees
 * its windows, after a failure, too. */
mt_status mt_checkpoint_read_batch(const mt_checkpoint *checkpoint, mt_tape *tape,
                                   mt_kept_batch *batch);

#endif
