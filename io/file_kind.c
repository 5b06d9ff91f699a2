#include "io/file_kind.h"

#include "io/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { LOOKED_AT = 512 }; /* bytes */

static const struct {
    const char *begins, *is;
} kinds[] = {
    {"PK\3\4", "a zip file, as PyTorch's .pth are (mixtape-from-pth translates one)"},
    {"\200\2", "a pickle, as PyTorch's older .pth are (mixtape-from-pth translates one)"},
    {"version https://git-lfs.", "a pointer of Git LFS (git lfs pull fetches what it points to)"},
    {"<!DOCTYPE html", "a page of HTML, as servers send in place of a file"},
    {"<html", "a page of HTML, as servers send in place of a file"},
    {"\37\213\10", "compressed by gzip"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool is_text(const char *bytes, size_t size)
{
    size_t checked = (size_t)(mt_utf8_end(bytes) - bytes);
    for (size_t i = 0; i < checked; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte < ' ' && strchr("\t\n\r\f", byte) == NULL) {
            return false;
        }
    }
    const size_t cut_character = 3; /* the last one may be cut */
    return checked + cut_character >= size && checked > 0;
}

static const char *find_kind(const char *bytes, size_t size)
{
    for (int i = 0; i < KINDS; i++) {
        if (strncasecmp(bytes, kinds[i].begins, strlen(kinds[i].begins)) == 0) {
            return kinds[i].is;
        }
    }
    return size == 0 ? "empty" : is_text(bytes, size) ? "text" : NULL;
}

mt_status mt_file_check_kind(const char *path, const char *wanted)
{
    char bytes[LOOKED_AT + 1] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    ssize_t got = read(file, bytes, LOOKED_AT);
    int error = errno;
    close(file);
    if (got < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(error));
    }
    const char *kind = find_kind(bytes, (size_t)got);
    return kind == NULL ? MT_OK
                        : mt_fail(MT_ERROR_FORMAT, "%s: not %s, but %s", path, wanted, kind);
}
