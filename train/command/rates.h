/* Rates of parameters, of `mixtape train --rates`. */
#ifndef MT_COMMAND_RATES_H
#define MT_COMMAND_RATES_H

#include <mixtape/parameter.h>

/* Gives parameters rates of their own (mt_parameters_set_rate) from "PATTERN=FACTOR,...", in that
 * order. MT_ERROR_INVALID, with the option and its part, for what is not that, and for a pattern
 * that no name matches. */
mt_status rates_set(const char *rates, mt_parameters *parameters);

#endif
