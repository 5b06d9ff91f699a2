/* mixtape_manual FOLDER VERSION DATE: writes the pages and the completions into a folder. It has
 * the verbs of the command, and in place of parse_arguments (by the linker's --wrap) what reads
 * their options and goes back. */
#include "train/command/manual/manual.h"

#include "train/command/options.h"
#include "train/command/verbs.h"
#include "train/task.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_VERBS = 32 };

static manual_verb verbs[MOST_VERBS + 1];
static manual_verb *at; /* whose options are read */
static jmp_buf was_read;

void manual_brief(FILE *to, const char *help, const char *special, const char *escape)
{
    static const char *const details[] = {" (", ": ", "; "};
    size_t length = strlen(help);
    for (size_t i = 0; i < sizeof details / sizeof *details; i++) {
        const char *detail = strstr(help, details[i]);
        length =
            detail != NULL && (size_t)(detail - help) < length ? (size_t)(detail - help) : length;
    }
    for (size_t i = 0; i < length; i++) {
        fprintf(to, "%s%c", strchr(special, help[i]) != NULL ? escape : "", help[i]);
    }
}

static void add_choice(manual_argument *argument, const char *choice, size_t length)
{
    size_t used = strlen(argument->choices);
    snprintf(argument->choices + used, sizeof argument->choices - used, "%s%.*s",
             used > 0 ? " " : "", (int)length, choice);
    argument->kind = MANUAL_CHOICE;
}

/* Of an option of `train`'s table, that knows its values. */
static void add_table_choices(manual_argument *argument, int key)
{
    const option_row *row = options_name(key) != NULL ? option_row_at(key - OPTION_KEY) : NULL;
    bool has = row != NULL && row->choice != NULL && argument->kind != MANUAL_CHOICE;
    for (int i = 0; has && row->choice(i) != NULL; i++) {
        add_choice(argument, row->choice(i), strlen(row->choice(i)));
    }
}

/* Of "a|b|c[:I]": what stands in brackets may follow. */
static void add_named_choices(manual_argument *argument)
{
    for (const char *name = argument->name; strchr(argument->name, '|') != NULL && *name != '\0';) {
        size_t whole = strcspn(name, "|"), length = strcspn(name, "|[");
        add_choice(argument, name, length);
        name += whole + (name[whole] == '|');
    }
}

static manual_kind kind_of(const char *name)
{
    static const struct {
        const char *name;
        manual_kind kind;
    } kinds[] = {{"FILE", MANUAL_FILE},
                 {"OUT", MANUAL_FILE},
                 {"DIR", MANUAL_FOLDER},
                 {"RUN or", MANUAL_FILE},
                 {"RUN", MANUAL_RUN}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strncmp(name, kinds[i].name, strlen(kinds[i].name)) == 0) {
            return kinds[i].kind;
        }
    }
    return MANUAL_WORD;
}

static manual_argument read_argument(const struct argp_option *option)
{
    manual_argument argument = {.name = option->arg, .kind = MANUAL_FLAG};
    argument.optional = (option->flags & OPTION_ARG_OPTIONAL) != 0;
    if (argument.optional && strcmp(option->arg, "FILE") != 0) {
        argument.kind = MANUAL_SWITCH;
    } else if (option->arg != NULL) {
        argument.kind = kind_of(option->arg);
        add_named_choices(&argument);
        add_table_choices(&argument, option->key);
    }
    return argument;
}

static void add_name(manual_option *option, const char *name)
{
    int count = 0;
    while (option->names[count] != NULL) {
        count++;
    }
    if (count == MANUAL_NAMES) {
        fprintf(stderr, "mixtape_manual: more than %d names of --%s\n", MANUAL_NAMES, name);
        exit(EXIT_FAILURE);
    }
    option->names[count] = name;
}

static void add_option(const struct argp_option *option, const char *heading)
{
    if (at->count == MANUAL_OPTIONS) {
        fprintf(stderr, "mixtape_manual: more than %d options\n", MANUAL_OPTIONS);
        exit(EXIT_FAILURE);
    }
    manual_option *added = &at->options[at->count++];
    *added = (manual_option){.names = {option->name},
                             .letter = (char)(isascii(option->key) ? option->key : 0),
                             .argument = read_argument(option),
                             .help = option->doc,
                             .heading = heading};
}

static void add_options(const struct argp_option *options)
{
    const char *heading = NULL;
    for (const struct argp_option *option = options; option->name != NULL || option->doc != NULL;
         option++) {
        if (option->name == NULL) {
            heading = option->doc;
        } else if ((option->flags & OPTION_ALIAS) != 0) {
            add_name(&at->options[at->count - 1], option->name);
        } else {
            add_option(option, heading);
            heading = NULL;
        }
    }
}

/* What stands behind the verb: a task, or else what could be a model. */
static manual_argument read_arguments(const char *usage)
{
    manual_argument argument = {.name = usage, .kind = MANUAL_FLAG};
    if (usage == NULL) {
        return argument;
    }
    if (strncmp(usage, "TASK", 4) == 0) {
        for (int i = 0; tasks[i] != NULL; i++) {
            add_choice(&argument, tasks[i]->name, strlen(tasks[i]->name));
        }
    } else {
        argument.kind = kind_of(usage) == MANUAL_RUN ? MANUAL_RUN : MANUAL_FILE;
    }
    return argument;
}

static void read_argp(const struct argp *argp)
{
    at->usage = argp->args_doc;
    at->text = argp->doc;
    at->argument = read_arguments(argp->args_doc);
    if (argp->options != NULL) {
        add_options(argp->options);
    }
}

/* NOLINTBEGIN(bugprone-reserved-identifier): --wrap names it so. */
void __wrap_parse_arguments(const struct argp *argp, int argc, char **argv, void *given);
void __wrap_parse_arguments(const struct argp *argp, int argc, char **argv, void *given)
{
    static const struct argp_option common[] = {
        {"help", '?', NULL, 0, "Give this help list", 0},
        {"usage", 0, NULL, 0, "Give a short usage message", 0},
        {0}};
    (void)argc;
    (void)argv;
    (void)given;
    add_options(common); /* before the first heading */
    read_argp(argp);
    longjmp(was_read, 1);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void read_verbs(void)
{
    static char name[] = "mixtape";
    static char *arguments[] = {name, NULL};
    for (at = verbs; command_verbs[at - verbs].name != NULL; at++) {
        const command_verb *verb = &command_verbs[at - verbs];
        if (at == verbs + MOST_VERBS) {
            fprintf(stderr, "mixtape_manual: more than %d verbs\n", MOST_VERBS);
            exit(EXIT_FAILURE);
        }
        at->name = verb->name;
        at->help = verb->help;
        if (verb->run == verb_tokenize) {
            read_argp(&manual_tokenize);
        } else if (setjmp(was_read) == 0) {
            verb->run(1, arguments);
        }
    }
}

/* A file of the folder, to be closed by close_file. */
static FILE *open_file(const char *name)
{
    FILE *file = fopen(name, "w");
    if (file == NULL) {
        perror(name);
        exit(EXIT_FAILURE);
    }
    return file;
}

static void close_file(FILE *file, const char *name)
{
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed) {
        perror(name);
        exit(EXIT_FAILURE);
    }
}

static void write_pages(const char *version, const char *date)
{
    const manual_verb *verb = verbs;
    char name[64] = "mixtape.1";
    FILE *page = open_file(name);
    manual_page(page, verbs, NULL, version, date);
    close_file(page, name);
    for (; verb->name != NULL; verb++) {
        snprintf(name, sizeof name, "mixtape-%s.1", verb->name);
        page = open_file(name);
        manual_page(page, verbs, verb, version, date);
        close_file(page, name);
    }
}

static void write_completions(void)
{
    static const struct {
        const char *name;
        void (*write)(FILE *to, const manual_verb *verbs);
    } shells[] = {
        {"mixtape.bash", manual_bash}, {"_mixtape", manual_zsh}, {"mixtape.fish", manual_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        FILE *file = open_file(shells[i].name);
        shells[i].write(file, verbs);
        close_file(file, shells[i].name);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4 || chdir(argv[1]) != 0) {
        fprintf(stderr, "mixtape_manual FOLDER VERSION DATE\n");
        return EXIT_FAILURE;
    }
    read_verbs();
    write_pages(argv[2], argv[3]);
    write_completions();
    return EXIT_SUCCESS;
}
