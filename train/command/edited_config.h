/* What somebody wrote into the config.yaml of a run that goes on. */
#ifndef MT_COMMAND_EDITED_CONFIG_H
#define MT_COMMAND_EDITED_CONFIG_H

#include "train/run_config.h"
#include "train/run_folder.h"

/* Takes into `config`, which is that of the run's checkpoint, the options that the folder's
 * config.yaml says otherwise, and tells each on standard error and in the log. MT_ERROR_INVALID
 * where a run cannot change it, or for another task. */
mt_status edited_config_take(const run_folder *folder, run_config *config);

/* Tells if the folder's config.yaml says the same as a text of its kind, in whatever order, with
 * whatever comments: then it stays as somebody wrote it. */
bool edited_config_is(const run_folder *folder, const char *config_text);

#endif
