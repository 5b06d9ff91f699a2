/* JSON that is checked and not kept: jansson would take 80 bytes of memory for each of a text of
 * nothing but braces. */
#include "io/json_check.h"

#include "io/utf8.h"

#include <stdbool.h>
#include <string.h>

enum { MOST_DEPTH = 2048 };

/* A text at work. */
typedef struct json_text {
    const char *begin, *at, *end;
    const char *member; /* of the outermost object, which is to be an object */
    bool has_member;
    int depth;
    char open[MOST_DEPTH]; /* '{' or '[' */
} json_text;

static void skip_blanks(json_text *text)
{
    text->at += strspn(text->at, " \t\r\n");
}

static bool take(json_text *text, char expected)
{
    skip_blanks(text);
    bool is_there = text->at < text->end && *text->at == expected;
    text->at += is_there;
    return is_there;
}

static bool skip_escape(json_text *text)
{
    if (*text->at == 'u') {
        text->at++;
        bool whole = strspn(text->at, "0123456789abcdefABCDEF") >= 4;
        text->at += whole ? 4 : 0;
        return whole;
    }
    bool known = *text->at != '\0' && strchr("\"\\/bfnrt", *text->at) != NULL;
    text->at += known;
    return known;
}

static bool skip_string(json_text *text)
{
    bool right = take(text, '"');
    while (right && *text->at != '"') {
        unsigned char byte = (unsigned char)*text->at;
        right = byte >= ' ';
        text->at += right;
        if (byte == '\\') {
            right = skip_escape(text);
        }
    }
    text->at += right;
    return right;
}

static bool skip_digits(json_text *text)
{
    size_t digits = strspn(text->at, "0123456789");
    text->at += digits;
    return digits > 0;
}

static bool skip_number(json_text *text)
{
    text->at += *text->at == '-';
    bool right = true;
    if (*text->at == '0') {
        text->at++;
    } else {
        right = skip_digits(text);
    }
    if (right && *text->at == '.') {
        text->at++;
        right = skip_digits(text);
    }
    if (right && (*text->at == 'e' || *text->at == 'E')) {
        text->at++;
        text->at += *text->at == '+' || *text->at == '-';
        right = skip_digits(text);
    }
    return right;
}

static bool skip_plain(json_text *text)
{
    static const char *const words[] = {"true", "false", "null"};
    if (*text->at == '"') {
        return skip_string(text);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strncmp(text->at, words[i], strlen(words[i])) == 0) {
            text->at += strlen(words[i]);
            return true;
        }
    }
    return skip_number(text);
}

/* A key and its colon. */
static bool skip_key(json_text *text)
{
    skip_blanks(text);
    const char *key = text->at + 1;
    if (!skip_string(text)) {
        return false;
    }
    size_t length = (size_t)(text->at - 1 - key);
    bool is_member = text->depth == 1 && length == strlen(text->member) &&
                     memcmp(key, text->member, length) == 0;
    bool right = take(text, ':');
    skip_blanks(text);
    text->has_member = text->has_member || (is_member && *text->at == '{');
    return right;
}

static bool is_in_object(const json_text *text)
{
    return text->depth > 0 && text->open[text->depth - 1] == '{';
}

/* Closes what ends here; then either all is closed, or another value follows. */
static bool close_ended(json_text *text)
{
    while (text->depth > 0 && take(text, is_in_object(text) ? '}' : ']')) {
        text->depth--;
    }
    return text->depth == 0 || (take(text, ',') && (!is_in_object(text) || skip_key(text)));
}

/* Opens what begins here, of which the first value follows; `is_empty` where there is none. */
static bool open_next(json_text *text, bool *is_empty)
{
    if (text->depth == MOST_DEPTH) {
        return false;
    }
    text->open[text->depth++] = *text->at++;
    skip_blanks(text);
    *is_empty = *text->at == (is_in_object(text) ? '}' : ']');
    return *is_empty || !is_in_object(text) || skip_key(text);
}

static bool skip_all(json_text *text)
{
    bool right = true;
    do {
        skip_blanks(text);
        bool opens = *text->at == '{' || *text->at == '[', is_empty = false;
        right = opens ? open_next(text, &is_empty) : skip_plain(text);
        if (right && (!opens || is_empty)) {
            right = close_ended(text);
        }
    } while (right && text->depth > 0);
    skip_blanks(text);
    return right && text->at == text->end;
}

mt_status mt_json_check_member(const char *path, const char *bytes, size_t size, const char *name)
{
    json_text text = {.begin = bytes, .at = bytes, .end = bytes + size, .member = name};
    size_t valid = (size_t)(mt_utf8_end(bytes) - bytes);
    if (valid < size) {
        return mt_fail(MT_ERROR_FORMAT, "%s: it is no JSON object: no text at byte %zu of %zu",
                       path, valid, size);
    }
    skip_blanks(&text);
    bool is_object = *text.at == '{';
    if (!is_object || !skip_all(&text)) {
        return mt_fail(MT_ERROR_FORMAT, "%s: it is no JSON object: wrong at byte %zu of %zu", path,
                       (size_t)(text.at - text.begin), size);
    }
    return text.has_member
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: it has no %s, or one that is no object", path, name);
}
