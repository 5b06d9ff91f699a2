/* What a trainer asks of a tape beside its operators: to look at a step while it is computed, which
 * share of a batch it is of, its memory. Internal. */
#ifndef MT_AUTOGRAD_OBSERVE_H
#define MT_AUTOGRAD_OBSERVE_H

#include <mixtape/extend.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sees an operator's call when its outputs have been computed; and, in backward, when what it adds
 * to the gradients of its inputs has been (mt_tensor_grad). */
typedef void mt_tape_observer(void *context, const mt_call *call, bool backward);

/* Calls the observer from now on, for spans that are computed again too; NULL: nobody. */
void mt_tape_observe(mt_tape *tape, mt_tape_observer *observer, void *context);

/* From now on the tape has share number `rank` of a batch's rows, counted from 0, and each tensor
 * that is dropped from has them first: so elements are dropped as they would be of the whole. */
void mt_tape_set_rank(mt_tape *tape, int rank);

/* Bytes of mt_tape_memory that no step has used yet, of which the system gives none where memory
 * comes when it is touched. */
size_t mt_tape_untouched(const mt_tape *tape);

#ifdef __cplusplus
}
#endif

#endif
