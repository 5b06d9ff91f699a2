/* How the weights of a model that is used are kept in memory: --weights of generate and eval. */
#ifndef MT_COMMAND_KEPT_WEIGHTS_H
#define MT_COMMAND_KEPT_WEIGHTS_H

#include <mixtape/model.h>

#include <argp.h>

/* For parsers, of the option's value or NULL: ends the program where it is none. */
void kept_weights_check(const char *name, const struct argp_state *state);

/* Keeps them so; NULL: as they are, in the model's own type. MT_ERROR_INVALID for float32 of a
 * model of float64, which nothing would be gained by. */
mt_status kept_weights_turn(mt_model *model, const char *name);

#endif
