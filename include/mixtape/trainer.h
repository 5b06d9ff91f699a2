/* Training: forward, backward and Adam, update after update, of any parameters by any loss.
 *
 * A program says how a batch is made and what its loss is (mt_objective); a trainer does the rest:
 *
 *     mt_trainer_config config = mt_trainer_config_default();
 *     mt_objective objective = {.put = put_batch, .loss = loss_of_batch, .context = &my_data};
 *     mt_trainer_create(parameters, &config, &objective, &trainer);
 *     mt_trainer_run(trainer, 1000, show, NULL);           up to update 1000
 *     mt_trainer_save(trainer, "checkpoint.h5");
 *
 * Updates are put on the device without waiting for it, and their results are handed out when they
 * have arrived: a device that runs behind always has work. Where the device can record work and
 * batches repeat their shapes, an update is recorded once and replayed.
 *
 * The gradients are the trainer's while it trains: a program that writes some itself between
 * updates calls mt_parameters_zero_grad before the next.
 *
 * With a communicator (mixtape/communicator.h) ranks train one model: each makes the batches whole,
 * computes on its share of the rows, and gradients are summed, so that an update is the same as
 * that of one process to rounding, masks of dropout included, and the parameters are the same bits
 * on all ranks. The program is the same on all, and calls the functions that say so on all of them.
 *
 * Sequences may be longer than a batch (truncated backpropagation through time): an objective says
 * what its batches carry (mixtape/carried.h), and the trainer hands what one batch left to the
 * next, on the device and in checkpoints. Gradients stop where a batch begins, or flow through
 * `windows` of them.
 *
 * The first failure of an update, or of what follows it, sticks: the trainer then makes and saves
 * nothing more, and returns it again. A batch that cannot be put on the tape has changed nothing:
 * what was trained before it can be saved, and the next run asks for it again. */
#ifndef MIXTAPE_TRAINER_H
#define MIXTAPE_TRAINER_H

#include <mixtape/adam.h>
#include <mixtape/api.h>
#include <mixtape/carried.h>
#include <mixtape/checkpoint.h>
#include <mixtape/communicator.h>
#include <mixtape/schedule.h>
#include <mixtape/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_BATCH_OTHERS = 4, MT_MOST_WINDOWS = 1024 };

/* A batch on a tape. Whatever tensors the loss takes from the host stand here: a recorded update
 * reads them where they were when it was recorded, and is used for batches of the same shapes.
 * Where ranks share batches the first dimension of each is B, of which each rank has B / size, in
 * the order of ranks. */
typedef struct mt_batch {
    mt_tensor *input;                   /* (B, T, ...): B T is what counts as symbols trained on */
    mt_tensor *target;                  /* or NULL */
    mt_tensor *others[MT_BATCH_OTHERS]; /* the rest; NULL where there is none */

    /* Where something is carried: which rows begin a sequence, (B) on the host, memory that is read
     * when the batch has been put; or NULL, and all go on from the batch before. */
    const bool *begins;

    /* NULL, or where a loss finds what its rows carry, (rows, width), empty in those that begin,
     * and puts in its place what they carry to the next batch. */
    mt_tensor **carried;
} mt_batch;

/* The batches that are trained on, and their loss. */
typedef struct mt_objective {
    /* Puts batch number `index` (0, 1, ...) on the tape. A batch is a function of its number, so
     * that a run can stop and go on anywhere. A failure is told with mt_tape_fail, and ends the run
     * when the updates that have begun are done; it does not stick, unless it is the device's. */
    void (*put)(void *context, mt_tape *tape, int64_t index, mt_batch *batch);

    /* The batch's mean loss, a scalar on the tape. `counts` may receive (2): rows counted, rows
     * that the prediction hit, as mt_cross_entropy has them; it is NULL at first. Where ranks share
     * a batch it is the mean of this rank's rows, which weighs as much as they count: B without
     * counts. The function does nothing but operators on tensors of the batch and of parameters:
     * where an update is replayed it is not called. */
    mt_tensor *(*loss)(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts);
    void *context;

    /* What a batch carries to the next one; width 0: nothing. Its `rows` are those of each batch,
     * of which each of several ranks has its share. `empty` is copied. */
    mt_carried carried;
} mt_objective;

/* What is to become of a bad step, whose loss or gradients are not finite. Neither its update nor
 * any behind it is made, on a device that runs behind, too, and the step is repeated to find out
 * where it goes wrong. Then it is an error, which sticks; or it is skipped: the step counts, and
 * the next one takes the next batches. Where a parameter is not finite, skipping is of no use, and
 * it is an error. What is carried has to be finite, too, and stays as it was before a bad step: the
 * next batch goes on from there. */
typedef enum mt_bad_step { MT_BAD_STEP_STOP, MT_BAD_STEP_SKIP } mt_bad_step;

typedef struct mt_trainer_config {
    mt_adam_config adam;
    mt_schedule schedule;
    int64_t accumulate; /* batches of an update, which takes the mean of their gradients */

    /* Batches that are one, through which gradients flow by what is carried: their loss is the mean
     * over what is counted in all of them, and its gradient that of one long batch. They are run
     * one after the other and recomputed in backward, so that a step holds one of them and what is
     * carried between them. 1: each batch is one by itself; at most MT_MOST_WINDOWS. */
    int64_t windows;
    uint64_t seed; /* of dropout's masks */
    bool record;   /* on a device that can, record updates and replay them */
    mt_bad_step on_bad_step;
    int64_t bad_steps;       /* the most that a run skips */
    const char *replay_file; /* where a bad step is kept for mt_replay, over the last one; or NULL.
                                It outlives the trainer */

    /* The ranks that share each batch, or NULL: this process trains alone. It outlives the trainer.
     * Nothing is recorded where there are several, and rank 0 alone keeps a bad step. */
    mt_communicator *communicator;

    /* Each of several ranks has Adam's moments of its part of the parameters alone, and updates it,
     * which has the same bits. Saves with the optimiser are then by all ranks: rank 0 writes the
     * file, with what the others give it, and all return how that went. */
    bool split_optimizer;
} mt_trainer_config;

/* Adam's defaults, a constant rate of 1e-3, no accumulation, windows by themselves, seed 1,
 * recording, no other ranks; a bad step is an error. */
MT_API mt_trainer_config mt_trainer_config_default(void);

/* A loss is a spike where it is above MT_SPIKE times the running average of the losses before,
 * which is above 0: each loss moves it by 1/MT_SPIKE_WINDOW of what lies between, and a spike no
 * more than the least one. */
enum { MT_SPIKE = 2, MT_SPIKE_WINDOW = 50 };

/* The results of one update: means over its batches. */
typedef struct mt_update {
    int64_t step; /* the update's number, from 1 on */
    double loss, grad_norm, lr;
    double accuracy; /* share of the counted rows; NaN without counts */
    int64_t symbols;
    bool spike;

    /* NULL, or what was bad about the step, whose update was not made: text of the trainer, until
     * the next bad step. */
    const char *skipped;
} mt_update;

typedef struct mt_trainer mt_trainer;

/* MT_ERROR_INVALID for a field out of range, with its value, for parameters without memory and for
 * an objective that lacks a function; *trainer is then NULL. `parameters` and what the objective
 * points to outlive the trainer, which the caller destroys.
 *
 * By all ranks, where there are several: all of them get rank 0's values of the parameters.
 * MT_ERROR_INVALID where theirs are of other sizes. */
MT_API mt_status mt_trainer_create(mt_parameters *parameters, const mt_trainer_config *config,
                                   const mt_objective *objective, mt_trainer **trainer);
MT_API void mt_trainer_destroy(mt_trainer *trainer); /* NULL is allowed; waits for the device */

/* Called after each update, in order, when its results have arrived. A status that is not MT_OK,
 * with a message by mt_fail, ends the run, which returns it, and sticks. */
typedef mt_status (*mt_after_update)(void *context, const mt_update *update);

/* Makes updates up to number `last`, and waits for all of them. Their numbers go on from run to
 * run. `after` may be NULL. On a device that runs behind, later updates may have begun when it is
 * called, and saving is refused then: a program saves between runs. By all ranks; where one fails,
 * by `after` too, all do.
 *
 * MT_ERROR_NUMERIC for a bad step that is not skipped. The message says what is not finite, and
 * names the first such tensor: a parameter, the batch's input, an operator's output or gradient
 * with the layer it stands in. The trainer goes on no more, but where every parameter is finite it
 * can be saved as it was before the step. */
MT_API mt_status mt_trainer_run(mt_trainer *trainer, int64_t last, mt_after_update after,
                                void *context);

/* Ends the run at work, or where there is none the next one, once the updates that have begun are
 * done. mt_trainer_run then returns MT_OK. A handler of signals may call it. Any of several
 * ranks ends the run of all. */
MT_API void mt_trainer_stop(mt_trainer *trainer);

/* The parts of mt_trainer_run, for loops of one's own. begin puts the next update on the device,
 * only where it has room; finish waits for the oldest that has begun; pending counts those.
 * Where finish skips a bad step, those behind it have not begun any more. By all ranks. */
MT_API bool mt_trainer_has_room(const mt_trainer *trainer);
MT_API mt_status mt_trainer_begin(mt_trainer *trainer);
MT_API mt_status mt_trainer_finish(mt_trainer *trainer, mt_update *update);
MT_API int64_t mt_trainer_pending(const mt_trainer *trainer);

/* Gives access to the run's progress. The best validation and `seconds` are the program's to note,
 * the rest the trainer's: all of it is saved. */
MT_API mt_train_state *mt_trainer_state(mt_trainer *trainer);

/* The trainer's tape, for evaluating between two runs without memory of its own. */
MT_API mt_tape *mt_trainer_tape(mt_trainer *trainer);

/* Says what checkpoints hold beside parameters, optimiser and progress: the model's configuration,
 * its tokens and the text of the run's configuration, each or NULL. They outlive the trainer. It is
 * said before a checkpoint of a model is saved or loaded. MT_ERROR_INVALID for a model of other
 * parameters. */
MT_API mt_status mt_trainer_describe(mt_trainer *trainer, mt_model *model,
                                     const mt_token_list *tokens, const char *run_config);

/* The same of parameters that are a model's adapter: checkpoints hold them alone, and name the file
 * of `weights`, which the model has had since before it was adapted. Of these it is noted here what
 * they are known again by; they may be closed then. MT_ERROR_INVALID for a model of another
 * adapter, weights that have an adapter themselves, and a path that is not UTF-8; MT_ERROR_IO where
 * their file is gone; by all ranks, with the same weights. */
MT_API mt_status mt_trainer_describe_adapter(mt_trainer *trainer, const mt_model *model,
                                             const mt_weights *weights, const mt_token_list *tokens,
                                             const char *run_config);

/* Has checkpoints hold a tokenizer's file, too, or NULL; it outlives the trainer. */
MT_API mt_status mt_trainer_keep_tokenizer(mt_trainer *trainer, const mt_tokenizer_file *tokenizer);

/* Saves a checkpoint, atomically; and one of the parameters alone, to be used and not gone on from:
 * mt_weights_open reads a model's, mt_parameters_load those of a program's own.
 * MT_ERROR_INVALID while updates are at work. All ranks have the same to save: one of them does,
 * unless the optimiser is split. Where they carry something, each its own rows, these are gathered
 * when a run ends and behind mt_trainer_finish: so `after` can save at the run's last update
 * alone. */
MT_API mt_status mt_trainer_save(mt_trainer *trainer, const char *path);
MT_API mt_status mt_trainer_save_parameters(mt_trainer *trainer, const char *path);

/* Saves a checkpoint as mt_trainer_save does, beside the updates that follow: it holds what there
 * is now, of which the trainer keeps a copy in the host's memory, and a thread writes it.
 * mt_trainer_is_saving tells if it is still at it. mt_trainer_saved waits for the save that was
 * begun last and returns how it ended, a failure once; MT_OK where there was none. A failure that
 * nobody asked for is returned by the next save of this kind, which then has begun nothing. The
 * trainer's other saves, mt_trainer_load and mt_trainer_destroy wait for it too.
 *
 * Where there is no memory for a copy, or no thread, it is saved before this returns. Until it has
 * ended the program keeps the folder that a relative path is of, and writes the file by nothing
 * else; a program that ends without mt_trainer_saved or mt_trainer_destroy loses the save. A child
 * of fork has none at work: that is its parent's. */
MT_API mt_status mt_trainer_save_beside(mt_trainer *trainer, const char *path);
MT_API bool mt_trainer_is_saving(const mt_trainer *trainer);
MT_API mt_status mt_trainer_saved(mt_trainer *trainer);

/* Goes on from a checkpoint of parameters of the same names, shapes and type, which Adam of the
 * same configuration has trained (mt_checkpoint_restore): where the rest of the trainer's is the
 * same, too, later updates are, bit for bit, those of a run that was not interrupted.
 * What the checkpoint carries has to be of the objective's rows and width; ranks share its rows
 * anew.
 * MT_ERROR_INVALID with the first thing that differs, before anything is changed; a failure to read
 * a file that was opened sticks, since part of it may be in place. mt_trainer_load opens the file,
 * of a model's or of a program's own parameters, and restores it. By all ranks, each of which can
 * read the file, if rank 0's is what counts. */
MT_API mt_status mt_trainer_restore(mt_trainer *trainer, const mt_checkpoint *checkpoint);
MT_API mt_status mt_trainer_load(mt_trainer *trainer, const char *path);

/* A bad step that was repeated. */
typedef struct mt_replayed {
    int64_t step, batch; /* their numbers; of several windows, the first's */
    double loss;
    char found[384]; /* the first tensor that is not finite, "" where all are */
} mt_replayed;

/* Repeats the bad step that a trainer kept in its replay_file, on a tape of any device: gives the
 * parameters the values from before it, and looks at the batch, and at what each operator makes of
 * it, forward and then backward. The loss is the objective's; its batches are not asked for.
 * MT_ERROR_INVALID for a file without a batch, or where the parameters do not fit. */
MT_API mt_status mt_replay(const char *path, mt_tape *tape, const mt_objective *objective,
                           mt_parameters *parameters, mt_replayed *replayed);

/* The results of held-out batches. */
typedef struct mt_evaluation {
    double loss;     /* mean over what is counted */
    double accuracy; /* share of what is counted; NaN without counts */
    int64_t counted; /* rows; without counts, the batches' B */
} mt_evaluation;

/* Evaluates batches 0 .. count-1 of an objective, without recording; what is carried is empty
 * before the first. MT_ERROR_NUMERIC if the loss is not finite, MT_ERROR_INVALID where nothing was
 * counted. */
MT_API mt_status mt_evaluate(mt_tape *tape, const mt_objective *objective, int64_t count,
                             mt_evaluation *evaluation);

/* The same on the trainer's tape, between two runs. By all ranks: they share the batches, each of
 * which is one rank's whole, and all get what one process would have found, bit for bit. Batches
 * that carry something are evaluated by every rank. */
MT_API mt_status mt_trainer_evaluate(mt_trainer *trainer, const mt_objective *objective,
                                     int64_t count, mt_evaluation *evaluation);

#ifdef __cplusplus
}
#endif

#endif
