/* The Python that has Mixtape's package, for what is done there: the tokenizers' libraries. */
#ifndef MT_COMMAND_PYTHON_H
#define MT_COMMAND_PYTHON_H

#include <mixtape/error.h>

/* The interpreter that MIXTAPE_PYTHON names; or that of the virtual environment that the command
 * lies in; or "python3". */
const char *python_name(void);

/* The error that it cannot be run, from errno. */
mt_status python_fails(int error);

/* How a program in Python begins: the working folder, where -c looks first, is not a place of
 * modules. Behind it, where the package lacks, `message` says so and what to install. */
#define PYTHON_BEGIN "import sys\nsys.path = [folder for folder in sys.path if folder]\n"
#define PYTHON_LACKS                                                                               \
    "    message = f\"tokenizers are read by Mixtape's package for {sys.executable}: {error} "     \
    "(pip install './python[tokenizers]', in Mixtape's source)\"\n"

#endif
