/* Looking at a step while it is computed, and at its memory. Internal. */
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

/* Bytes of mt_tape_memory that no step has used yet, of which the system gives none where memory
 * comes when it is touched. */
size_t mt_tape_untouched(const mt_tape *tape);

#ifdef __cplusplus
}
#endif

#endif
