/* Files that a run keeps beside checkpoint.h5 and best.h5: checkpoint-STEP.h5 and best-STEP.h5. */
#ifndef MT_COMMAND_KEPT_FILES_H
#define MT_COMMAND_KEPT_FILES_H

#include <mixtape/error.h>

#include "train/run_config.h"

enum { MOST_KEPT = 100 };

/* Finds the steps of which a folder has files KIND-STEP.h5, the lowest first, at most MOST_KEPT.
 * Returns how many. A folder that cannot be read has none. */
int kept_files_find(const char *folder, const char *kind, int64_t steps[MOST_KEPT]);

/* "FOLDER/KIND-STEP.h5"; MT_ERROR_INVALID where that is too long. */
mt_status kept_files_name(const char *folder, const char *kind, int64_t step, char path[TEXT_MAX]);

/* Keeps FOLDER/KIND.h5, as it is now, under the step's name, too, in the place of what has it. */
mt_status kept_files_add(const char *folder, const char *kind, int64_t step);

void kept_files_remove(const char *folder, const char *kind, int64_t step);

#endif
