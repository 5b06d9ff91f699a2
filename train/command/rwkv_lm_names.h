/* The names that others know. */
#ifndef MT_COMMAND_RWKV_LM_NAMES_H
#define MT_COMMAND_RWKV_LM_NAMES_H

/* What an option is called in RWKV-LM's train.py, where that differs, or NULL. */
const char *rwkv_lm_name(const char *option);

/* The option that train.py calls so, or NULL. */
const char *rwkv_lm_option(const char *name);

#endif
