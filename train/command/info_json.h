/* What `mixtape info --json` prints. */
#ifndef MT_COMMAND_INFO_JSON_H
#define MT_COMMAND_INFO_JSON_H

#include <mixtape/checkpoint.h>

/* Prints what a file holds as an object on standard output. `run` is what the caller named, a run's
 * folder or a file, and `path` the file; `rms` has the root of each parameter's mean square, or is
 * NULL. */
mt_status info_json(const char *run, const char *path, const mt_checkpoint *checkpoint,
                    const double *rms);

#endif
