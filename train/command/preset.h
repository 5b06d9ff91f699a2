/* Options that come with the program as files of train/presets/, YAML as config.yaml is, whose
 * first line says what they are for (train --preset NAME). One may name another, as a file of
 * --config may. The text of each is in the program. */
#ifndef MT_COMMAND_PRESET_H
#define MT_COMMAND_PRESET_H

#include "train/run_config.h"

typedef struct preset {
    const char *name, *text;
} preset;

extern const preset presets[]; /* which CMake makes of the files; NULL is behind the last name */

/* MT_ERROR_INVALID lists the names. */
mt_status preset_find(const char *name, const preset **found);

/* Puts the task that it names into `task`, "" if it is for any. */
mt_status preset_task(const preset *chosen, char task[TEXT_MAX]);

/* Refuses a run without --init by a preset whose first line says that it is for "(--init)". */
mt_status preset_check(const preset *chosen, const run_config *config);

/* Sets its options, but for those that the configuration's task does not read, for others to be set
 * after that. */
mt_status preset_set(const preset *chosen, run_config *config);

/* Shows a line for each on standard output: its name and what it is for. */
void presets_list(void);

#endif
