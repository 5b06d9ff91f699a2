/* A trainer from the inside. trainer.c has what programs call, trainer_saves.c its checkpoints;
 * trainer_updates.c puts updates on the device, trainer_carried.c is what they carry to the next,
 * trainer_shares.c what several ranks do together in one, trainer_pieces.c how their gradients are
 * summed, trainer_split.c how they share Adam's moments, and trainer_results.c fetches what updates
 * showed. A batch, here, is all the windows that are one to the program's loss. */
#ifndef MT_TRAIN_TRAINER_INTERNAL_H
#define MT_TRAIN_TRAINER_INTERNAL_H

#include <mixtape/trainer.h>

#include "io/adapter_file.h"
#include "io/checkpoint_file.h"
#include "kernels/communicator.h"
#include "kernels/device.h"
#include "optim/adam_part.h"
#include "train/windows.h"

#include <signal.h>

/* A batch takes three of the device's read slots; recordings are kept for so many shapes. */
enum { LOSS_SLOT, COUNTS_SLOT, NORM_SLOT, SLOTS };
enum { BATCHES = MT_READ_SLOTS / SLOTS, RECORDINGS = 16 };

/* The gradients of several ranks, which are summed in pieces (trainer_pieces.c). */
typedef struct grad_pieces grad_pieces;

/* A batch whose results are on their way. */
typedef struct pending_batch {
    int64_t update;   /* that it belongs to */
    bool ends_update; /* it is its last */
    bool counted;     /* there are counts beside the loss */
    mt_dtype dtype;   /* of either */
    int64_t symbols;
    double lr;
} pending_batch;

/* What a batch shows, on the device, where it outlives its tape's reset. Counts that are absent
 * have no data. */
typedef struct batch_results {
    mt_tensor loss, counts;
    int64_t symbols;
} batch_results;

/* The tensors of a window that go in: all on the device, at addresses that repeat. Those that are
 * absent have no data. */
typedef struct window_places {
    mt_tensor input, target, others[MT_BATCH_OTHERS], rows;
} window_places;

/* An update of one batch, by the shapes and addresses of what goes in. */
typedef struct recorded_update {
    window_places *places; /* one for each of its windows */
    batch_results results;
    mt_recording *recording; /* NULL: seen once, so that everything is allocated */
} recorded_update;

/* What is carried from batch to batch, where something is. */
typedef struct trainer_carried {
    int64_t rows;     /* of this rank */
    mt_tensor kept;   /* the table that the last update that was made left, */
    mt_tensor next;   /* and that of the last batch of one that has several */
    double *squares;  /* (1), on the device: whether it is finite */
    int32_t *scratch; /* as many as the rows of all ranks */
    char *whole;      /* (rows of all ranks, width), on the host: what is kept, */
    bool is_gathered; /* once it was gathered; behind it there is room for this rank's */
} trainer_carried;

/* Of the batches of one update that have been collected. */
typedef struct batch_sums {
    double loss, hits, counted;
    int64_t batches, symbols;
} batch_sums;

/* What a rank tells the others of its share of a batch; and the sum of that. */
typedef struct batch_vote {
    int32_t status; /* of making it and its loss */
    bool lacks_batch;
    bool stopped;
    double loss; /* the mean */
    double counted, hits;
    double carried; /* 0, or no number where what is carried on is not finite */
    double share;   /* of the sum alone: how much of the mean is this rank's */
} batch_vote;

struct mt_trainer {
    mt_trainer_config config;
    mt_objective objective;
    mt_parameters *parameters; /* not owned */
    mt_device *device;
    mt_tape *tape;
    mt_adam *adam;
    mt_train_state state;
    mt_model *model; /* what mt_trainer_describe was told */
    const mt_token_list *tokens;
    const mt_tokenizer_file *tokenizer;
    const char *run_config;
    mt_adapter_origin adapter; /* mt_trainer_describe_adapter; `model`, owned, NULL: none */
    mt_saver *saver;           /* of saves beside the training; NULL: there was none */
    volatile sig_atomic_t stopped;
    mt_status status;          /* the first failure, */
    char error[2048];          /* and what it was; or, where there is none, why there is no batch */
    batch_vote *votes;         /* of all ranks; NULL where it trains alone, */
    grad_pieces *pieces;       /* as these are */
    mt_moments_access moments; /* where they are split */
    bool all_stop;             /* one of the ranks was stopped, and all know it */
    bool lacks_batch;          /* of the update that was to begin: nothing of it is left */
    bool undone;               /* the failure is a bad step, and all is as before it, and finite */
    char bad_step[2048];       /* the latest update that was not made, and why */

    pending_batch batches[BATCHES]; /* a ring */
    int64_t first, count;           /* of the ring */
    int64_t updates;                /* that they make up */
    batch_sums sums;                /* of the oldest update */

    trainer_carried carried;
    windows at_hand;       /* the batch that is being put on the device */
    window_places *places; /* of all recordings */

    recorded_update recorded[RECORDINGS];
    int recorded_count, next_recorded;
};

/* The number of the update that was begun last. */
static inline int64_t trainer_begun(const mt_trainer *trainer)
{
    return trainer->state.step + trainer->updates;
}

/* Keeps the first failure, and returns `status`. */
mt_status trainer_stick(mt_trainer *trainer, mt_status status);

/* MT_OK, or the failure that was kept. */
mt_status trainer_status(const mt_trainer *trainer);

/* Tells if other ranks train with it. */
static inline bool trainer_shares(const mt_trainer *trainer)
{
    const mt_communicator *communicator = trainer->config.communicator;
    return communicator != NULL && (communicator->size > 1 || communicator->is_forced);
}

/* Gives all ranks a status (mt_communicator_agree); its own, where it trains alone. */
static inline mt_status trainer_agree(const mt_trainer *trainer, mt_status status)
{
    return trainer_shares(trainer) ? mt_communicator_agree(trainer->config.communicator, status)
                                   : status;
}

/* Resets the tape and puts a batch of the run on it, all its windows: this rank's share, or the
 * whole. It is trainer->at_hand. */
mt_status trainer_put_batch(mt_trainer *trainer, int64_t number, bool whole);

/* Symbols of the batch at hand, in this rank's share or the whole. */
int64_t trainer_symbols_at_hand(const mt_trainer *trainer);

/* Compares the ranks' parameters, and gives all of them rank 0's values; and with these its
 * optimiser's and its progress. */
mt_status trainer_share_start(mt_trainer *trainer);
mt_status trainer_share_values(mt_trainer *trainer);

/* Leaves of a batch this rank's rows. */
mt_status trainer_take_share(mt_trainer *trainer, mt_batch *batch);

/* Tells the other ranks how a share of a batch and its loss came out, `status` if it failed, and
 * gets the sums of all. Fails on all ranks where one failed, and sets trainer->lacks_batch. */
mt_status trainer_vote(mt_trainer *trainer, mt_status status, const mt_tensor *loss,
                       const mt_tensor *counts, const mt_tensor *carried_on, batch_vote *whole);

/* Between two updates: gives all ranks a failure of one, and has all stop where one was stopped. */
mt_status trainer_meet(mt_trainer *trainer, mt_status status);

/* The memory of the parameters outlives the pieces. */
mt_status grad_pieces_create(mt_parameters *parameters, mt_communicator *communicator,
                             grad_pieces **pieces);
void grad_pieces_destroy(grad_pieces *pieces); /* NULL is allowed */

/* Counts what operators that are computed from here on take of each piece, up to grad_pieces_begin
 * or mt_tape_observe. */
void grad_pieces_count(grad_pieces *pieces, mt_tape *tape);

/* Begins the sum of each piece when backward, which comes next, has done with it; and of those that
 * are left, and ends all. By all ranks, of which one may have failed in backward, with `status`.
 * Returns this rank's first failure. */
void grad_pieces_begin(grad_pieces *pieces, mt_tape *tape);
mt_status grad_pieces_end(grad_pieces *pieces, mt_tape *tape, mt_status status);

/* Tells if each of several ranks has a part of Adam's moments alone; gives it an optimiser of its
 * part; and gives all ranks the parameters of each one's part, which it has updated. */
bool trainer_splits(const mt_trainer *trainer);
mt_status trainer_create_part(mt_trainer *trainer);
mt_status trainer_spread_parts(mt_trainer *trainer);

/* Does what needs all moments, unless `status` tells of a failure before it. Where they are split
 * that is called by all ranks, but done by rank 0 alone, which the others serve; all of them return
 * how it went. */
mt_status trainer_with_moments(mt_trainer *trainer, mt_status status,
                               mt_status (*use)(mt_trainer *trainer, void *context), void *context);

/* Puts the next update on the device. Only where there is room. */
mt_status trainer_enqueue(mt_trainer *trainer);

/* Asks for the results of a batch, which goes to the end of the ring. */
mt_status trainer_read_later(mt_trainer *trainer, const batch_results *results, bool ends_update,
                             double lr);

/* Waits for the oldest batch, and adds it to its update's sums. `grad_norm` is written where the
 * batch ends its update. */
mt_status trainer_collect_batch(mt_trainer *trainer, double *grad_norm);

/* Waits for the oldest update. */
mt_status trainer_collect(mt_trainer *trainer, mt_update *update);

/* What its checkpoints hold, without the optimiser and the tokenizer. */
mt_checkpoint_parts trainer_parts(const mt_trainer *trainer);

/* MT_ERROR_INVALID for a checkpoint of an adapter that computes otherwise. */
mt_status trainer_check_adapter(const mt_trainer *trainer, const mt_checkpoint *checkpoint);

/* Writes the file that mt_replay reads, of the batch at hand and the table that it began with. */
mt_status trainer_keep_batch(const mt_trainer *trainer, mt_tensor *table, int64_t number);

/* ---- what is carried (trainer_carried.c); without anything all of these do nothing ---- */

static inline bool trainer_carries(const mt_trainer *trainer)
{
    return trainer->objective.carried.width > 0;
}

mt_status trainer_carried_open(mt_trainer *trainer);
void trainer_carried_close(mt_trainer *trainer);

/* The table that a batch begins with, the first of its update or not; NULL: there is none. */
mt_tensor *trainer_carried_before(mt_trainer *trainer, bool first);

/* Has the update not made where what is carried on is not finite: its squares are summed, and
 * watched. */
mt_status trainer_carried_sum(mt_trainer *trainer, const mt_tensor *carried_on);
mt_status trainer_carried_watch(mt_trainer *trainer, const mt_tensor *carried_on);

/* Hands it to the update's next batch; or, behind the update, keeps it where that was made. */
mt_status trainer_carried_pass(mt_trainer *trainer, const mt_tensor *carried_on);
mt_status trainer_carried_keep(mt_trainer *trainer, const mt_tensor *carried_on);

/* Gathers on the host what all ranks keep, unless it was. By all ranks, with no update at work. */
mt_status trainer_carried_gather(mt_trainer *trainer);

/* For a checkpoint: gathers it, or fails where other ranks would have to take part. */
mt_status trainer_carried_to_save(mt_trainer *trainer, mt_carried_rows *saved);

/* Reads what a checkpoint carries, which has to fit; and, by all ranks, takes that of rank 0. */
mt_status trainer_carried_read(mt_trainer *trainer, const mt_checkpoint *checkpoint);
mt_status trainer_carried_take(mt_trainer *trainer);

/* Deals with an update that the device did not make, the oldest; those behind it are taken back.
 * MT_OK where it is skipped. */
mt_status trainer_bad_update(mt_trainer *trainer, mt_update *update);

#endif
