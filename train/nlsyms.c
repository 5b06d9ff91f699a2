#include "train/nlsyms.h"

#include "io/input.h"
#include "io/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What is behind the last blank of a line is its symbol's end; a line without one has none. */
static mt_status add_lines(const char *path, char *text, file_list *symbols)
{
    mt_status status = MT_OK;
    int64_t number = 1;
    for (char *line = text; *line != '\0' && status == MT_OK; number++) {
        char *next = mt_input_cut_line(line);
        if (*mt_utf8_end(line) != '\0') {
            return mt_fail(MT_ERROR_FORMAT, "%s: line %" PRId64 " is not UTF-8", path, number);
        }
        line[mt_utf8_before_blanks(line) - line] = '\0';
        status = *line != '\0' ? file_list_add(symbols, line) : MT_OK;
        line = next;
    }
    return status;
}

mt_status nlsyms_load(const char *path, file_list *symbols)
{
    char *text;
    size_t size;
    int64_t before = symbols->count;
    mt_status status = mt_file_read(path, &text, &size);
    if (status != MT_OK) {
        return status;
    }
    status = mt_input_check_lines(path, text, size);
    if (status == MT_OK) {
        status = add_lines(path, text + mt_utf8_mark(text, size), symbols);
    }
    if (status == MT_OK && symbols->count == before) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: the file is empty", path);
    }
    free(text);
    return status;
}
