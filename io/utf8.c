#include "io/utf8.h"

#include <string.h>
#include <utf8proc.h>

const char *mt_utf8_end(const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    utf8proc_int32_t character;
    while (*at != '\0') {
        utf8proc_ssize_t length = utf8proc_iterate(at, -1, &character);
        if (length < 0) {
            break;
        }
        at += length;
    }
    return (const char *)at;
}

size_t mt_utf8_mark(const char *bytes, size_t size)
{
    static const char mark[] = {'\xEF', '\xBB', '\xBF'};
    return size >= sizeof mark && memcmp(bytes, mark, sizeof mark) == 0 ? sizeof mark : 0;
}
