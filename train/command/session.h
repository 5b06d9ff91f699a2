/* An open run: the task with its data, the device, and the model. What every verb that computes
 * begins with. */
#ifndef MT_COMMAND_SESSION_H
#define MT_COMMAND_SESSION_H

#include "train/command/progress.h"
#include "train/task.h"

#include <signal.h>

typedef struct train_session train_session;

/* The batches of one split. */
typedef struct session_batches {
    const train_session *session;
    task_split split;
} session_batches;

struct train_session {
    run_config config;
    const train_task *task;
    task_data *data;
    mt_device *device;
    mt_device *like; /* the one that `device` counts for, where that is dry; else NULL */
    mt_tape *tape;
    mt_model *model;
    mt_carried carried;          /* by a batch of the run to the next; nothing without --carry */
    bool new_head;               /* the weights that the model began with have none */
    int32_t first_new_token;     /* the first of those that they have not; -1: they have all */
    mt_tokenizer_file tokenizer; /* that the model is to be saved with, */
    int64_t tokenizer_size;      /* and how many ids it has; 0: not looked at */
    session_batches training;    /* the context of session_objective */
    train_progress *progress;    /* of validations; or NULL */
    char *adapted;               /* the file of the model that a run adapts, or NULL, */
    int64_t adapted_print;       /* and its fingerprint, as it was read */
    const volatile sig_atomic_t *ending; /* unless 0, a validation fails before its next batch; or
                                            NULL */
};

/* Opens a run to train: everything that the options say is checked before anything is allocated for
 * it. The tokens are those of `checkpoint`, from which the run goes on, or of `init`, whose weights
 * the model begins with; either may be NULL. What goes on has no values yet: the caller restores
 * them. On failure nothing stays open. */
mt_status session_open(const run_config *config, const mt_checkpoint *checkpoint,
                       const mt_checkpoint *init, train_session *session);

/* Opens a model alone, without a task, of a type of which its weights are mt_dtype_wide. */
mt_status session_open_model(const mt_checkpoint *checkpoint, mt_dtype dtype, const char *device,
                             int threads, train_session *session);

/* The same as it is trained: with an adapter beside the model, which has initial values yet. */
mt_status session_open_apart(const mt_checkpoint *checkpoint, mt_dtype dtype, const char *device,
                             int threads, train_session *session);

void session_close(train_session *session);

/* Gives the model its adapter, as --tune says: beside the weights of `init`, whose values are in
 * place, or those that the run of the checkpoint is beside, which are put there. */
mt_status session_adapt(const mt_checkpoint *checkpoint, const mt_checkpoint *init,
                        train_session *session);

/* What is trained: the model's parameters, or those of its adapter. */
mt_parameters *session_trained(const train_session *session);

/* Says what checkpoints hold beside what is trained. By all ranks. */
mt_status session_describe(const train_session *session, mt_trainer *trainer, const char *config);

/* Saves the state that was tuned as that of a stream of the model (mt_stream_save_file). */
mt_status session_save_state(const mt_checkpoint *checkpoint, const char *path);

/* Sets the options that describe a model like this one. */
void session_take_sizes(const mt_model_config *model, run_config *config);

/* The configuration that a checkpoint, of the run or file of this name, carries; to be cleared
 * (run_config_clear) after a failure, too. */
mt_status session_config_of(const char *run, const mt_checkpoint *checkpoint, run_config *config);

/* What RUN names: best.h5, else checkpoint.h5, in a run's folder; else the file, or the folder of
 * Hugging Face's, itself. */
mt_status session_find_model(const char *run, bool best, char path[TEXT_MAX]);

/* Says of a model of transformers' that it has another eps than the norm that has its own there. */
void session_tell_eps(const char *path, const mt_layout *layout, const mt_model_config *config);

/* Says what of a model had to be assumed (mt_weights_assumed), if anything. */
void session_tell_assumed(const char *path, const char *assumed);

/* Loads it, and says on standard error what of the model had to be assumed. */
mt_status session_load_file(const char *path, mt_checkpoint **checkpoint);
mt_status session_load_model(const char *run, bool best, mt_checkpoint **checkpoint);

/* The same of a model with what a run trained beside it, of which `best` is then said; `adapter`
 * NULL: as the run itself says. */
mt_status session_load_adapted(const char *run, const char *adapter, bool best,
                               mt_checkpoint **checkpoint);

/* The batches that are trained on, and their loss. The session outlives it and stays where it is.
 * Those that are held out have train/command/held_out.h. */
mt_objective session_objective(train_session *session);

/* The loss of a batch, with dropout and label smoothing where it is trained on. The context begins
 * with session_batches. */
mt_tensor *session_loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts);

#endif
