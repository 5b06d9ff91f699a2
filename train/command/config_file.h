/* A file of options, YAML as config.yaml is (train --config). */
#ifndef MT_COMMAND_CONFIG_FILE_H
#define MT_COMMAND_CONFIG_FILE_H

#include "train/command/train_arguments.h"

/* Takes what the file says of the verb's own options, unless the command line has them, and its
 * task where none was named; and puts what it says otherwise than those set, and the task's
 * defaults, before the options that were given, as if it had been given first. A list that was
 * given takes the place of the file's. MT_ERROR_FORMAT with the file and the line, MT_ERROR_IO. The
 * texts are given->file_config's and file_texts'. */
mt_status config_file_take(const char *path, train_arguments *given);

#endif
