/* The completion of fish. */
#include "train/command/manual/manual.h"

#include <ctype.h>

/* What `complete` is told of an argument. -x: one that is no file; -r: a file. */
static void put_argument(FILE *to, const manual_argument *argument)
{
    static const char *const ways[] = {[MANUAL_FLAG] = "",
                                       [MANUAL_SWITCH] = "",
                                       [MANUAL_WORD] = " -x",
                                       [MANUAL_FILE] = " -r -F",
                                       [MANUAL_FOLDER] = " -x -a '(__fish_complete_directories)'",
                                       [MANUAL_RUN] = " -x -a '(__mixtape_runs)'"};
    if (argument->kind == MANUAL_CHOICE) {
        fprintf(to, " -x -a '%s'", argument->choices);
    } else {
        fputs(ways[argument->kind], to);
    }
}

static void put_option(FILE *to, const char *verb, const manual_option *option)
{
    fprintf(to, "complete -c mixtape -n '__fish_seen_subcommand_from %s'", verb);
    for (int i = 0; option->names[i] != NULL; i++) {
        fprintf(to, " -l %s", option->names[i]);
    }
    if (isalpha((unsigned char)option->letter)) {
        fprintf(to, " -s %c", option->letter);
    }
    put_argument(to, &option->argument);
    fputs(" -d '", to);
    manual_brief(to, option->help, "'\\", "\\");
    fputs("'\n", to);
}

static void put_verb(FILE *to, const manual_verb *verb)
{
    const manual_argument *argument = &verb->argument;
    fprintf(to, "complete -c mixtape -n __fish_use_subcommand -f -a %s -d '", verb->name);
    manual_brief(to, verb->help, "'\\", "\\");
    fputs("'\n", to);
    if (argument->kind != MANUAL_FILE) { /* which fish completes by itself */
        fprintf(to, "complete -c mixtape -n '__fish_seen_subcommand_from %s'%s", verb->name,
                argument->kind == MANUAL_CHOICE ? "" : " -f");
        if (argument->kind == MANUAL_CHOICE) {
            fprintf(to, " -a '%s'", argument->choices);
        } else if (argument->kind == MANUAL_RUN) {
            fputs(" -a '(__mixtape_runs)'", to);
        }
        fputc('\n', to);
    }
    for (int i = 0; i < verb->count; i++) {
        put_option(to, verb->name, &verb->options[i]);
    }
}

void manual_fish(FILE *to, const manual_verb *verbs)
{
    fputs("# Completion for fish of mixtape, made of what its --help is made of.\n"
          "function __mixtape_runs\n"
          "    __fish_complete_directories (commandline -ct) ''\n"
          "    __fish_complete_suffix .h5 | string match -r '.*\\.h5.*'\n"
          "end\n"
          "complete -c mixtape -n __fish_use_subcommand -f -l help -d 'List the verbs'\n"
          "complete -c mixtape -n __fish_use_subcommand -f -l version -d 'Tell the version'\n",
          to);
    for (const manual_verb *verb = verbs; verb->name != NULL; verb++) {
        put_verb(to, verb);
    }
}
