#include <mixtape/error.h>
#include <mixtape/version.h>

#include <stdarg.h>
#include <stdio.h>

enum { LONGEST_PATH = 4096 };

static _Thread_local char message[LONGEST_PATH + 512];

const char *mt_error_message(void)
{
    return message;
}

/* Names and texts from a file may hold anything: the message stays one line, and moves no
 * cursor. */
static void replace_controls(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7F) {
            *text = '?';
        }
    }
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
    replace_controls(text);
    snprintf(message, sizeof message, "%s", text);
    return status;
}

const char *mt_version(void)
{
    return MT_VERSION;
}
