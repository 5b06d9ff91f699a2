#include "io/json_file.h"

#include "io/file.h"

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

typedef struct rest_of_text {
    const char *at;
    size_t left;
} rest_of_text;

/* The next byte of a text. There is none once memory has run out: jansson does not notice where its
 * copy of a name could not grow, and would go on with a part of it. */
static size_t next_byte(void *buffer, size_t room, void *context)
{
    rest_of_text *rest = context;
    (void)room;
    if (rest->left == 0 || errno == ENOMEM) {
        return 0;
    }
    *(char *)buffer = *rest->at++;
    rest->left--;
    return 1;
}

mt_status mt_json_object(const char *path, const char *what, const char *text, size_t length,
                         json_t **object)
{
    json_error_t error;
    rest_of_text rest = {text, length};
    errno = 0;
    *object = json_load_callback(next_byte, &rest, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(*object)) {
        return MT_OK;
    }
    bool no_memory = *object == NULL && errno == ENOMEM;
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
    if (status == MT_OK) {
        status = mt_json_object(path, "it is", text, size, object);
        free(text);
    }
    return status;
}
