#include "kernels/printable.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

enum { LONGEST_ESCAPE = 10 }; /* \U0010FFFF */

/* The format characters hide text, or turn its direction around. */
static bool is_printable(utf8proc_int32_t character)
{
    switch (utf8proc_category(character)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    default:
        return true;
    }
}

/* Writes one character, or the byte that is none, and returns how many bytes of the text it is. */
static size_t copy_character(const char *text, size_t length, char *piece, size_t size)
{
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    utf8proc_int32_t character;
    utf8proc_ssize_t used = utf8proc_iterate(bytes, (utf8proc_ssize_t)length, &character);
    if (used < 0 || (character < 0x80 && !is_printable(character))) {
        snprintf(piece, size, "\\x%02X", (unsigned)bytes[0]);
        return 1;
    }
    if (is_printable(character)) {
        memcpy(piece, text, (size_t)used);
        piece[used] = '\0';
    } else {
        snprintf(piece, size, character > 0xFFFF ? "\\U%08X" : "\\u%04X", (unsigned)character);
    }
    return (size_t)used;
}

size_t mt_printable(const char *text, size_t length, char *copy, size_t size)
{
    size_t written = 0;
    for (size_t at = 0; at < length;) {
        char piece[LONGEST_ESCAPE + 1];
        at += copy_character(text + at, length - at, piece, sizeof piece);
        size_t width = strlen(piece);
        if (width >= size - written) {
            break;
        }
        memcpy(copy + written, piece, width);
        written += width;
    }
    copy[written] = '\0';
    return written;
}
