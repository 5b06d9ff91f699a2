#include "io/input.h"

#include "io/growing_bytes.h"
#include "io/gunzip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What some bytes tell. */
typedef struct file_magic {
    size_t offset;
    const char *bytes;
    size_t length;
    const char *is, *cure;
} file_magic;

#define BYTES(text)   (text), sizeof(text) - 1
#define UNPACK(words) "unpack it, or let `" words "` write it to -, standard input"

static const file_magic packers[] = {
    {0, BYTES("\xFD\x37\x7A\x58\x5A"), "compressed by xz", UNPACK("xz -dc")},
    {0, BYTES("\x28\xB5\x2F\xFD"), "compressed by zstd", UNPACK("zstd -dc")},
    {4, BYTES("1AY&SY"), "compressed by bzip2", UNPACK("bzip2 -dc")},
    {0, BYTES("\x04\x22\x4D\x18"), "compressed by lz4", UNPACK("lz4 -dc")},
    {0, BYTES("\x1F\x9D"), "compressed by compress", UNPACK("gzip -dc")},
    {0, BYTES("PK\x03\x04"), "a zip archive", UNPACK("unzip -p")},
    {0, BYTES("7z\xBC\xAF\x27\x1C"), "a 7z archive", UNPACK("7z x -so")},
    {0, NULL},
};

static const file_magic no_texts[] = {
    {0, BYTES("\xFF\xFE\0\0"), "UTF-32", "`iconv -f UTF-32 -t UTF-8` makes it UTF-8"},
    {0, BYTES("\xFF\xFE"), "UTF-16", "`iconv -f UTF-16 -t UTF-8` makes it UTF-8"},
    {0, BYTES("\xFE\xFF"), "UTF-16", "`iconv -f UTF-16 -t UTF-8` makes it UTF-8"},
    {257, BYTES("ustar"), "a tar archive", "`tar -xf` unpacks it to a folder"},
    {0, BYTES("version https://git-lfs."), "a pointer of Git LFS",
     "`git lfs pull` fetches what it points to"},
    {0, BYTES("\x93NUMPY"), "an array of NumPy's", "token ids are of the task ids"},
    {0, BYTES("\x89HDF\r\n\x1A\n"), "an HDF5 file", "token ids are of the task ids"},
    {0, BYTES("\xFF\xFF\xFF\xFF"), "an Arrow file", "write its texts to a file of text"},
    {0, BYTES("ARROW1"), "an Arrow file", "write its texts to a file of text"},
    {0, BYTES("PAR1"), "a Parquet file", "write its texts to a file of text"},
    {0, NULL},
};

/* The row of what the bytes are, or NULL. */
static const file_magic *find_magic(const file_magic *rows, const char *bytes, size_t size)
{
    for (; rows->bytes != NULL; rows++) {
        if (size >= rows->offset + rows->length &&
            memcmp(bytes + rows->offset, rows->bytes, rows->length) == 0) {
            return rows;
        }
    }
    return NULL;
}

mt_status mt_input_check_text(const char *bytes, size_t size)
{
    const file_magic *found = find_magic(no_texts, bytes, size);
    return found == NULL ? MT_OK : mt_fail(MT_ERROR_FORMAT, "%s (%s)", found->is, found->cure);
}

mt_status mt_input_check_unpacked(const char *bytes, size_t size)
{
    static const file_magic gzip = {0, NULL, 0, "compressed by gzip", UNPACK("gzip -dc")};
    const file_magic *found = mt_is_gzip(bytes, size) ? &gzip : find_magic(packers, bytes, size);
    return found == NULL ? MT_OK : mt_fail(MT_ERROR_FORMAT, "%s (%s)", found->is, found->cure);
}

mt_status mt_input_check_lines(const char *name, const char *bytes, size_t size)
{
    mt_status status = mt_input_check_text(bytes, size);
    if (status != MT_OK) {
        return mt_fail(status, "%s: %s", name, mt_error_message());
    }
    return strlen(bytes) == size
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: a zero byte at %zu (not a text file?)", name,
                         strlen(bytes));
}

char *mt_input_cut_line(char *line)
{
    size_t length = strcspn(line, "\n");
    char *next = line + length + (line[length] == '\n');
    line[length > 0 && line[length - 1] == '\r' ? length - 1 : length] = '\0';
    return next;
}

size_t mt_input_most(void)
{
    enum { SHARE = 8 };
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && bytes > 0 ? (size_t)pages / SHARE * (size_t)bytes : SIZE_MAX;
}

static bool is_standard_input(const char *name)
{
    return strcmp(name, "-") == 0;
}

bool mt_input_is_stream(const char *name)
{
    struct stat info;
    return is_standard_input(name) || (stat(name, &info) == 0 && S_ISFIFO(info.st_mode));
}

/* Reads to the end. Of a plain file there may be as much as it has. */
static mt_status read_to_end(int file, bool is_regular, mt_growing_bytes *read_bytes)
{
    const size_t most = read_bytes->most;
    ssize_t got = 1;
    mt_status status = MT_OK;
    while (got > 0 && status == MT_OK) {
        status = mt_growing_make_room(read_bytes);
        if (status != MT_OK) {
            break;
        }
        size_t room = read_bytes->room - 1 - read_bytes->size;
        do {
            got = read(file, read_bytes->bytes + read_bytes->size, room);
        } while (got < 0 && errno == EINTR);
        if (got < 0) {
            status = mt_fail(MT_ERROR_IO, "%s: %s after %zu bytes", read_bytes->name,
                             strerror(errno), read_bytes->size);
        }
        read_bytes->size += got > 0 ? (size_t)got : 0;
        bool is_plain = is_regular && !mt_is_gzip(read_bytes->bytes, read_bytes->size);
        read_bytes->most = is_plain ? SIZE_MAX : most;
    }
    return status;
}

static mt_status read_open(int file, mt_growing_bytes *read_bytes)
{
    struct stat info;
    if (fstat(file, &info) != 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", read_bytes->name, strerror(errno));
    }
    bool is_regular = S_ISREG(info.st_mode);
    if (!is_regular && !S_ISFIFO(info.st_mode) && file != STDIN_FILENO) {
        return mt_fail(MT_ERROR_IO, "%s: not a regular file, nor a pipe", read_bytes->name);
    }
    if (is_regular) { /* room for all of it, and for the end to be seen */
        read_bytes->room = (size_t)info.st_size + 2;
        read_bytes->bytes = malloc(read_bytes->room);
        if (read_bytes->bytes == NULL) {
            return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its %lld bytes", read_bytes->name,
                           (long long)info.st_size);
        }
    }
    return read_to_end(file, is_regular, read_bytes);
}

/* Puts what gzip compressed into its unpacked form. */
static mt_status unpack(mt_growing_bytes *bytes, size_t most)
{
    mt_growing_bytes text = {.name = bytes->name, .most = most};
    mt_status status = mt_gunzip(bytes->bytes, bytes->size, &text);
    free(bytes->bytes);
    *bytes = text;
    return status;
}

static mt_status check_packers(const mt_growing_bytes *bytes)
{
    const file_magic *found = find_magic(packers, bytes->bytes, bytes->size);
    return found == NULL
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: %s (%s)", bytes->name, found->is, found->cure);
}

static mt_status read_named(const char *name, mt_growing_bytes *bytes)
{
    bool is_standard = is_standard_input(name);
    int file = is_standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", name, strerror(errno));
    }
    mt_status status = read_open(file, bytes);
    if (!is_standard) {
        close(file);
    }
    return status;
}

mt_status mt_input_read(const char *name, size_t most, char **bytes, size_t *size)
{
    mt_growing_bytes found = {.name = is_standard_input(name) ? "standard input" : name,
                              .most = most};
    mt_status status = read_named(name, &found);
    if (status == MT_OK && mt_is_gzip(found.bytes, found.size)) {
        status = unpack(&found, most);
    }
    if (status == MT_OK) {
        status = check_packers(&found);
    }
    if (status != MT_OK) {
        free(found.bytes);
        return status;
    }
    found.bytes[found.size] = '\0';
    *bytes = found.bytes;
    *size = found.size;
    return MT_OK;
}
