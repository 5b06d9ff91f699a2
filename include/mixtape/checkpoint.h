/* Checkpoints of a training run: weights, the optimiser and the run's progress in one HDF5 file.
 * What loads one loads any file of weights (mixtape/weights.h), which has no more. */
#ifndef MIXTAPE_CHECKPOINT_H
#define MIXTAPE_CHECKPOINT_H

#include <mixtape/adam.h>
#include <mixtape/api.h>
#include <mixtape/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The progress of a training run. Its data, masks and samples are functions of the seed and the
 * step, so these numbers are all that resuming needs beside the model and the optimiser, and what
 * is carried where something is. */
typedef struct mt_train_state {
    int64_t step;        /* updates made, or skipped */
    int64_t best_step;   /* the update of the best validation, 0: none yet */
    int64_t bad_evals;   /* validations since then that were not better */
    int64_t symbols;     /* trained on: tokens, or steps of time */
    int64_t skipped;     /* steps that were bad, and whose updates were not made */
    int64_t spikes;      /* steps whose loss was one (mixtape/trainer.h) */
    double loss_average; /* which spikes are measured against; 0: none yet */
    double best_loss;    /* the best validation loss, which may be infinite */
    double seconds;      /* spent training */
} mt_train_state;

/* A file's content. The values of weights and optimiser stay in the file. */
typedef struct mt_checkpoint {
    mt_weights *weights;
    bool has_optimizer;
    mt_adam_config adam; /* of the optimiser: who means to go on with another sets it here */
    int64_t adam_step;   /* the updates that it has made */
    bool has_state;      /* a checkpoint has; an exchange file has not */
    mt_train_state state;
    char *run_config; /* config.yaml's text, or NULL */

    /* What the run carries from batch to batch (mixtape/trainer.h): rows, of so many reals each;
     * 0: nothing. */
    int64_t carried_rows, carried_width;
} mt_checkpoint;

/* Saves a checkpoint over `path`, atomically: a new file is written beside it, flushed to the disk,
 * and renamed over it. `state` is needed; `adam`, `run_config` and `tokens` may be NULL. Nothing is
 * saved that loading would refuse: MT_ERROR_INVALID for a text that is not UTF-8 or a NaN in the
 * progress, MT_ERROR_NUMERIC, with the element, for values that are not finite, and second moments
 * below 0. */
MT_API mt_status mt_checkpoint_save(const char *path, const mt_model *model, const mt_adam *adam,
                                    const mt_train_state *state, const char *run_config,
                                    const mt_token_list *tokens);

/* Saves weights that were opened as a checkpoint without an optimiser. */
MT_API mt_status mt_checkpoint_convert(const mt_weights *weights, const char *path,
                                       const mt_train_state *state, const char *run_config);

/* Opens any file of weights, with what else a checkpoint has. The caller destroys what it gets. */
MT_API mt_status mt_checkpoint_load(const char *path, mt_checkpoint **checkpoint);
/* The same for an adapter's file, as mt_weights_open_adapted opens it. */
MT_API mt_status mt_checkpoint_load_adapted(const char *path, const char *model,
                                            mt_checkpoint **checkpoint);
MT_API void mt_checkpoint_destroy(mt_checkpoint *checkpoint); /* NULL is allowed */

/* Reads and checks every value of the weights and the optimiser: MT_ERROR_FORMAT, with the file,
 * the array and the element, for what is damaged or not finite. */
MT_API mt_status mt_checkpoint_check(const mt_checkpoint *checkpoint);

/* Gives the bits to a model of the same norm, padding, parameters and type, and to its optimiser of
 * the same configuration (or NULL). MT_ERROR_INVALID where they do not fit, with the first thing
 * that differs, and what mt_checkpoint_check says of the values, before anything is changed. Only a
 * file that cannot be read any more leaves some of it changed. */
MT_API mt_status mt_checkpoint_restore(const mt_checkpoint *checkpoint, mt_model *model,
                                       mt_adam *adam);

#ifdef __cplusplus
}
#endif

#endif
