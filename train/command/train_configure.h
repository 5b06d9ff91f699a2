/* A run's configuration, from what the command line and the files that it names say. */
#ifndef MT_COMMAND_TRAIN_CONFIGURE_H
#define MT_COMMAND_TRAIN_CONFIGURE_H

#include "train/command/train_arguments.h"
#include "train/task.h"

/* Those of a task; of every task where it is NULL. */
void configure_defaults(const train_task *task, run_config *config);

/* The task's defaults, and over them what a style, ESPnet's configuration and a preset set: all
 * that a new run has before its options are set. `init` may be NULL. */
mt_status configure_before(const train_arguments *given, const train_task *task,
                           const mt_weights *init, run_config *config);

/* The options of the command line. Files get their whole paths. */
mt_status configure_given(const train_arguments *given, run_config *config);

/* That of a new run: over what is set before, the sizes of `init`, or NULL; over those the command
 * line. */
mt_status configure_new(const train_arguments *given, const mt_checkpoint *init,
                        run_config *config);

#endif
