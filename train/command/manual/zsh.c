/* The completion of zsh. */
#include "train/command/manual/manual.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static const char *const begin =
    "#compdef mixtape\n"
    "# Completion for zsh of mixtape, made of what its --help is made of.\n"
    "_mixtape_runs() {\n"
    "    _alternative 'runs:run:_path_files -/' 'files:file:_path_files -g \"*.h5\"'\n"
    "}\n"
    "_mixtape() {\n"
    "    local -a verbs=(\n";

static const char *const middle = "    )\n"
                                  "    if (( CURRENT == 2 )); then\n"
                                  "        _describe verb verbs\n"
                                  "        return\n"
                                  "    fi\n"
                                  "    shift words\n"
                                  "    (( CURRENT-- ))\n"
                                  "    case $words[1] in\n";

/* What completes an argument, in brackets or as a function. */
static void put_action(FILE *to, const manual_argument *argument)
{
    static const char *const actions[] = {[MANUAL_SWITCH] = "(false true)",
                                          [MANUAL_WORD] = " ",
                                          [MANUAL_FILE] = "_files",
                                          [MANUAL_FOLDER] = "_files -/",
                                          [MANUAL_RUN] = "_mixtape_runs"};
    if (argument->kind == MANUAL_CHOICE) {
        fprintf(to, "(%s)", argument->choices);
    } else {
        fputs(actions[argument->kind], to);
    }
}

/* One line of _arguments, of one name of an option. Within "" no more than \ " $ ` are special. */
static void put_name(FILE *to, const manual_option *option, const char *dashes, const char *name)
{
    static const char *const joined[] = {[MANUAL_FLAG] = "", [MANUAL_SWITCH] = "=-"};
    const manual_argument *argument = &option->argument;
    bool is_long = strlen(dashes) > 1, repeats = strchr(argument->name ? argument->name : "", '.');
    fprintf(to, "            \"%s%s%s%s[", repeats ? "*" : "", dashes, name,
            argument->kind <= MANUAL_SWITCH ? joined[argument->kind]
            : is_long                       ? "="
                                            : "+");
    manual_brief(to, option->help, "[]:\\\"$`", "\\");
    fputs("]", to);
    if (argument->kind != MANUAL_FLAG) {
        fputs(argument->optional ? "::value:" : ":value:", to);
        put_action(to, argument);
    }
    fputs("\" \\\n", to);
}

static void put_option(FILE *to, const manual_option *option)
{
    const char letter[2] = {option->letter, '\0'};
    for (int i = 0; option->names[i] != NULL; i++) {
        put_name(to, option, "--", option->names[i]);
    }
    if (isalpha((unsigned char)letter[0])) {
        put_name(to, option, "-", letter);
    }
}

static void put_verb(FILE *to, const manual_verb *verb)
{
    const manual_argument *argument = &verb->argument;
    fprintf(to, "    %s)\n        _arguments \\\n", verb->name);
    for (int i = 0; i < verb->count; i++) {
        put_option(to, &verb->options[i]);
    }
    if (argument->kind == MANUAL_CHOICE) { /* and more files of an option that takes several */
        fprintf(to, "            \"1:argument:(%s)\" \"*:file:_files\"", argument->choices);
    } else if (argument->kind != MANUAL_FLAG) {
        fputs("            \"*:argument:", to);
        put_action(to, argument);
        fputs("\"", to);
    } else {
        fputs("            ", to);
    }
    fputs(" ;;\n", to);
}

void manual_zsh(FILE *to, const manual_verb *verbs)
{
    fputs(begin, to);
    for (const manual_verb *verb = verbs; verb->name != NULL; verb++) {
        fprintf(to, "        \"%s:", verb->name);
        manual_brief(to, verb->help, ":\\\"$`", "\\");
        fputs("\"\n", to);
    }
    fputs("        \"--help:list the verbs\"\n        \"--version:tell the version\"\n", to);
    fputs(middle, to);
    for (const manual_verb *verb = verbs; verb->name != NULL; verb++) {
        put_verb(to, verb);
    }
    fputs("    esac\n}\n_mixtape \"$@\"\n", to);
}
