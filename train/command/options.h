/* The options of a run: one table, from which the command line is parsed, its help printed, and
 * config.yaml written and read (options_yaml.c). */
#ifndef MT_COMMAND_OPTIONS_H
#define MT_COMMAND_OPTIONS_H

#include <mixtape/error.h>

#include "train/command/options_table.h"

#include <argp.h>
#include <stddef.h>

/* The defaults of every task; a task changes some of them before the command line does. */
void options_defaults(run_config *config);

/* Sets one option, by its name without dashes, from text, which a list adds to what it has, and
 * which empties it where there is none. MT_ERROR_INVALID names the option, the text and what it may
 * be. */
mt_status options_set(run_config *config, const char *name, const char *text);

/* The same, refusing what this task does not read. */
mt_status options_set_for(const char *task, run_config *config, const char *name, const char *text);

/* The same for a run that goes on, refusing other values for what it began with. */
mt_status options_change(run_config *config, const char *name, const char *text);

/* Tells if a task reads an option. */
bool options_is_read(const char *task, const char *name);

/* Tells if an option is a list, and empties it, for what is set next to be all of it. */
bool options_is_list(const char *name);
const file_list *options_list(const option_row *row, const run_config *config);

/* Sets an option as config.yaml has it, where a list may have lines of a file that was named. */
mt_status options_add_kept(run_config *config, const char *name, const char *text);
void options_empty_list(run_config *config, const char *name);

/* The table as argp's, behind options of the verb's own, telling these defaults, without what their
 * task does not read: keys count from OPTION_KEY. Static memory. */
enum { OPTION_KEY = 0x1000 };
const struct argp_option *options_argp(const struct argp_option *own, const run_config *defaults);
const char *options_name(int key); /* of a key of that table, NULL for others */

/* The value of an option that is no list, as text. */
const char *options_text(const option_row *row, const run_config *config, char text[TEXT_MAX]);
const char *options_text_of(const char *name, const run_config *config, char text[TEXT_MAX]);

/* The configuration as YAML, `name: value` a line, with a list of several files below its name, in
 * memory that the caller frees; and back, over what is set already. Unknown names and values out of
 * range are MT_ERROR_FORMAT. */
mt_status options_write_yaml(const run_config *config, char **text);
mt_status options_read_yaml(run_config *config, const char *text);

/* The same of the options that a task reads, without the others and the task that is named. */
mt_status options_read_yaml_for(const char *task, run_config *config, const char *text);

/* The same where other names may stand beside the options: `take` is given each name with its value
 * first, and tells if it is one of them, and what is wrong with the value. */
typedef mt_status options_beside(void *context, const char *name, const char *text, bool *taken);
mt_status options_read_yaml_beside(run_config *config, const char *text, options_beside *take,
                                   void *context);

#endif
