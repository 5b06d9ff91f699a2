/* The arguments of a verb, by argp, with complaints of one line. Wrong usage ends the program with
 * EXIT_USAGE, before anything is done. */
#ifndef MT_COMMAND_ARGUMENTS_H
#define MT_COMMAND_ARGUMENTS_H

#include <mixtape/error.h>

#include <argp.h>

/* Added to a key: the option has a long name alone. */
enum { LONG_ONLY = 0x100 };

/* argp_parse, whose parser writes to `given`. Ends the program on what argp does not understand,
 * and on --help. */
void parse_arguments(const struct argp *argp, int argc, char **argv, void *given);

/* For parsers, in place of argp_error: ends the program. */
_Noreturn void wrong_arguments(const struct argp_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Text as a whole number, or a real one, in a range; MT_ERROR_INVALID names the option. */
mt_status parse_whole(const char *option, const char *text, long long least, long long most,
                      long long *value);
mt_status parse_real(const char *option, const char *text, double least, double most,
                     double *value);

#endif
