#include "io/file_kind.h"

#include "io/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { LOOKED_AT = 512 }; /* bytes */

/* What has a mark at its beginning, or near it. */
static const struct {
    size_t place;
    const char *mark, *is;
} kinds[] = {
    {0, "version https://git-lfs.",
     "a pointer of Git LFS (git lfs pull fetches what it points to)"},
    {0, "<!DOCTYPE html", "a page of HTML, as servers send in place of a file"},
    {0, "<html", "a page of HTML, as servers send in place of a file"},
    {0, "\37\213\10", "compressed by gzip (gunzip unpacks it)"},
    {0, "BZh", "compressed by bzip2 (bunzip2 unpacks it)"},
    {0, "\3757zXZ", "compressed by xz (unxz unpacks it)"},
    {0, "\50\265\57\375", "compressed by zstd (unzstd unpacks it)"},
    {0, "GGUF", "a GGUF file, as llama.cpp has them"},
    {0, "fmgg", "a ggml file, as rwkv.cpp has them"},
    {0, "lmgg", "a ggml file"},
    {0, "tjgg", "a ggml file"},
    {0, "\223NUMPY", "an array of NumPy's"},
    {0, "\10\1\22", "a saved model of TensorFlow's"},
    {4, "TFL3", "a file of TensorFlow Lite's"},
    {257, "ustar", "a tar file"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* What mixtape-from-pth reads; but a zip file may hold anything. */
static const char *pytorch_kind(const char *bytes)
{
    bool is_pickle = bytes[0] == '\200' && bytes[1] >= 2 && bytes[1] <= 5;
    return strncmp(bytes, "PK\3\4", 4) == 0 ? "a zip file, as PyTorch's .pth are"
           : is_pickle                      ? "a pickle, as PyTorch's older .pth are"
                                            : NULL;
}

/* A protocol buffer that begins with ONNX's version, and who made it. */
static bool is_onnx(const char *bytes)
{
    return bytes[0] == 8 && bytes[1] >= 3 && bytes[1] <= 16 && bytes[2] == 18;
}

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

static const char *find_mark(const char *bytes)
{
    for (int i = 0; i < KINDS; i++) {
        if (strncasecmp(bytes + kinds[i].place, kinds[i].mark, strlen(kinds[i].mark)) == 0) {
            return kinds[i].is;
        }
    }
    return is_onnx(bytes) ? "an ONNX file" : NULL;
}

bool mt_file_is_text(const char *bytes, size_t size)
{
    return find_mark(bytes) == NULL && is_text(bytes, size);
}

/* `bytes` has LOOKED_AT of them, those behind `size` being zero. */
static const char *find_kind(const char *bytes, size_t size)
{
    const char *mark = find_mark(bytes);
    if (mark != NULL) {
        return mark;
    }
    if (is_text(bytes, size)) {
        return bytes[0] == '{' ? "JSON text, as a model's configuration and index are (name the "
                                 "folder of the model)"
                               : "text";
    }
    return size == 0 ? "empty" : NULL;
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
    const char *kind = pytorch_kind(bytes);
    if (kind != NULL) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: not %s, but %s: `mixtape-from-pth %s %s.h5` translates one", path,
                       wanted, kind, path, path);
    }
    kind = find_kind(bytes, (size_t)got);
    return kind == NULL ? MT_OK
                        : mt_fail(MT_ERROR_FORMAT, "%s: not %s, but %s", path, wanted, kind);
}
