/* Checkpoints of parameters that need not be a model's. Internal: mt_trainer_save and
 * mt_trainer_load (mixtape/trainer.h) are what programs call. */
#ifndef MT_IO_CHECKPOINT_FILE_H
#define MT_IO_CHECKPOINT_FILE_H

#include <mixtape/checkpoint.h>
#include <mixtape/tape.h>

/* Saves as mt_checkpoint_save does. `config` is the model's, or NULL for parameters of a program's
 * own: the file then says nothing of them but names, shapes and type. `tokenizer` may be NULL. */
mt_status mt_checkpoint_write(const char *path, const mt_parameters *parameters,
                              const mt_model_config *config, const mt_adam *adam,
                              const mt_train_state *state, const char *run_config,
                              const mt_token_list *tokens, const mt_tokenizer_file *tokenizer);

/* Reads a checkpoint that must hold just these parameters, a model's or not; its configuration and
 * tokens are not read. The caller destroys what it gets. */
mt_status mt_checkpoint_load_own(const char *path, const mt_parameters *parameters,
                                 mt_checkpoint **checkpoint);

/* Gives the bits to parameters of the same names, shapes and type, and to their optimiser (or
 * NULL), as mt_checkpoint_restore does. */
mt_status mt_checkpoint_restore_own(const mt_checkpoint *checkpoint, mt_parameters *parameters,
                                    mt_adam *adam);

/* A batch that a checkpoint of parameters alone holds beside them: the tensors of a step that went
 * wrong, which need not be finite, or NULL. */
enum { MT_KEPT_TENSORS = 6 };

typedef struct mt_kept_batch {
    int64_t index;
    uint64_t seed;                       /* of the masks of dropout */
    mt_tensor *tensors[MT_KEPT_TENSORS]; /* input, target, others */
} mt_kept_batch;

/* Saves parameters, without an optimiser, and a batch. */
mt_status mt_checkpoint_write_batch(const char *path, const mt_parameters *parameters,
                                    const mt_model_config *config, const mt_train_state *state,
                                    const char *run_config, const mt_token_list *tokens,
                                    const mt_kept_batch *batch);

/* Puts the batch of a checkpoint on the tape. MT_ERROR_INVALID where it has none. */
mt_status mt_checkpoint_read_batch(const mt_checkpoint *checkpoint, mt_tape *tape,
                                   mt_kept_batch *batch);

#endif
