/* The arguments of a verb, by argp, with complaints of one line. Wrong usage ends the program with
 * EXIT_USAGE, before anything is done. */
#ifndef MT_COMMAND_ARGUMENTS_H
#define MT_COMMAND_ARGUMENTS_H

#include <mixtape/error.h>

#include <argp.h>

/* Added to a key: the option has a long name alone. */
enum { LONG_ONLY = 0x100 };

/* argp_parse, in the order of the arguments, whose parser writes to `given`. Ends the program on
 * what argp does not understand, and on --help. */
void parse_arguments(const struct argp *argp, int argc, char **argv, void *given);

/* For parsers, in place of argp_error: ends the program. */
_Noreturn void wrong_arguments(const struct argp_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For parsers, of a key that is no option of theirs: the one argument that a verb has, `what`
 * ("run", "file"), goes to `given`, NULL before. Ends the program where there is none, or more. */
error_t parse_argument(int key, char *text, const struct argp_state *state, const char *what,
                       const char **given);

/* Several arguments, of which a verb takes so many at least and at most. */
typedef struct argument_list {
    const char **texts; /* with room for `most` */
    int count, least, most;
    const char *what; /* "models", "runs" */
} argument_list;

/* The same for several. */
error_t parse_several(int key, char *text, const struct argp_state *state, argument_list *list);

/* For parsers, once an option's value was read: ends the program where that failed. */
error_t parsed(mt_status status);

/* Text as a whole number, or a real one, in a range; MT_ERROR_INVALID names the option. */
mt_status parse_whole(const char *option, const char *text, long long least, long long most,
                      long long *value);
mt_status parse_real(const char *option, const char *text, double least, double most,
                     double *value);

/* --threads: 0, for all, and more. */
enum { MOST_THREADS = 4096 };
mt_status parse_threads(const char *text, long long *threads);

#endif
