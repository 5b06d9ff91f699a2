/* The completion of bash, without the functions of the package bash-completion. */
#include "train/command/manual/manual.h"

#include <stdbool.h>
#include <string.h>

enum { ACTION_TEXT = MANUAL_CHOICES + 32 };

static const char *const begin =
    "# Completion for bash of mixtape, made of what its --help is made of.\n"
    "_mixtape()\n"
    "{\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local verb=${COMP_WORDS[1]} joined= options= arguments= argument_paths= words= paths=\n"
    "    (( COMP_CWORD > 1 )) || verb=\n"
    "    if [[ $current == = ]]; then # a word of its own, as in --device=cpu\n"
    "        current= joined=1\n"
    "    elif [[ $previous == = ]]; then\n"
    "        previous=${COMP_WORDS[COMP_CWORD-2]} joined=1\n"
    "    fi\n"
    "    case $verb in\n";

static const char *const end =
    "    esac\n"
    "    if [[ -z $words$paths && $current == -* ]]; then\n"
    "        words=$options\n"
    "    elif [[ -z $words$paths ]]; then\n"
    "        words=$arguments paths=$argument_paths\n"
    "    fi\n"
    "    mapfile -t COMPREPLY < <(\n"
    "        compgen -W \"$words\" -- \"$current\"\n"
    "        case $paths in\n"
    "        files) compgen -f -- \"$current\" ;;\n"
    "        folders) compgen -d -- \"$current\" ;;\n"
    "        runs) compgen -d -- \"$current\"; compgen -f -X '!*.h5' -- \"$current\" ;;\n"
    "        esac)\n"
    "    [[ -z $paths ]] || compopt -o filenames 2>/dev/null\n"
    "}\n"
    "complete -F _mixtape mixtape\n";

/* By manual_kind, where it is one of paths. */
static const char *const paths[] = {
    [MANUAL_FILE] = "files", [MANUAL_FOLDER] = "folders", [MANUAL_RUN] = "runs"};

/* What the shell is to do behind an option, as a row of `case`; NULL: what it does elsewhere. */
static const char *action(const manual_argument *argument, char text[ACTION_TEXT])
{
    if (argument->kind == MANUAL_FLAG) {
        return NULL;
    }
    if (argument->kind == MANUAL_CHOICE) {
        snprintf(text, ACTION_TEXT, "words='%s'", argument->choices);
    } else if (argument->kind == MANUAL_SWITCH) {
        snprintf(text, ACTION_TEXT, "[[ -z $joined ]] || words='false true'");
    } else if (argument->kind == MANUAL_WORD) {
        snprintf(text, ACTION_TEXT, "words=' '");
    } else {
        snprintf(text, ACTION_TEXT, "paths=%s", paths[argument->kind]);
    }
    return text;
}

/* Each action once, behind all options that have it: those from option `first` on. */
static void put_values(FILE *to, const manual_verb *verb, int first)
{
    char text[ACTION_TEXT], other[ACTION_TEXT];
    if (action(&verb->options[first].argument, text) == NULL) {
        return;
    }
    for (int i = 0; i < first; i++) {
        if (action(&verb->options[i].argument, other) != NULL && strcmp(text, other) == 0) {
            return;
        }
    }
    const char *before = "        ";
    for (int i = first; i < verb->count; i++) {
        const manual_option *option = &verb->options[i];
        bool has = action(&option->argument, other) != NULL && strcmp(text, other) == 0;
        for (int j = 0; has && option->names[j] != NULL; j++) {
            fprintf(to, "%s--%s", before, option->names[j]);
            before = "|";
        }
        if (has && option->letter != 0) {
            fprintf(to, "|-%c", option->letter);
        }
    }
    fprintf(to, ") %s ;;\n", text);
}

static void put_verb(FILE *to, const manual_verb *verb)
{
    const manual_argument *argument = &verb->argument;
    fprintf(to, "    %s)\n        options='", verb->name);
    for (int i = 0; i < verb->count; i++) {
        for (int j = 0; verb->options[i].names[j] != NULL; j++) {
            fprintf(to, "%s--%s", i + j > 0 ? " " : "", verb->options[i].names[j]);
        }
    }
    fputs("'\n", to);
    if (argument->kind == MANUAL_CHOICE) { /* or one more file of an option that takes several */
        fprintf(to, "        arguments='%s'\n", argument->choices);
        fputs("        (( COMP_CWORD == 2 )) || argument_paths=files\n", to);
    } else if (argument->kind != MANUAL_FLAG) {
        fprintf(to, "        argument_paths=%s\n", paths[argument->kind]);
    }
    fputs("        case $previous in\n", to);
    for (int i = 0; i < verb->count; i++) {
        put_values(to, verb, i);
    }
    fputs("        esac ;;\n", to);
}

void manual_bash(FILE *to, const manual_verb *verbs)
{
    fputs(begin, to);
    fputs("    '') words='", to);
    for (const manual_verb *verb = verbs; verb->name != NULL; verb++) {
        fprintf(to, "%s ", verb->name);
    }
    fputs("--help --version' ;;\n", to);
    for (const manual_verb *verb = verbs; verb->name != NULL; verb++) {
        put_verb(to, verb);
    }
    fputs(end, to);
}
