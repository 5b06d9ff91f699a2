/* A few held-out examples of a toy task, as a person reads them. */
#ifndef MT_COMMAND_EXAMPLES_H
#define MT_COMMAND_EXAMPLES_H

#include "train/command/session.h"

/* Prints input, target and prediction of the first sequences of the validation batches on standard
 * output; nothing for language tasks. They are computed on the tape. */
mt_status examples_show(train_session *session, mt_tape *tape);

#endif
