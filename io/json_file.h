/* JSON files. */
#ifndef MT_IO_JSON_FILE_H
#define MT_IO_JSON_FILE_H

#include <mixtape/error.h>

#include <jansson.h>

/* Puts the value's text into the place of a file, with a newline behind it. MT_ERROR_MEMORY, also
 * where the value is NULL, since it could not be made. */
mt_status mt_json_write(const char *path, const json_t *value);

#endif
