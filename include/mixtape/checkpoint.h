/* Models in HDF5 files: the checkpoints of a training run. What loads one loads the exchange files
 * of mixtape/exchange.h, too.
 *
 * Both are read into host memory and checked in full (format, version, every name, shape and type,
 * nothing unknown, every value finite) before a model is touched. docs/file-formats.md describes
 * them.
 *
 * HDF5 is not safe from two threads: a program has one of them at a time save or load, and use HDF5
 * for itself. */
#ifndef MIXTAPE_CHECKPOINT_H
#define MIXTAPE_CHECKPOINT_H

#include <mixtape/adam.h>
#include <mixtape/api.h>
#include <mixtape/layout.h>
#include <mixtape/model.h>
#include <mixtape/token_list.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a training run stands. Its data, masks and samples are functions of the seed and the step,
 * so these numbers are all that resuming needs beside the model and the optimiser. */
typedef struct mt_train_state {
    int64_t step;      /* updates made */
    int64_t best_step; /* the update of the best validation, 0: none yet */
    int64_t bad_evals; /* validations since then that were not better */
    int64_t symbols;   /* trained on: tokens, or steps of time */
    double best_loss;  /* the best validation loss, which may be infinite */
    double seconds;    /* spent training */
} mt_train_state;

/* A file's content. */
typedef struct mt_checkpoint {
    mt_model_config config;
    mt_dtype dtype;
    mt_parameters *described; /* the names, shapes and places of what `data` holds */
    void *data;               /* host: a block as the model's */
    void *m, *v;              /* host: the optimiser's, or NULL */
    mt_adam_config adam;      /* with m and v */
    int64_t adam_step;
    bool has_state; /* a checkpoint has; an exchange file has not */
    mt_train_state state;
    char *run_config;        /* config.yaml's text, or NULL */
    mt_token_list *tokens;   /* or NULL */
    const mt_layout *layout; /* an exchange file's, or NULL */
} mt_checkpoint;

/* Saves a checkpoint over `path`, atomically: a new file is written beside it, flushed to the disk,
 * and renamed over it. `state` is needed; `adam`, `run_config` and `tokens` may be NULL.
 * MT_ERROR_INVALID for what loading would refuse: a text that is not UTF-8, a NaN. */
MT_API mt_status mt_checkpoint_save(const char *path, const mt_model *model, const mt_adam *adam,
                                    const mt_train_state *state, const char *run_config,
                                    const mt_token_list *tokens);

/* Reads either kind of file, or another program's weights, HDF5 or .safetensors, whose layout is
 * found by the names and whose sizes by the shapes. The caller destroys what it gets. */
MT_API mt_status mt_checkpoint_load(const char *path, mt_checkpoint **checkpoint);
MT_API void mt_checkpoint_destroy(mt_checkpoint *checkpoint); /* NULL is allowed */

/* Gives the bits to a model of the same configuration and type, and to its optimiser (or NULL).
 * MT_ERROR_INVALID where they do not fit, with the first thing that differs, before anything is
 * changed. */
MT_API mt_status mt_checkpoint_restore(const mt_checkpoint *checkpoint, mt_model *model,
                                       mt_adam *adam);

/* Gives a model the values of the parameters that bear the same names, converted to its type. A
 * head that the file lacks keeps its initial values; anything else that is missing, left over or of
 * another shape is MT_ERROR_INVALID, with the name and the shapes, before anything is changed. */
MT_API mt_status mt_checkpoint_begin_with(const mt_checkpoint *checkpoint, mt_model *model);

#ifdef __cplusplus
}
#endif

#endif
