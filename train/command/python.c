#include "train/command/python.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The interpreter of the virtual environment that the command lies in, where a wheel was installed
 * there: it has the package, wherever PATH leads. NULL where the command lies elsewhere. */
static const char *python_beside(void)
{
    static char python[PATH_MAX + 16];
    char command[PATH_MAX], mark[PATH_MAX + 16];
    ssize_t length = readlink("/proc/self/exe", command, sizeof command - 1);
    command[length < 0 ? 0 : length] = '\0';
    char *name = strrchr(command, '/');
    if (name == NULL) {
        return NULL;
    }
    *name = '\0';
    snprintf(mark, sizeof mark, "%s/../pyvenv.cfg", command);
    snprintf(python, sizeof python, "%s/python3", command);
    return access(mark, R_OK) == 0 && access(python, X_OK) == 0 ? python : NULL;
}

const char *python_name(void)
{
    const char *named = getenv("MIXTAPE_PYTHON");
    if (named != NULL && named[0] != '\0') {
        return named;
    }
    const char *beside = python_beside();
    return beside != NULL ? beside : "python3";
}

mt_status python_fails(int error)
{
    return mt_fail(MT_ERROR_IO,
                   "%s: %s (tokenizers are read by Python: install python3, or name one in "
                   "MIXTAPE_PYTHON)",
                   python_name(), strerror(error));
}
