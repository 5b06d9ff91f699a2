/* The verbs of the command, each in a file of its own. A verb gets the arguments after its name
 * and returns the exit status: 0 done, 1 failed, 2 wrong usage, 128 + n ended by signal n after
 * having saved. */
#ifndef MT_COMMAND_VERBS_H
#define MT_COMMAND_VERBS_H

#include <mixtape/error.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SIGNAL = 128 };

int verb_train(int argc, char **argv);
int verb_eval(int argc, char **argv);
int verb_generate(int argc, char **argv);
int verb_forward(int argc, char **argv);
int verb_export(int argc, char **argv);
int verb_import(int argc, char **argv);
int verb_replay(int argc, char **argv);
int verb_average(int argc, char **argv);
int verb_diff(int argc, char **argv);
int verb_plot(int argc, char **argv);
int verb_watch(int argc, char **argv);
int verb_info(int argc, char **argv);
int verb_gradcheck(int argc, char **argv);
int verb_tokenize(int argc, char **argv);
int verb_bench(int argc, char **argv);

/* In the order of the help; the last one has no name. */
typedef struct command_verb {
    const char *name, *help;
    int (*run)(int argc, char **argv);
    int failed; /* the exit status where it fails; 0: EXIT_FAILED */
} command_verb;

extern const command_verb command_verbs[];
extern int failed_status; /* of the verb at work */
extern const char command_note[];

/* Variables of the environment, and what each says; NULL behind the last. */
typedef struct command_variable {
    const char *name, *help;
} command_variable;
extern const command_variable command_variables[]; /* what the help says below them, in lines */

/* Says the library's message on standard error, and gives the exit status: an argument that cannot
 * work is wrong usage, everything else a failure. */
int report(mt_status status);
int report_usage(const char *message);

#endif
