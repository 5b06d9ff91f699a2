/* What a run holds out, in the batches that a validation has. */
#ifndef MT_COMMAND_HELD_OUT_H
#define MT_COMMAND_HELD_OUT_H

#include "train/command/session.h"

/* The batches of a validation, of which the last few may be of another size. Where a task's rows
 * are the same whatever batch they are in, their number is what serves products and caches, not
 * that of training: what is measured changes by no more than rounding. Rows that carry a state are
 * as many as in training, from the first batch to the last. It depends on the run's configuration
 * and the kind of its device, so that a run that goes on has the same bits. */
typedef struct held_out {
    session_batches of; /* first: the context of the session's own loss */
    run_config config;  /* the run's, with the size of a batch at work */
    int64_t rows;       /* sequences of a batch, */
    int64_t whole;      /* of which there are so many; */
    int64_t batches;    /* those behind them are as in training */
    int64_t rest;       /* the number of the first of those, counted as in training */
} held_out;

/* The session outlives it. */
void held_out_begin(train_session *session, held_out *held);

/* Its batches and their loss; it stays where it is. */
mt_objective held_out_objective(held_out *held);

/* The loss on held-out data, by a trainer and the ranks that train with it; or NULL, and on the
 * session's tape. Progress is shown where the session has one. */
mt_status session_evaluate(train_session *session, mt_trainer *trainer, mt_evaluation *found);

#endif
