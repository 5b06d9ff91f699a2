/* .npy, the format of NumPy's arrays: "\x93NUMPY", a version, the length of a header, and the
 * header, which is a dictionary as Python writes it: {'descr': '<u2', 'fortran_order': False,
 * 'shape': (3, 4), }. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#include "io/token_ids_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_HEADER = 1 << 16, MOST_DIMENSIONS = 32 };

/* A header, as it is read. */
typedef struct npy_header {
    const char *at, *end;
    mt_ids_file *file;
    char type[8];
    bool has_type, has_order, fortran_order, has_shape;
    int rank;
    int64_t count, row; /* of all dimensions, and the last of them */
} npy_header;

static mt_status not_understood(const npy_header *header)
{
    enum { SHOWN = 48 };
    int left = (int)(header->end - header->at);
    return mt_fail(MT_ERROR_FORMAT, "%s: its header is not understood at: %.*s", header->file->path,
                   left < SHOWN ? left : SHOWN, header->at);
}

static void skip_blanks(npy_header *header)
{
    while (header->at < header->end && strchr(" \n\t", *header->at) != NULL && *header->at != 0) {
        header->at++;
    }
}

/* Takes a text that stands next, behind blanks. */
static bool take(npy_header *header, const char *text)
{
    size_t length = strlen(text);
    skip_blanks(header);
    bool found =
        (size_t)(header->end - header->at) >= length && memcmp(header->at, text, length) == 0;
    header->at += found ? length : 0;
    return found;
}

/* Takes what stands between quotes. One that is longer than `text` is cut. */
static bool take_quoted(npy_header *header, char *text, size_t size)
{
    bool is_single = take(header, "'"), is_quoted = is_single || take(header, "\"");
    const char *begin = header->at;
    const char *end =
        is_quoted ? memchr(begin, is_single ? '\'' : '"', (size_t)(header->end - begin)) : NULL;
    if (end == NULL) {
        return false;
    }
    size_t length = (size_t)(end - begin) < size ? (size_t)(end - begin) : size - 1;
    memcpy(text, begin, length);
    text[length] = '\0';
    header->at = end + 1;
    return true;
}

/* A dimension, with the L of Python 2's long integers; -1 where there is none, or it is beyond any
 * file. */
static int64_t take_dimension(npy_header *header)
{
    int64_t value = -1;
    skip_blanks(header);
    for (; header->at < header->end && *header->at >= '0' && *header->at <= '9'; header->at++) {
        value = value < 0 ? 0 : value;
        if (value > INT64_MAX / 16) {
            return -1;
        }
        value = 10 * value + (*header->at - '0');
    }
    take(header, "L");
    return value;
}

/* (), (3,), (3, 4) */
static bool take_shape(npy_header *header)
{
    bool well = take(header, "(");
    header->count = 1;
    while (well && !take(header, ")")) {
        int64_t length = take_dimension(header);
        well = length >= 0 && ++header->rank <= MOST_DIMENSIONS &&
               (length == 0 || header->count <= INT64_MAX / 16 / length);
        header->count *= well ? length : 1;
        header->row = length;
        if (well && !take(header, ",")) {
            well = take(header, ")");
            break;
        }
    }
    header->has_shape = well;
    return well;
}

static bool take_value(npy_header *header, const char *key)
{
    if (strcmp(key, "descr") == 0) {
        header->has_type = take_quoted(header, header->type, sizeof header->type);
        return header->has_type;
    }
    if (strcmp(key, "fortran_order") == 0) {
        header->fortran_order = take(header, "True");
        header->has_order = header->fortran_order || take(header, "False");
        return header->has_order;
    }
    return strcmp(key, "shape") == 0 && take_shape(header);
}

/* What is not understood stays where it began. */
static bool take_entry(npy_header *header)
{
    char key[16];
    const char *begin = header->at;
    bool well =
        take_quoted(header, key, sizeof key) && take(header, ":") && take_value(header, key);
    header->at = well ? header->at : begin;
    return well;
}

static mt_status check_whole(const npy_header *header)
{
    const char *lacks = !header->has_type    ? "descr"
                        : !header->has_order ? "fortran_order"
                        : !header->has_shape ? "shape"
                                             : NULL;
    return lacks == NULL
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: its header has no '%s'", header->file->path, lacks);
}

static mt_status parse(npy_header *header)
{
    bool well = take(header, "{");
    while (well && !take(header, "}")) {
        well = take_entry(header);
        if (well && !take(header, ",")) {
            well = take(header, "}");
            break;
        }
    }
    return well ? check_whole(header) : not_understood(header);
}

/* "<u2": the byte order, the kind and the bytes of an element. */
static mt_status take_type(const npy_header *header)
{
    const uint16_t one = 1;
    bool is_little = *(const unsigned char *)&one == 1;
    const char *type = header->type;
    bool order = type[0] != '\0' && strchr("<>|=", type[0]) != NULL;
    bool kind = order && (type[1] == 'i' || type[1] == 'u');
    if (!kind || type[2] == '\0' || strchr("1248", type[2]) == NULL || type[3] != '\0') {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: its type is %s, which is no integer of 8 to 64 bits (numpy.astype)",
                       header->file->path, type);
    }
    header->file->type =
        (mt_ids_type){type[2] - '0', type[1] == 'i',
                      (type[0] == '>' && is_little) || (type[0] == '<' && !is_little)};
    return MT_OK;
}

/* The rows of an array are the documents; one dimension is a text without borders. */
static mt_status take_array(const npy_header *header)
{
    mt_ids_file *file = header->file;
    if (header->rank == 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: one number, not an array", file->path);
    }
    if (header->fortran_order && header->rank > 1) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: its rows do not lie one behind another (fortran_order; "
                       "numpy.ascontiguousarray makes them)",
                       file->path);
    }
    mt_status status = mt_ids_expect(file, header->count);
    mt_ids_without_borders(file);
    if (status == MT_OK && header->rank > 1) {
        file->row = header->row;
        file->documents = file->count / file->row;
        file->has_borders = true;
    }
    return status;
}

static mt_status read_header(mt_ids_file *file, size_t begin, size_t length)
{
    char *text = malloc(length);
    if (text == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for a header of %zu bytes", file->path,
                       length);
    }
    npy_header header = {.at = text, .end = text + length, .file = file};
    file->offset = (int64_t)(begin + length);
    mt_status status =
        mt_ids_read_bytes(file->path, file->descriptor, (int64_t)begin, text, length);
    if (status == MT_OK) {
        status = parse(&header);
    }
    if (status == MT_OK) {
        status = take_type(&header);
    }
    if (status == MT_OK) {
        status = take_array(&header);
    }
    free(text);
    return status;
}

mt_status mt_ids_open_npy(mt_ids_file *file, const mt_ids_head *head)
{
    enum { VERSION = 6, LENGTH = 8, SHORT_BEGIN = 10, LONG_BEGIN = 12 };
    unsigned version = head->size > LONG_BEGIN ? head->bytes[VERSION] : 0;
    if (version < 1 || version > 3) {
        return mt_fail(MT_ERROR_FORMAT, "%s: version %u of .npy, of which 1 to 3 are known",
                       file->path, version);
    }
    size_t begin = version == 1 ? SHORT_BEGIN : LONG_BEGIN;
    uint32_t length = mt_ids_word(head->bytes + LENGTH);
    length = version == 1 ? length & 0xFFFF : length;
    if (length == 0 || length > LONGEST_HEADER || (int64_t)(begin + length) > file->bytes) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: a header of %" PRIu32 " bytes in a file of %" PRId64
                       " (cut, or damaged)",
                       file->path, length, file->bytes);
    }
    return read_header(file, begin, length);
}
