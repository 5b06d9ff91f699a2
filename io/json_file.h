/* JSON files. Internal. */
#ifndef MT_IO_JSON_FILE_H
#define MT_IO_JSON_FILE_H

#include <mixtape/error.h>

#include <jansson.h>
#include <stddef.h>

/* The object that a text holds, which the caller releases (json_decref). MT_ERROR_FORMAT where it
 * is another value, has a key twice, or is no JSON: "path: what no JSON object: reason"; `what` is
 * "it is" or "the header is". MT_ERROR_MEMORY. Nesting is limited by jansson, to 2048 levels. */
mt_status mt_json_object(const char *path, const char *what, const char *text, size_t length,
                         json_t **object);

/* The same of a whole file of at most `most` bytes. */
mt_status mt_json_read(const char *path, size_t most, json_t **object);

/* Puts the value's text into the place of a file, with a newline behind it. Real numbers have as
 * many digits at most, or all of them for 0. MT_ERROR_MEMORY, also where the value is NULL, since
 * it could not be made. */
mt_status mt_json_write(const char *path, const json_t *value, size_t digits);

/* The digits that tell a real number apart from others, and no more: 1e-5, not
 * 1.0000000000000001e-5. */
size_t mt_json_digits(double number);

/* A value in a message: a number, true or false as it stands, a text in quotes, cut where it is
 * long, what holds others as a word, and "missing" for NULL. Gives back `text`. */
enum { MT_JSON_TEXT = 80 };
const char *mt_json_text(const json_t *value, char text[MT_JSON_TEXT]);

#endif
