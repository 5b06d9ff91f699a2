/* Checkpoints of parameters that need not be a model's. Internal: mt_trainer_save and
 * mt_trainer_load (mixtape/trainer.h) are what programs call. */
#ifndef MT_IO_CHECKPOINT_FILE_H
#define MT_IO_CHECKPOINT_FILE_H

#include <mixtape/checkpoint.h>
#include <mixtape/tape.h>

#include "io/saver.h"

/* A batch that a checkpoint of parameters alone holds beside them: the tensors of a step that went
 * wrong, which need not be finite, or NULL. */
enum { MT_KEPT_TENSORS = 6 };

typedef struct mt_kept_batch {
    int64_t index;
    uint64_t seed;                       /* of the masks of dropout */
    mt_tensor *tensors[MT_KEPT_TENSORS]; /* input, target, others */
} mt_kept_batch;

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

/* Puts the batch of a checkpoint on the tape. MT_ERROR_INVALID where it has none. */
mt_status mt_checkpoint_read_batch(const mt_checkpoint *checkpoint, mt_tape *tape,
                                   mt_kept_batch *batch);

#endif
