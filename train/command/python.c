#include "train/command/python.h"

#include <stdlib.h>
#include <string.h>

const char *python_name(void)
{
    const char *named = getenv("MIXTAPE_PYTHON");
    return named != NULL && named[0] != '\0' ? named : "python3";
}

mt_status python_fails(int error)
{
    return mt_fail(MT_ERROR_IO,
                   "%s: %s (tokenizers are read by Python: install python3, or name one in "
                   "MIXTAPE_PYTHON)",
                   python_name(), strerror(error));
}
