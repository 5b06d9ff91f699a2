/* The command line of mixtape train. */
#ifndef MT_COMMAND_TRAIN_ARGUMENTS_H
#define MT_COMMAND_TRAIN_ARGUMENTS_H

#include <mixtape/weights.h>

#include "train/command/preset.h"
#include "train/command/ranks.h"
#include "train/run_config.h"

typedef struct given_option {
    const char *name, *text;
    bool kept; /* the text is as config.yaml has it (options_add_kept) */
} given_option;

/* Options as they stand on the command line: they are set once the task's own defaults are. */
typedef struct train_arguments {
    const char *task, *resume, *espnet_config, *config;
    const mt_layout *style; /* or NULL */
    const preset *preset;   /* or NULL */
    bool dry_run, print_config, list_presets;
    ranks_meeting meeting;
    const char *list; /* the option that an argument belongs to: a list that stands before it */
    int count;
    given_option *options;  /* those of --config before the others */
    run_config file_config; /* what that file says, and texts of it, which the options point to */
    file_list file_texts;
    char preset_task[TEXT_MAX];
} train_arguments;

/* Reads the command line, and sets `config` to the defaults of the task that it names, which the
 * help tells. What is wrong with the arguments, and --help, end the program. */
mt_status train_arguments_parse(int argc, char **argv, run_config *config, train_arguments *given);
void train_arguments_free(train_arguments *given);

/* Tells if a file of options may have one, of those that are the verb's own, and takes it from
 * there, unless it was given already; the text lives as long as the arguments. */
bool train_arguments_may_be_in_file(const char *name);
mt_status train_arguments_take(train_arguments *given, const char *name, const char *text);

/* Where no task was named, takes that of what was: the preset, or ESPnet's configuration. */
mt_status train_arguments_name_task(train_arguments *given);

/* The text that an option of the table was given last, or NULL. */
const char *train_argument(const train_arguments *given, const char *name);

#endif
