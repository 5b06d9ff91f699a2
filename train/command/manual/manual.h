/* The manual pages and the completions of shells, made while Mixtape is built from what `--help` is
 * made of: each verb's options, as it gives them to parse_arguments. */
#ifndef MT_COMMAND_MANUAL_H
#define MT_COMMAND_MANUAL_H

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>

/* What an argument is, as far as a shell can tell its values. */
typedef enum manual_kind {
    MANUAL_FLAG,   /* there is none */
    MANUAL_SWITCH, /* "false", or none, behind = */
    MANUAL_WORD,   /* nothing that could be listed */
    MANUAL_CHOICE,
    MANUAL_FILE, /* or a folder that is a model */
    MANUAL_FOLDER,
    MANUAL_RUN /* a run's folder, or a checkpoint */
} manual_kind;

enum { MANUAL_NAMES = 4, MANUAL_OPTIONS = 128, MANUAL_CHOICES = 256 };

typedef struct manual_argument {
    const char *name; /* "FILE", or "a|b|c" */
    manual_kind kind;
    bool optional;                /* it may be left out, and what it is stands behind = */
    char choices[MANUAL_CHOICES]; /* MANUAL_CHOICE: "a b c" */
} manual_argument;

typedef struct manual_option {
    const char *names[MANUAL_NAMES + 1]; /* the last is NULL */
    char letter;                         /* 0: none */
    manual_argument argument;
    const char *help;
    const char *heading; /* of the group that begins here, or NULL */
} manual_option;

typedef struct manual_verb {
    const char *name, *help;
    const char *usage; /* of its arguments, a line for each way to call it, or NULL */
    const char *text; /* lines, those that begin with blanks as they are; \v before the last part */
    manual_argument argument;
    manual_option options[MANUAL_OPTIONS];
    int count;
} manual_verb;

/* The options of `mixtape tokenize`, which Python parses. */
extern const struct argp manual_tokenize;

/* The page of a verb, or of the command where `verb` is NULL. `verbs` ends with one without a
 * name. */
void manual_page(FILE *to, const manual_verb *verbs, const manual_verb *verb, const char *version,
                 const char *date);

void manual_bash(FILE *to, const manual_verb *verbs);
void manual_zsh(FILE *to, const manual_verb *verbs);
void manual_fish(FILE *to, const manual_verb *verbs);

/* For a list, where a line tells what an option is for: the help up to its first detail, with
 * `escape` before each character of `special`. */
void manual_brief(FILE *to, const char *help, const char *special, const char *escape);

#endif
