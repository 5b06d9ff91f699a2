#include "io/json_file.h"

#include "io/file.h"

#include <stdlib.h>

enum { FLAGS = JSON_INDENT(2) };

/* jansson writes into memory of the right size: it does not notice where a text of its own could
 * not grow. */
mt_status mt_json_write(const char *path, const json_t *value)
{
    size_t size = json_dumpb(value, NULL, 0, FLAGS);
    char *text = malloc(size + 1);
    mt_status status = MT_OK;
    if (size == 0 || text == NULL || json_dumpb(value, text, size, FLAGS) != size) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: no memory to write it", path);
    } else {
        text[size] = '\n';
        status = mt_file_replace(path, text, size + 1);
    }
    free(text);
    return status;
}
