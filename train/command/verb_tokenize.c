/* mixtape tokenize: the Python package does it, whose libraries of tokenizers there are none of in
 * C. This verb becomes that program. */
#include "train/command/python.h"
#include "train/command/verbs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Until the package takes signals itself, they end the program without a word. */
static const char program[] = PYTHON_BEGIN
    "import signal\n"
    "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})\n"
    "try:\n"
    "    from mixtape.tokenize import main\n"
    "except ImportError as error:\n" PYTHON_LACKS "    sys.exit('mixtape: ' + message)\n"
    "sys.exit(main())\n";

/* Python, while it starts, would answer SIGINT with a traceback; the program unblocks it. */
static void block_interrupt(int how)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    (void)sigprocmask(how, &signals, NULL);
}

int verb_tokenize(int argc, char **argv)
{
    const size_t before = 3; /* Python, -c and the program stand before the arguments */
    const char **line = calloc(before + (size_t)argc, sizeof *line);
    if (line == NULL) {
        return report(mt_fail(MT_ERROR_MEMORY, "no memory for %d arguments", argc));
    }
    line[0] = python_name();
    line[1] = "-c";
    line[2] = program;
    for (int i = 1; i < argc; i++) {
        line[before - 1 + (size_t)i] = argv[i];
    }
    fflush(NULL);
    block_interrupt(SIG_BLOCK);
    execvp(line[0], (char *const *)line); /* which does not change them */
    int status = report(python_fails(errno));
    block_interrupt(SIG_UNBLOCK);
    free(line);
    return status;
}
