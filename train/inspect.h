/* Finding the first values of a training step that are not finite. Internal. */
#ifndef MT_TRAIN_INSPECT_H
#define MT_TRAIN_INSPECT_H

#include "train/windows.h"

/* What was found so far, in the order in which it was looked at. */
typedef struct inspection {
    const mt_parameters *parameters;
    char layer[MT_NAME_MAX]; /* of the parameter that was used last, in this direction */
    bool backward;           /* which it is */
    bool found;
    char text[384];   /* where, if found: "forward: element 3 of the output of ..." */
    mt_status status; /* what cannot be read is a failure, with its message */
} inspection;

/* Looks at the parameters, in order. */
mt_status inspect_parameters(inspection *inspected);

/* Computes the loss of windows on the tape, from a table of what is carried or NULL (windows_loss),
 * and goes backward, and looks at the batch, at what each operator makes, and at the gradients. The
 * batch stays on the tape, and what it carries on, or NULL. */
mt_status inspect_step(inspection *inspected, mt_tape *tape, windows *of, mt_tensor *table,
                       double *loss, mt_tensor **carried_on);

#endif
