/* What is odd about the names of data, as a file that stands there twice, by whatever path or link.
 * Who named it may mean it, but is told; what streams can be read only once. */
#ifndef MT_COMMAND_DATA_NAMES_H
#define MT_COMMAND_DATA_NAMES_H

#include "train/file_list.h"

enum { DATA_NAMES_NOTE = 1024 };

/* Says in one line what is named twice, or named for both, or trained on though its name says that
 * it is held out, as in a folder of train.bin and val.bin, or is JSON lines; "" where nothing is.
 * `valid` is NULL where nothing is trained on. A folder stands for its files; what is not there is
 * left to whoever reads it. MT_ERROR_INVALID for standard input or a pipe that is named twice; else
 * as file_list_walk. */
mt_status data_names_check(const file_list *data, const file_list *valid,
                           char note[DATA_NAMES_NOTE]);

#endif
