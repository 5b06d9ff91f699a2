#include "train/command/arguments.h"

#include "train/command/verbs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static argp_parser_t verb_parser;

/* The verb's parser, with getopt's line of complaint but without argp's, which tells to try
 * --help. */
static error_t parse_quietly(int key, char *text, struct argp_state *state)
{
    if (key == ARGP_KEY_INIT) {
        state->err_stream = NULL;
    }
    return verb_parser(key, text, state);
}

void parse_arguments(const struct argp *argp, int argc, char **argv, void *given)
{
    struct argp quiet = *argp;
    int next;
    verb_parser = argp->parser;
    quiet.parser = parse_quietly;
    if (argp_parse(&quiet, argc, argv, 0, &next, given) != 0) {
        exit(EXIT_USAGE);
    }
    if (next < argc) {
        fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[next]);
        exit(EXIT_USAGE);
    }
}

void wrong_arguments(const struct argp_state *state, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "%s: ", state->argv[0]);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(EXIT_USAGE);
}

mt_status parse_whole(const char *option, const char *text, long long least, long long most,
                      long long *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return *text != '\0' && *end == '\0' && errno == 0 && *value >= least && *value <= most
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "--%s %s: not a whole number in %lld .. %lld", option,
                         text, least, most);
}

mt_status parse_real(const char *option, const char *text, double least, double most, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return *text != '\0' && *end == '\0' && *value >= least && *value <= most
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "--%s %s: not a number in %g .. %g", option, text, least,
                         most);
}
