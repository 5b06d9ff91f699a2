/* An objective's two functions, called and checked, for the trainer and for mt_evaluate.
 * Internal. */
#ifndef MT_TRAIN_OBJECTIVE_H
#define MT_TRAIN_OBJECTIVE_H

#include <mixtape/trainer.h>

/* Puts a batch on the tape, behind what is there. MT_ERROR_INVALID unless it has an input (B, T,
 * ...). */
mt_status objective_put(const mt_objective *objective, mt_tape *tape, int64_t index,
                        mt_batch *batch);

/* The batch's loss; `counts` is NULL where it has none. MT_ERROR_INVALID unless the loss is one
 * real, and the counts are two of its type. */
mt_status objective_loss(const mt_objective *objective, mt_tape *tape, const mt_batch *batch,
                         mt_tensor **loss, mt_tensor **counts);

#endif
