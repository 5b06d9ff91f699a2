/* The command's arguments, one a line, as far as the verbs look at them before they open a file or
 * a device: there the linker (--wrap) has put doors that are closed. */
#include <mixtape/checkpoint.h>
#include <mixtape/device.h>

#include "tests/fuzz/fuzz.h"
#include "train/command/blas_kernels.h"
#include "train/command/session.h"
#include "train/run_folder.h"

#include <argp.h>
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

int mixtape_main(int count, char **arguments); /* main of train/command/main.c, by another name */

enum { MOST_ARGUMENTS = 64, STATUSES = 3 };

static jmp_buf ended;
static bool running; /* mixtape_main; what is called otherwise is libFuzzer's, or replay.c's */
static int exit_status;

/* What argp has allocated is lost where a verb ends the program. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

#define WRAP(returned, name, parameters)                                                           \
    returned __real_##name parameters;                                                             \
    returned __wrap_##name parameters;                                                             \
    returned __wrap_##name parameters

#define REAL(name) __real_##name

WRAP(_Noreturn void, exit, (int status))
{
    if (!running) {
        REAL(exit)(status);
    }
    exit_status = status;
    longjmp(ended, 1);
}

/* argp ends the program itself after --help, which no wrapper of exit sees. */
WRAP(error_t, argp_parse,
     (const struct argp *argp, int count, char **arguments, unsigned flags, int *next, void *input))
{
    return REAL(argp_parse)(argp, count, arguments, flags | ARGP_NO_EXIT, next, input);
}

static mt_status closed(void)
{
    return mt_fail(MT_ERROR_IO, "a fuzzer opens nothing");
}

WRAP(mt_status, mt_file_read, (const char *path, char **bytes, size_t *size))
{
    return running ? closed() : REAL(mt_file_read)(path, bytes, size);
}

/* Tokenizing is another program, which would take this one's place. */
WRAP(int, execvp, (const char *file, char *const *arguments))
{
    (void)file;
    (void)arguments;
    errno = ENOENT;
    return -1;
}

/* So would a command that begins anew. */
WRAP(bool, choose_blas_kernels, (char **arguments))
{
    (void)arguments;
    return true;
}

WRAP(mt_status, mt_checkpoint_load, (const char *path, mt_checkpoint **checkpoint))
{
    (void)path;
    *checkpoint = NULL;
    return closed();
}

WRAP(mt_status, mt_device_open, (const char *name, mt_device **device))
{
    (void)name;
    *device = NULL;
    return closed();
}

WRAP(mt_status, run_folder_lock, (const char *path, run_folder *folder))
{
    (void)path;
    (void)folder;
    return closed();
}

WRAP(mt_status, session_open,
     (const run_config *config, const mt_checkpoint *checkpoint, const mt_checkpoint *init,
      train_session *session))
{
    (void)config;
    (void)checkpoint;
    (void)init;
    memset(session, 0, sizeof *session);
    return closed();
}

/* Cuts the text into lines, behind the command's name. */
static int cut(char *text, char *arguments[MOST_ARGUMENTS + 2])
{
    int count = 1;
    static char name[] = "mixtape";
    arguments[0] = name;
    for (char *line = text; line != NULL && *line != '\0' && count <= MOST_ARGUMENTS;) {
        arguments[count++] = strsep(&line, "\n");
    }
    arguments[count] = NULL;
    return count;
}

/* Tells if argp may take one for its hidden option --HANG, which sleeps. */
static bool may_hang(char *const *arguments)
{
    bool found = false;
    for (; *arguments != NULL; arguments++) {
        found = found || strncmp(*arguments, "--H", 3) == 0;
    }
    return found;
}

static int run(int count, char **arguments)
{
    running = true;
    if (setjmp(ended) == 0) {
        exit_status = mixtape_main(count, arguments);
    }
    running = false;
    return exit_status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1), *arguments[MOST_ARGUMENTS + 2];
    CLAIM(text != NULL);
    memcpy(text, bytes, size);
    text[size] = '\0';
    int count = cut(text, arguments);
    if (!may_hang(arguments)) {
        int status = run(count, arguments);
        CLAIM(status >= 0 && status < STATUSES);
    }
    free(text);
    return 0;
}
