#include "kernels/error.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[512];

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
    snprintf(message, sizeof message, "%s", text);
    return status;
}
