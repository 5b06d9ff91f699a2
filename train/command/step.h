/* Updates of a run, put on the device without waiting for it: forward, backward and Adam of
 * `accumulate` batches. Results are read when they have arrived, so a device that runs behind
 * always has work. Where the device can record work and batches repeat their shapes, an update is
 * recorded once and replayed. */
#ifndef MT_COMMAND_STEP_H
#define MT_COMMAND_STEP_H

#include <mixtape/adam.h>

#include "train/command/session.h"

/* What one update showed: means over its batches. `accuracy` NaN: not known. */
typedef struct step_result {
    double loss, accuracy, grad_norm, lr;
    int64_t symbols;
} step_result;

typedef struct step_queue step_queue;

/* `adam` and the session outlive the queue. The caller closes it. */
mt_status step_queue_open(train_session *session, mt_adam *adam, step_queue **queue);
void step_queue_close(step_queue *queue); /* NULL is allowed; waits for the device */

/* Enqueues update number adam->step + 1. Only while step_queue_has_room. */
mt_status step_enqueue(step_queue *queue, double lr);
bool step_queue_has_room(const step_queue *queue);

/* Updates that are enqueued and not collected yet. */
int64_t step_queue_length(const step_queue *queue);

/* Waits for the oldest of them. MT_ERROR_NUMERIC, with the update's number and the parameter
 * concerned, for a loss or a gradient that is not finite; that update has then changed nothing. */
mt_status step_collect(step_queue *queue, step_result *result);

#endif
