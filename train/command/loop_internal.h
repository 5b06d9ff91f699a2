/* A run at work, from the inside. loop_open.c opens it, loop.c makes its steps and what is due
 * between them. loop_saves.c saves, loop_kept.c keeps older files, loop_events.c tells TensorBoard,
 * loop_plot.c draws, and loop_words.c says how it begins and ends. */
#ifndef MT_COMMAND_LOOP_INTERNAL_H
#define MT_COMMAND_LOOP_INTERNAL_H

#include <mixtape/trainer.h>

#include "train/command/kept_files.h"
#include "train/command/loop.h"
#include "train/command/plot.h"
#include "train/command/progress.h"
#include "train/events.h"

/* A model that is kept, with its validation loss. */
typedef struct kept_model {
    int64_t step;
    double loss;
} kept_model;

typedef struct train_loop {
    train_session *session;
    mt_trainer *trainer;
    mt_train_state *state; /* the trainer's */
    char *config_text;
    char replay_file[TEXT_MAX]; /* once the run has a folder */
    run_folder *folder;         /* of the caller */
    train_progress progress;
    int64_t saving_step;            /* of the checkpoint that is being written, or was last */
    bool is_unkept;                 /* it has not been kept yet (--keep) */
    kept_model kept[MOST_KEPT + 1]; /* --keep-best: the best of so far, in any order */
    int kept_count;
    int64_t unsaved_step; /* whose model is the best, but could not be saved; 0: none */
    double unsaved_loss;  /* its validation loss */
    mt_status failure;    /* of data or a step, which ends the run when it is saved, */
    char reason[2560];    /* and its message */
    double started;     /* the clock when the run was opened, less the seconds it had run before */
    int64_t first_step; /* when it was opened, */
    int64_t symbols_before;
    double seconds_before;
    plot picture; /* that is being drawn */
    bool draws;
    double drawn_at;                               /* the clock when it was begun last */
    event_file training_events, validation_events; /* of rank 0, unless it writes none */
} train_loop;

/* The trainer of a run. */
mt_trainer_config loop_trainer_config(const run_config *config);

/* Makes the trainer, which goes on from the checkpoint unless that is NULL, and the run's folder.
 * What was made is left to the caller, whatever comes back. */
mt_status loop_open(train_loop *loop, const mt_checkpoint *checkpoint);

/* Saves a checkpoint: beside the run, or at once. The rows up to its step reach the disk before it
 * does. */
mt_status loop_save(train_loop *loop);
mt_status loop_save_now(train_loop *loop);

/* Says how a save beside the run ended, if it has and failed. A disk that is full today may have
 * room at the next save: the run goes on. */
mt_status loop_hear_of_save(train_loop *loop);

/* Saves the model as the best, with its validation loss. If that fails the best is who it was,
 * unless it has the name already and was only not flushed. */
mt_status loop_save_best(train_loop *loop, double loss);

/* Saves the model under another name. */
mt_status loop_save_model(train_loop *loop, const char *name);

/* --keep: keeps the checkpoint of a step, and drops the oldest. --keep-best: finds the models that
 * the run has kept, and keeps the one that was validated, if it is good enough, in the place of the
 * worst; best.h5 is it where it is the best. */
void loop_keep_checkpoint(train_loop *loop, int64_t step);
mt_status loop_kept_open(train_loop *loop);
mt_status loop_keep_best(train_loop *loop, double loss, bool is_best);

/* The save that a run ends with: a best model that could not be saved is tried again, and the
 * checkpoint is read back. */
mt_status loop_save_last(train_loop *loop);

/* Files for TensorBoard: opened once the run has its folder; a row of metrics.csv, or of it what a
 * validation found; how weights and gradients are spread. */
void loop_events_open(train_loop *loop);
void loop_events_add(train_loop *loop, const metrics_row *row);
void loop_events_add_validation(train_loop *loop, const metrics_row *row);
void loop_events_add_histograms(train_loop *loop);
void loop_events_close(train_loop *loop);

/* The picture of the run: whether there is to be one; another, if the last one is done and of some
 * time ago; the last one, which is waited for. */
void loop_plot_open(train_loop *loop);
void loop_plot(train_loop *loop);
void loop_plot_last(train_loop *loop);

/* Says that what is due after this step could not be written, and goes on. */
mt_status loop_go_on_without(train_loop *loop, mt_status status);

/* The first lines of a run, `notice` among them unless it is "". */
void loop_say_start(train_loop *loop, const char *notice);

/* The last line of a run that did not fail. */
void loop_say_end(train_loop *loop, loop_end end);

#endif
