/* The sizes of a model that begins with the weights of a file (--init). */
#ifndef MT_COMMAND_INIT_SIZES_H
#define MT_COMMAND_INIT_SIZES_H

#include "train/command/train_arguments.h"

/* Those of the file, but for what it does not tell: that is as ESPnet's configuration has it, where
 * one is given. Says on standard error where the file has it otherwise than the configuration, and
 * what neither these nor the command line told. */
void init_sizes_take(const train_arguments *given, const mt_weights *init, run_config *config);

#endif
