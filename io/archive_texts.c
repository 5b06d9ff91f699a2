/* Texts and token lists, as attributes of an archive's groups.
 *
 * A text is a string of fixed length, filled up with zero bytes. HDF5 keeps those of variable
 * length in global heaps, which have no checksum, and crashes where one is damaged. */
#include "io/archive_internal.h"
#include "io/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* HDF5 keeps an attribute of up to 4 KiB, name and type included, in a heap that has checksums,
     * and a longer one outside of it, bare: beside such a text stands another attribute, its
     * CRC-32. */
    BARE_FROM = 2048,
    NAME_MAX_BYTES = 64
};

/* "config" makes "config_crc32". */
static const char *checksum_name(char checksum[NAME_MAX_BYTES], const char *name)
{
    snprintf(checksum, NAME_MAX_BYTES, "%s_crc32", name);
    return checksum;
}

/* The CRC-32 of zlib and of Python's zlib.crc32. */
static uint32_t crc32_of(const void *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= ((const unsigned char *)bytes)[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static bool has(mt_archive *archive, const char *group, const char *name)
{
    mt_answer answer;
    mt_archive_ask(archive, &(mt_question){.asked = MT_ASK_HAS_ATTRIBUTE}, group, name, &answer);
    return answer.whole != 0;
}

bool mt_archive_has_attribute(mt_archive *archive, const char *group, const char *name)
{
    char checksum[NAME_MAX_BYTES]; /* the name of a long one may be damaged, its CRC-32's not */
    return has(archive, group, name) || has(archive, group, checksum_name(checksum, name));
}

/* Makes a copy of HDF5's type of strings that of `size` bytes. */
static bool set_text_type(hid_t type, size_t size)
{
    return H5Tset_size(type, size) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 &&
           H5Tset_cset(type, H5T_CSET_UTF8) >= 0;
}

/* Texts that lie in places of `size` bytes, one behind the other; of rank 0, one. */
typedef struct texts {
    int rank;
    size_t count, size;
    char *bytes;
} texts;

static void write_texts(mt_archive *archive, const char *group, const char *name,
                        const texts *written)
{
    char checksum[NAME_MAX_BYTES];
    const hsize_t count = written->count;
    hid_t type = H5Tcopy(H5T_C_S1);
    if (!set_text_type(type, written->size)) {
        mt_archive_lacks_memory(archive, name);
    }
    hid_t space = written->rank > 0 ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_SCALAR);
    mt_archive_write_attribute(archive, group, name, type, space, written->bytes);
    H5Tclose(type);
    size_t bytes = written->count * written->size;
    if (bytes >= BARE_FROM) {
        mt_archive_write_int(archive, group, checksum_name(checksum, name),
                             crc32_of(written->bytes, bytes));
    }
}

/* Puts the texts into places that are as long as the longest, and writes those. */
static void write_strings(mt_archive *archive, const char *group, const char *name, int rank,
                          size_t count, const char *const *strings)
{
    texts written = {.rank = rank, .count = count, .size = 1}; /* HDF5 has no strings of 0 bytes */
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(strings[i]);
        written.size = length > written.size ? length : written.size;
        if (*mt_utf8_end(strings[i]) != '\0') {
            mt_archive_keep(archive,
                            mt_fail(MT_ERROR_INVALID, "%s: %s: byte %td of text %zu is not UTF-8",
                                    archive->path, name, mt_utf8_end(strings[i]) - strings[i], i));
            return;
        }
    }
    written.bytes = calloc(count > 0 ? count : 1, written.size);
    if (written.bytes == NULL) {
        mt_archive_keep(archive,
                        mt_fail(MT_ERROR_MEMORY, "%s: %s: no memory for %zu texts of %zu bytes",
                                archive->path, name, count, written.size));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(written.bytes + i * written.size, strings[i], strlen(strings[i]));
    }
    write_texts(archive, group, name, &written);
    free(written.bytes);
}

void mt_archive_write_text(mt_archive *archive, const char *group, const char *name,
                           const char *value)
{
    write_strings(archive, group, name, 0, 1, &value);
}

void mt_archive_write_tokens(mt_archive *archive, const char *group, const char *name,
                             const mt_token_list *tokens)
{
    write_strings(archive, group, name, 1, (size_t)tokens->count,
                  (const char *const *)tokens->tokens);
}

/* The bytes must be those that were written, where a checksum stands beside them. */
static void check_texts(mt_archive *archive, const char *group, const char *name, const texts *read)
{
    char checksum[NAME_MAX_BYTES];
    uint32_t crc = crc32_of(read->bytes, read->count * read->size);
    if (!has(archive, group, checksum_name(checksum, name))) {
        return;
    }
    int64_t written = mt_archive_read_int(archive, group, checksum);
    if (written != crc) {
        mt_archive_fail(archive, group,
                        "the attribute '%s' is damaged: its CRC-32 is %08" PRIx32
                        ", not %08" PRIx64,
                        name, crc, (uint64_t)written);
    }
}

/* The caller frees `read->bytes`. */
static void read_texts(mt_archive *archive, const char *group, const char *name, texts *read)
{
    mt_answer answer;
    mt_question question = {.asked = MT_ASK_TEXTS, .rank = read->rank};
    if (!mt_archive_ask(archive, &question, group, name, &answer)) {
        return;
    }
    read->bytes = answer.found;
    read->count = (size_t)answer.texts;
    read->size = (size_t)answer.text_bytes;
    if (answer.texts < 0 || answer.text_bytes < 1 || (read->rank == 0 && answer.texts != 1) ||
        read->count > answer.found_bytes / read->size) {
        mt_archive_fail(archive, group, "the attribute '%s' is %lld strings of %lld bytes", name,
                        (long long)answer.texts, (long long)answer.text_bytes);
    } else {
        check_texts(archive, group, name, read);
    }
}

/* A copy of the text in a place, which the caller frees. It ends before the first zero byte, and
 * nothing but zeros is behind that. */
static char *copy_text(mt_archive *archive, const char *group, const char *name, const texts *read,
                       size_t i)
{
    const char *text = read->bytes + i * read->size;
    size_t length = strnlen(text, read->size);
    for (size_t at = length; at < read->size; at++) {
        if (text[at] != '\0') {
            mt_archive_fail(archive, group,
                            "the attribute '%s' has a zero byte at %zu of string %zu", name, length,
                            i);
            return NULL;
        }
    }
    char *copy = strndup(text, length);
    if (copy == NULL) {
        mt_archive_keep(archive, mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes",
                                         archive->path, length));
    } else if (*mt_utf8_end(copy) != '\0') {
        mt_archive_fail(archive, group, "the attribute '%s' is not UTF-8 at byte %td of string %zu",
                        name, mt_utf8_end(copy) - copy, i);
    }
    return copy;
}

char *mt_archive_read_text(mt_archive *archive, const char *group, const char *name)
{
    texts read = {.rank = 0};
    read_texts(archive, group, name, &read);
    char *value = archive->status == MT_OK ? copy_text(archive, group, name, &read, 0) : NULL;
    free(read.bytes);
    if (archive->status != MT_OK) {
        free(value);
        return NULL;
    }
    return value;
}

static mt_token_list *make_tokens(mt_archive *archive, const char *group, const char *name,
                                  const texts *read)
{
    mt_token_list *tokens = NULL;
    char **copies = calloc(read->count + 1, sizeof *copies);
    if (copies == NULL || read->count > INT32_MAX) {
        free(copies);
        mt_archive_keep(archive, mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu tokens",
                                         archive->path, read->count));
        return NULL;
    }
    for (size_t i = 0; i < read->count && archive->status == MT_OK; i++) {
        copies[i] = copy_text(archive, group, name, read, i);
    }
    if (archive->status == MT_OK) {
        mt_status status =
            mt_token_list_create((int32_t)read->count, (const char *const *)copies, &tokens);
        if (status == MT_ERROR_INVALID) {
            mt_archive_fail(archive, name, "%s", mt_error_message());
        }
        mt_archive_keep(archive, status);
    }
    for (size_t i = 0; i < read->count; i++) {
        free(copies[i]);
    }
    free(copies);
    return tokens;
}

mt_token_list *mt_archive_read_tokens(mt_archive *archive, const char *group, const char *name)
{
    texts read = {.rank = 1};
    read_texts(archive, group, name, &read);
    mt_token_list *tokens =
        archive->status == MT_OK ? make_tokens(archive, group, name, &read) : NULL;
    free(read.bytes);
    return tokens;
}
