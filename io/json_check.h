/* JSON of others, checked and not kept, in memory that does not grow with it. Internal. */
#ifndef MT_IO_JSON_CHECK_H
#define MT_IO_JSON_CHECK_H

#include <mixtape/error.h>

#include <stddef.h>

/* MT_ERROR_FORMAT, with the place, where a text is no JSON object, nested to 2048 levels at most,
 * or has no object under this name. A zero byte is behind the text. */
mt_status mt_json_check_member(const char *path, const char *bytes, size_t size, const char *name);

#endif
