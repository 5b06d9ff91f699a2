/* mixtape tokenize: the Python package does it, whose libraries of tokenizers there are none of in
 * C. This verb becomes that program. */
#include "train/command/lines.h"
#include "train/command/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The working folder, where -c looks first, is not a place of modules. */
static const char program[] =
    "import sys\n"
    "sys.path = [folder for folder in sys.path if folder]\n"
    "try:\n"
    "    from mixtape.tokenize import main\n"
    "except ImportError as error:\n"
    "    sys.exit(f\"mixtape: tokenize is done by Mixtape's package for {sys.executable}: {error} "
    "(pip install './python[tokenizers]', in Mixtape's source)\")\n"
    "sys.exit(main())\n";

int verb_tokenize(int argc, char **argv)
{
    const char *python = getenv("MIXTAPE_PYTHON");
    python = python != NULL && python[0] != '\0' ? python : "python3";
    const size_t before = 3; /* the program, -c and its text stand before the arguments */
    const char **line = calloc(before + (size_t)argc, sizeof *line);
    if (line == NULL) {
        return report(mt_fail(MT_ERROR_MEMORY, "no memory for %d arguments", argc));
    }
    line[0] = python;
    line[1] = "-c";
    line[2] = program;
    for (int i = 1; i < argc; i++) {
        line[before - 1 + (size_t)i] = argv[i];
    }
    fflush(NULL);
    execvp(python, (char *const *)line); /* which does not change them */
    int status = report(mt_fail(MT_ERROR_IO,
                                "%s: %s (tokenize is done by Python: install python3, or name one "
                                "in MIXTAPE_PYTHON)",
                                python, strerror(errno)));
    free(line);
    return status;
}
