#include <mixtape/error.h>
#include <mixtape/version.h>

#include "kernels/null.h"
#include "kernels/printable.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST_PATH = 4096 };

static _Thread_local char message[LONGEST_PATH + 512];

const char *mt_error_message(void)
{
    return message;
}

mt_status mt_fail(mt_status status, const char *format, ...)
{
    /* Arguments may point into the former message: it is replaced only once the new one is
     * whole. */
    char text[sizeof message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    mt_printable(text, strlen(text), message, sizeof message);
    return status;
}

mt_status mt_fail_null(const char *function)
{
    return mt_fail(MT_ERROR_INVALID, "%s: it got NULL%s%s", function,
                   message[0] != '\0' ? ", after: " : "", message);
}

const char *mt_version(void)
{
    return MT_VERSION;
}
