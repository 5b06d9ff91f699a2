#include "io/utf8.h"

#include <stdlib.h>
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

char *mt_utf8_replace(const char *bytes, size_t size, size_t *length)
{
    static const char replacement[] = {'\xEF', '\xBF', '\xBD'};
    char *copy =
        size < SIZE_MAX / sizeof replacement ? malloc(sizeof replacement * size + 1) : NULL;
    *length = 0;
    for (size_t at = 0; at < size && copy != NULL;) {
        utf8proc_int32_t character;
        utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)bytes + at,
                                                 (utf8proc_ssize_t)(size - at), &character);
        size_t count = used > 0 ? (size_t)used : sizeof replacement;
        memcpy(copy + *length, used > 0 ? bytes + at : replacement, count);
        *length += count;
        at += used > 0 ? (size_t)used : 1;
    }
    return copy;
}

size_t mt_utf8_mark(const char *bytes, size_t size)
{
    static const char mark[] = {'\xEF', '\xBB', '\xBF'};
    return size >= sizeof mark && memcmp(bytes, mark, sizeof mark) == 0 ? sizeof mark : 0;
}

size_t mt_utf8_characters(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xC0) != 0x80; /* the first byte of one */
    }
    return count;
}

bool mt_utf8_is_blank(int32_t c)
{
    static const utf8proc_int32_t ranges[][2] = {
        {0x09, 0x0D},     {0x1C, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
        {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};
    bool found = false;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges && !found; i++) {
        found = c >= ranges[i][0] && c <= ranges[i][1];
    }
    return found;
}

/* The length of the character that the text begins with, 0 at its end, and if it is a blank. What
 * is not UTF-8 is a byte that is none. */
static size_t look(const char *text, bool *blank)
{
    utf8proc_int32_t character = 0;
    utf8proc_ssize_t length =
        *text != '\0' ? utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &character) : 0;
    *blank = length > 0 && mt_utf8_is_blank(character);
    return length >= 0 ? (size_t)length : 1;
}

const char *mt_utf8_skip_blanks(const char *text)
{
    bool blank = true;
    for (size_t length; (length = look(text, &blank)) > 0 && blank;) {
        text += length;
    }
    return text;
}

const char *mt_utf8_before_blanks(const char *text)
{
    bool blank;
    const char *end = text;
    for (size_t length; (length = look(text, &blank)) > 0; text += length) {
        end = blank ? end : text + length;
    }
    return end;
}

size_t mt_utf8_word_length(const char *text)
{
    bool blank = false;
    const char *at = text;
    for (size_t length; (length = look(at, &blank)) > 0 && !blank;) {
        at += length;
    }
    return (size_t)(at - text);
}
