#include "train/command/arguments.h"

#include "kernels/printable.h"
#include "train/command/lines.h"
#include "train/command/nearest.h"
#include "train/command/rwkv_lm_names.h"
#include "train/command/verbs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is looked for, and where argp stood when it did not go on. */
typedef struct usage {
    const struct argp_option *options;
    int next;
} usage;

/* An empty name is a variable that a script has not set, and would be taken for no option. */
static void refuse_empty(int key, const struct argp_state *state)
{
    const struct argp_option *option = ((const usage *)state->input)->options;
    while (option->key != key) {
        option++;
    }
    if (strcmp(option->arg, "TEXT") != 0 && strcmp(option->arg, "SYMBOL") != 0) {
        wrong_arguments(state, "--%s: an empty value (it takes %s)", option->name, option->arg);
    }
}

static error_t take_all(int key, char *text, struct argp_state *state)
{
    bool is_empty = text != NULL && text[0] == '\0';
    if (key == ARGP_KEY_ERROR) {
        ((usage *)state->input)->next = state->next;
    }
    if (key == ARGP_KEY_INIT) {
        state->err_stream = NULL; /* argp would tell to try --help */
    } else if (is_empty && key == ARGP_KEY_ARG) {
        wrong_arguments(state, "an empty argument");
    } else if (is_empty) {
        refuse_empty(key, state);
    }
    return 0;
}

/* A table has headings, too, without names. */
static const struct argp_option *next_option(const struct argp_option *option)
{
    while (option->name == NULL && option->doc != NULL) {
        option++;
    }
    return option;
}

static const char *name_at(const void *options, int i)
{
    const struct argp_option *option = next_option(options);
    while (i-- > 0) {
        option = next_option(option + 1);
    }
    return option->name;
}

static bool has_option(const struct argp_option *options, const char *name)
{
    int i = 0;
    while (name_at(options, i) != NULL && strcmp(name_at(options, i), name) != 0) {
        i++;
    }
    return name_at(options, i) != NULL;
}

/* Of a long option that there is none of, the one that was meant, by RWKV-LM's name or misspelt:
 * getopt would not tell. */
static void refuse_unknown(const struct argp_option *options, const char *program,
                           const char *argument)
{
    char name[64], hint[NEAREST_TEXT];
    size_t length = strcspn(argument, "=") - 2;
    if (strncmp(argument, "--", 2) != 0 || length >= sizeof name) {
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)length, argument + 2);
    for (int i = 0; name_at(options, i) != NULL; i++) {
        if (strncmp(name_at(options, i), name, length) == 0) {
            return; /* getopt has another complaint */
        }
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "usage") == 0) { /* argp's own */
        return;
    }
    const char *meant = rwkv_lm_option(name);
    if (meant != NULL && has_option(options, meant)) {
        snprintf(hint, sizeof hint, NEAREST_HINT, meant);
    } else {
        nearest_hint(name, name_at, options, hint);
    }
    if (hint[0] != '\0') {
        print_line(stderr, "%s: unrecognized option '--%s'%s", program, name, hint);
        exit(EXIT_USAGE);
    }
}

/* Lets getopt complain, and argp help, before the verb's parser sees anything. They print arguments
 * as they are, so they get copies that may be printed. ENOMEM, or another error that was told. */
static error_t check_usage(const struct argp *argp, int argc, char **argv)
{
    struct argp known = *argp;
    known.parser = take_all;
    char **copies = calloc((size_t)argc + 1, sizeof *copies);
    bool whole = copies != NULL;
    for (int i = 0; i < argc && whole; i++) {
        size_t length = strlen(argv[i]), size = MT_PRINTABLE_MOST * length + 1;
        copies[i] = malloc(size);
        whole = copies[i] != NULL;
        if (whole) {
            mt_printable(argv[i], length, copies[i], size);
        }
    }
    usage found = {argp->options, 1};
    if (whole &&
        argp_parse(&known, argc, copies, ARGP_NO_ERRS | ARGP_IN_ORDER, NULL, &found) != 0) {
        refuse_unknown(argp->options, copies[0], copies[found.next - 1]);
    }
    error_t error = whole ? argp_parse(&known, argc, copies, 0, NULL, &found) : ENOMEM;
    for (int i = 0; i < argc && copies != NULL; i++) {
        free(copies[i]);
    }
    free(copies);
    return error;
}

void parse_arguments(const struct argp *argp, int argc, char **argv, void *given)
{
    int next;
    error_t error = check_usage(argp, argc, argv);
    if (error == 0) {
        error = argp_parse(argp, argc, argv, ARGP_NO_ERRS | ARGP_IN_ORDER, &next, given);
    }
    if (error == ENOMEM) {
        print_line(stderr, "%s: no memory for the arguments", argv[0]);
    }
    if (error != 0) {
        exit(error == ENOMEM ? failed_status : EXIT_USAGE);
    }
    if (next < argc) {
        print_line(stderr, "%s: unexpected argument '%s'", argv[0], argv[next]);
        exit(EXIT_USAGE);
    }
}

void wrong_arguments(const struct argp_state *state, const char *format, ...)
{
    char line[1024];
    va_list values;
    va_start(values, format);
    format_line(line, sizeof line, format, values);
    va_end(values);
    print_line(stderr, "%s: %s", state->argv[0], line);
    exit(EXIT_USAGE);
}

error_t parse_argument(int key, char *text, const struct argp_state *state, const char *what,
                       const char **given)
{
    if (key == ARGP_KEY_ARG && *given != NULL) {
        wrong_arguments(state, "one %s is enough", what);
    }
    if (key == ARGP_KEY_NO_ARGS) {
        wrong_arguments(state, "name a %s", what);
    }
    if (key != ARGP_KEY_ARG) {
        return ARGP_ERR_UNKNOWN;
    }
    *given = text;
    return 0;
}

error_t parse_several(int key, char *text, const struct argp_state *state, argument_list *list)
{
    switch (key) {
    case ARGP_KEY_ARG:
        if (list->count == list->most) {
            wrong_arguments(state, "at most %d %s at a time, not also %s", list->most, list->what,
                            text);
        }
        list->texts[list->count++] = text;
        return 0;
    case ARGP_KEY_NO_ARGS:
    case ARGP_KEY_END:
        if (list->count < list->least) {
            wrong_arguments(state, "name %s%s", list->what, list->least > 1 ? ", two of them" : "");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

error_t parsed(mt_status status)
{
    if (status != MT_OK) {
        exit(report(status));
    }
    return 0;
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

mt_status parse_threads(const char *text, long long *threads)
{
    return parse_whole("threads", text, 0, MOST_THREADS, threads);
}
