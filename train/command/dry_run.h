/* A run's memory, told before it is taken. */
#ifndef MT_COMMAND_DRY_RUN_H
#define MT_COMMAND_DRY_RUN_H

#include "train/command/session.h"

/* Prints what a run of the session will hold on its device at a time: an update and a validation of
 * the longest sequences are made on the session's device, which is a dry one (kernels/dry.h). */
mt_status dry_run(train_session *session);

#endif
