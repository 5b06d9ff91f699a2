/* What `mixtape info --json` prints. */
#ifndef MT_COMMAND_INFO_JSON_H
#define MT_COMMAND_INFO_JSON_H

#include <mixtape/checkpoint.h>

#include "train/command/run_view.h"

/* Prints what a file holds as an object on standard output. `run` is the run that it is of, or
 * NULL; `rms` has the root of each parameter's mean square, or is NULL. */
mt_status info_json(const run_view *run, const char *path, const mt_checkpoint *checkpoint,
                    const double *rms);

/* The same of a run that has saved nothing yet: all but "run" is null, or false. */
mt_status info_json_unsaved(const run_view *run);

#endif
