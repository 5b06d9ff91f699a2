#include "train/command/phrases.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

/* The name of a locale that is not installed tells as well: its terminal shows the same. */
static bool is_named_utf8(void)
{
    static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *name = NULL;
    for (size_t i = 0; i < sizeof variables / sizeof *variables && name == NULL; i++) {
        const char *value = getenv(variables[i]);
        name = value != NULL && value[0] != '\0' ? value : NULL;
    }
    const char *encoding = name != NULL ? strchr(name, '.') : NULL;
    return encoding != NULL &&
           (strncasecmp(encoding, ".utf-8", 6) == 0 || strncasecmp(encoding, ".utf8", 5) == 0);
}

bool text_is_utf8(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (locale == (locale_t)0) {
        return is_named_utf8();
    }
    bool is = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return is;
}

/* Goes to the next character, or byte that is none, and returns the columns of this one. */
static int pass(const char **at)
{
    utf8proc_int32_t character;
    utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)*at, -1, &character);
    *at += length > 0 ? length : 1;
    return length > 0 ? utf8proc_charwidth(character) : 1;
}

int text_columns(const char *text)
{
    int columns = 0;
    while (*text != '\0') {
        columns += pass(&text);
    }
    return columns;
}

/* The bytes of the beginning of a text that takes at most so many columns. */
static size_t beginning(const char *text, int columns)
{
    const char *at = text, *end = text;
    while (*at != '\0' && (columns -= pass(&at)) >= 0) {
        end = at;
    }
    return (size_t)(end - text);
}

void text_shorten(const char *text, int columns, char *shown, size_t size)
{
    const char *ellipsis = text_is_utf8() ? "\u2026" : "...", *tail = text;
    int all = text_columns(text), room = columns - text_columns(ellipsis);
    if (all <= columns) {
        snprintf(shown, size, "%s", text);
    } else if (room < 2) {
        snprintf(shown, size, "%.*s", (int)beginning(text, columns), text);
    } else {
        for (int before = all; before > room / 2;) {
            before -= pass(&tail);
        }
        snprintf(shown, size, "%.*s%s%s", (int)beginning(text, room - room / 2), text, ellipsis,
                 tail);
    }
}

int phrases_columns(const phrase *phrases, int count)
{
    const char *behind = "";
    int columns = 0;
    for (int i = 0; i < count; i++) {
        if (phrases[i].text[0] != '\0') {
            columns += text_columns(behind) + text_columns(phrases[i].text);
            behind = phrases[i].behind;
        }
    }
    return columns;
}

/* Folds them, and prints them unless `to` is NULL. Returns the lines, too many where a phrase is
 * longer than one. */
static int fold(FILE *to, const phrase *phrases, int count, int columns)
{
    const char *behind = "";
    int lines = 0, used = 0;
    for (int i = 0; i < count; i++) {
        const phrase *one = &phrases[i];
        int width = text_columns(one->text);
        if (width == 0) {
            continue;
        }
        bool begins = lines == 0 || used + text_columns(behind) + width > columns;
        lines += begins;
        lines += width > columns ? count : 0;
        used = begins ? width : used + text_columns(behind) + width;
        if (to != NULL) {
            const char *colour = one->colour != NULL ? one->colour : "";
            fprintf(to, "%s%s%s%s",
                    begins && lines > 1 ? "\n"
                    : begins            ? ""
                                        : behind,
                    colour, one->text, colour[0] != '\0' ? "\033[0m" : "");
        }
        behind = one->behind;
    }
    return lines;
}

/* Makes the least important of them shorter; false where none is left. */
static bool give_way(phrase *phrases, int count)
{
    phrase *least = NULL;
    for (int i = 0; i < count; i++) {
        bool is_there = phrases[i].text[0] != '\0';
        if (is_there && (least == NULL || phrases[i].rank > least->rank)) {
            least = &phrases[i];
        }
    }
    if (least != NULL) {
        least->text = least->brief != NULL ? least->brief : "";
        least->brief = NULL;
    }
    return least != NULL;
}

int phrases_fit(phrase *phrases, int count, int columns, int lines)
{
    for (int i = 0; i < count; i++) { /* one that is longer than a line takes no other's place */
        while (text_columns(phrases[i].text) > columns) {
            phrases[i].text = phrases[i].brief != NULL ? phrases[i].brief : "";
            phrases[i].brief = NULL;
        }
    }
    while (fold(NULL, phrases, count, columns) > lines && give_way(phrases, count)) {
    }
    return fold(NULL, phrases, count, columns);
}

void phrases_print(FILE *to, const phrase *phrases, int count, int columns)
{
    fold(to, phrases, count, columns);
}
