/* The tape from the inside, for the files that implement it: tape.c (its life and its tensors),
 * op.c (applying an operator), backward.c and recompute.c. Internal. */
#ifndef MT_AUTOGRAD_TAPE_INTERNAL_H
#define MT_AUTOGRAD_TAPE_INTERNAL_H

#include <mixtape/extend.h>

#include "arena.h"
#include "observe.h"

/* One recorded application; a step's records are a list from the last to the first, which is the
 * order of backward. */
typedef struct mt_record {
    struct mt_record *previous;
    const mt_op *op;
    bool adds_itself; /* a span: its backward adds to its inputs' gradients, as its operators do */
    mt_call call;
} mt_record;

struct mt_tape {
    mt_device *device;

    mt_arena records;     /* host: tensors, records, options */
    mt_arena step_values; /* outputs, saved values, gradients */
    mt_arena span_values; /* the same, of a recomputed span while it is at work */
    mt_arena scratch;     /* what an operator needs only while it runs */
    mt_arena *values;     /* step_values, or span_values inside a span */

    mt_record *last;
    bool recording;
    bool dry; /* inside a span's first run: gradients will be wanted, but nothing is recorded yet */
    bool in_span; /* inside a span, in either run */
    bool backward_done;

    mt_tape_observer *observer; /* or NULL */
    void *observer_context;

    uint64_t random_seed, random_count;
    uint64_t *random_step; /* (1), on the device */
    int64_t random_rank;   /* mt_tape_set_rank */

    mt_status status;
    char error[512];
};

/* The tensor whose data and gradient x shares: its base if it is a view, else itself. */
static inline mt_tensor *mt_tensor_owner(mt_tensor *x)
{
    return x->base != NULL ? x->base : x;
}

/* A tensor's header in the records, without data. Does not make the tape fail. */
mt_status mt_tape_new_tensor(mt_tape *tape, const char *name, mt_dtype dtype, int rank,
                             const int64_t *shape, mt_tensor **tensor);

/* Appends a record of `call` to the tape, where backward finds it. */
mt_status mt_tape_record(mt_tape *tape, const mt_op *op, const mt_call *call, bool adds_itself);

static inline void mt_tape_show(const mt_tape *tape, const mt_call *call, bool backward)
{
    if (tape->observer != NULL) {
        tape->observer(tape->observer_context, call, backward);
    }
}

/* Makes memory for the gradient of x, where there is none, which lives as long as the step. */
mt_status mt_tape_reserve_grad(mt_tape *tape, mt_tensor *x);

/* Goes through the records from tape->last, turning gradients of outputs into gradients of
 * inputs. */
mt_status mt_tape_propagate(mt_tape *tape);

/* Adds `grad` to the gradient of x, or makes it the first. */
mt_status mt_tape_add_grad(mt_tape *tape, mt_tensor *x, const void *grad);

#endif
