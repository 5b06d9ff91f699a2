/* Recipes of `mixtape train --recipe NAME`: options that another program trains with, all at
 * once. */
#ifndef MT_COMMAND_RECIPE_H
#define MT_COMMAND_RECIPE_H

#include "train/run_config.h"

typedef struct recipe recipe;

/* MT_ERROR_INVALID lists the names. */
mt_status recipe_parse(const char *name, const recipe **found);

/* Sets its options, but for those that the configuration's task does not read, for others to be set
 * after that. */
mt_status recipe_set(const recipe *chosen, run_config *config);

/* What an option is called in RWKV-LM's train.py, where that differs, or NULL. */
const char *recipe_rwkv_lm_name(const char *option);

#endif
