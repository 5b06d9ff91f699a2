#include "io/json_file.h"

#include "io/file.h"
#include "io/file_kind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* jansson writes into memory of the right size: it does not notice where a text of its own could
 * not grow. */
mt_status mt_json_write(const char *path, const json_t *value, size_t digits)
{
    const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(digits);
    size_t size = json_dumpb(value, NULL, 0, flags);
    char *text = malloc(size + 1);
    mt_status status = MT_OK;
    if (size == 0 || text == NULL || json_dumpb(value, text, size, flags) != size) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: no memory to write it", path);
    } else {
        text[size] = '\n';
        status = mt_file_replace(path, text, size + 1);
    }
    free(text);
    return status;
}

size_t mt_json_digits(double number)
{
    enum { ALL = 17 };
    char text[32];
    size_t digits = 0;
    do {
        digits++;
        snprintf(text, sizeof text, "%.*g", (int)digits, number);
    } while (digits < ALL && strtod(text, NULL) != number);
    return digits;
}

const char *mt_json_text(const json_t *value, char text[MT_JSON_TEXT])
{
    const char *word = value == NULL ? "missing" : json_is_array(value) ? "a list" : "an object";
    memset(text, 0, MT_JSON_TEXT);
    if (json_is_string(value)) {
        snprintf(text, MT_JSON_TEXT, "\"%.64s\"", json_string_value(value));
    } else if (value == NULL || json_is_array(value) || json_is_object(value)) {
        snprintf(text, MT_JSON_TEXT, "%s", word);
    } else {
        json_dumpb(value, text, MT_JSON_TEXT - 1, JSON_ENCODE_ANY);
    }
    return text;
}

/* A text as jansson gets it: ["xxx",TEXT]. jansson does not notice where its copy of a string could
 * not grow: it goes on with a part of it or, where the closing quote is what is lost, reads and
 * writes beyond it. So the copy grows while it holds a string of no meaning, which is as long as
 * the longest of the text and does not end where it grows. */
typedef struct wrapped_text {
    const char *text;
    size_t length, padding; /* of the text and the string before it */
    size_t at;
} wrapped_text;

/* The bytes of the longest string of a text, with its quotes. */
static size_t longest_string(const char *text, size_t length)
{
    size_t longest = 0, begin = 0;
    bool inside = false;
    for (size_t i = 0; i < length; i++) {
        if (inside && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            longest = inside && i + 1 - begin > longest ? i + 1 - begin : longest;
            begin = i;
            inside = !inside;
        }
    }
    return longest;
}

static wrapped_text wrap(const char *text, size_t length)
{
    size_t room = 16, longest = longest_string(text, length); /* jansson's grows by doubling */
    while (room < longest + 4) {
        room *= 2;
    }
    return (wrapped_text){.text = text, .length = length, .padding = room - 4};
}

/* The next byte. There is none once memory has run out. */
static size_t next_byte(void *buffer, size_t room, void *context)
{
    static const char before[] = "[\"", between[] = "\",";
    enum { MARK = 2 };
    wrapped_text *wrapped = context;
    size_t at = wrapped->at++, begin = MARK + wrapped->padding;
    size_t end = begin + MARK + wrapped->length;
    (void)room;
    if (errno == ENOMEM || at > end) {
        return 0;
    }
    const char *from = at < MARK           ? before + at
                       : at < begin        ? "x"
                       : at < begin + MARK ? between + (at - begin)
                       : at < end          ? wrapped->text + (at - begin - MARK)
                                           : "]";
    *(char *)buffer = *from;
    return 1;
}

mt_status mt_json_object(const char *path, const char *what, const char *text, size_t length,
                         json_t **object)
{
    json_error_t error;
    wrapped_text wrapped = wrap(text, length);
    errno = 0;
    json_t *both = json_load_callback(next_byte, &wrapped, JSON_REJECT_DUPLICATES, &error);
    bool no_memory = both == NULL && errno == ENOMEM;
    *object = json_array_size(both) == 2 ? json_incref(json_array_get(both, 1)) : NULL;
    json_decref(both);
    if (json_is_object(*object)) {
        return MT_OK;
    }
    json_decref(*object);
    *object = NULL;
    return no_memory ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of JSON", path, length)
                     : mt_fail(MT_ERROR_FORMAT, "%s: %s no JSON object: %s", path, what,
                               error.text[0] != '\0' ? error.text : "another value");
}

mt_status mt_json_read(const char *path, size_t most, json_t **object)
{
    struct stat info;
    char *text;
    size_t size;
    *object = NULL;
    if (stat(path, &info) != 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    if ((size_t)info.st_size > most) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %lld bytes, of which there are at most %zu", path,
                       (long long)info.st_size, most);
    }
    mt_status status = mt_file_read(path, &text, &size);
    if (status != MT_OK) {
        return status;
    }
    if (strchr("{[", text[strspn(text, " \t\r\n")]) == NULL) {
        status = mt_file_check_kind(path, "a JSON object");
    }
    if (status == MT_OK) {
        status = mt_json_object(path, "it is", text, size, object);
    }
    free(text);
    return status;
}
