/* The style of a model, of `mixtape train --style NAME`: that it can be exported to a layout. */
#ifndef MT_COMMAND_STYLE_H
#define MT_COMMAND_STYLE_H

#include <mixtape/layout.h>

#include "train/run_config.h"

/* Sets what the layout asks for, for options to be set after that. */
mt_status style_set(const mt_layout *style, run_config *config);

/* Tells if a style sets an option, of tasks that do not read it, too. */
bool style_sets(const char *option);

/* MT_ERROR_INVALID, with the option and both values, where something was set to what cannot be
 * exported to the layout. */
mt_status style_check(const mt_layout *style, const run_config *config);

enum { STYLE_TEXT = 256 };

/* Which layouts a model that is to be trained can be exported to, in words. */
void style_tell(const mt_model_config *model, char text[STYLE_TEXT]);

#endif
