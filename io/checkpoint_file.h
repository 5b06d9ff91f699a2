/* Checkpoints of parameters that need not be a model's. Internal: mt_trainer_save and
 * mt_trainer_load (mixtape/trainer.h) are what programs call. */
#ifndef MT_IO_CHECKPOINT_FILE_H
#define MT_IO_CHECKPOINT_FILE_H

#include <mixtape/checkpoint.h>

/* Saves as mt_checkpoint_save does. `config` is the model's, or NULL for parameters of a program's
 * own: the file then says nothing of them but names, shapes and type. */
mt_status mt_checkpoint_write(const char *path, const mt_parameters *parameters,
                              const mt_model_config *config, const mt_adam *adam,
                              const mt_train_state *state, const char *run_config,
                              const mt_token_list *tokens);

/* Reads a checkpoint that must hold just these parameters, a model's or not; its configuration and
 * tokens are not read. The caller destroys what it gets. */
mt_status mt_checkpoint_load_own(const char *path, const mt_parameters *parameters,
                                 mt_checkpoint **checkpoint);

/* Gives the bits to parameters of the same names, shapes and type, and to their optimiser (or
 * NULL), as mt_checkpoint_restore does. */
mt_status mt_checkpoint_restore_own(const mt_checkpoint *checkpoint, mt_parameters *parameters,
                                    mt_adam *adam);

#endif
