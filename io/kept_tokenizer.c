#include "io/kept_tokenizer.h"

#include "io/file.h"
#include "io/file_kind.h"
#include "io/json_check.h"
#include "io/world.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char group[] = "/" MT_TOKENIZER_GROUP;
enum { WORD = 4 };

void mt_tokenizer_write(mt_archive *archive, const mt_tokenizer_file *tokenizer)
{
    if (tokenizer->bytes == NULL) {
        return;
    }
    const int64_t words = (int64_t)(tokenizer->size + WORD - 1) / WORD;
    char *padded = calloc((size_t)words, WORD);
    if (padded == NULL) {
        mt_archive_keep(archive, mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes of a tokenizer",
                                         tokenizer->size));
        return;
    }
    memcpy(padded, tokenizer->bytes, tokenizer->size);
    mt_archive_write_group(archive, group);
    mt_archive_write_array(archive, group, "file", MT_I32, 1, &words, padded);
    mt_archive_write_int(archive, group, "size", (int64_t)tokenizer->size);
    free(padded);
}

/* The words of an array that is as long as its size says. */
static int64_t words_of(mt_archive *archive, int64_t size)
{
    mt_dtype dtype = MT_I32;
    int rank = 0;
    int64_t shape[MT_MAX_RANK] = {0};
    mt_archive_inspect_array(archive, group, "file", &dtype, &rank, shape);
    if (mt_archive_status(archive) == MT_OK &&
        (size < 1 || size > MT_TOKENIZER_MOST || dtype != MT_I32 || rank != 1 ||
         shape[0] != (size + WORD - 1) / WORD)) {
        mt_archive_fail(archive, group, "its file is not the bytes that size says, %lld",
                        (long long)size);
    }
    return shape[0];
}

void mt_tokenizer_read(mt_archive *archive, mt_tokenizer_file *tokenizer)
{
    *tokenizer = (mt_tokenizer_file){NULL, 0};
    if (!mt_archive_has(archive, MT_TOKENIZER_GROUP)) {
        return;
    }
    int64_t size = mt_archive_read_int(archive, group, "size");
    int64_t words = words_of(archive, size);
    if (mt_archive_status(archive) != MT_OK) {
        return;
    }
    char *bytes = malloc((size_t)words * WORD + 1);
    if (bytes == NULL) {
        mt_archive_keep(archive, mt_fail(MT_ERROR_MEMORY, "no memory for %lld bytes of a tokenizer",
                                         (long long)size));
        return;
    }
    mt_archive_read_rows(archive, group, "file", MT_I32, 0, words, (size_t)words * WORD, bytes);
    if (mt_archive_status(archive) != MT_OK) {
        free(bytes);
        return;
    }
    bytes[size] = '\0';
    *tokenizer = (mt_tokenizer_file){bytes, (size_t)size};
}

/* Where an object of JSON begins, behind a byte order mark; NULL: nowhere. */
static const char *find_json(const mt_tokenizer_file *tokenizer)
{
    static const char mark[] = "\xEF\xBB\xBF";
    const char *text = tokenizer->bytes;
    text += strncmp(text, mark, strlen(mark)) == 0 ? strlen(mark) : 0;
    return text[strspn(text, " \t\r\n")] == '{' && text[0] != '\n' ? text : NULL;
}

static mt_status check_list(const char *path, const mt_tokenizer_file *tokenizer)
{
    mt_world *world;
    mt_status status = mt_world_read(path, tokenizer->bytes, tokenizer->size, &world);
    if (status == MT_OK) {
        mt_world_destroy(world);
    }
    return status;
}

/* What is no tokenizer's is told when it is taken, not when it is used. A model of SentencePiece is
 * checked by its library alone, which need not be there. */
static mt_status check(const char *path, const mt_tokenizer_file *tokenizer)
{
    const char *json = find_json(tokenizer);
    if (json != NULL) {
        size_t length = tokenizer->size - (size_t)(json - tokenizer->bytes);
        return mt_json_check_member(path, json, length, "model");
    }
    if (mt_world_is_list(tokenizer->bytes, tokenizer->size)) {
        return check_list(path, tokenizer);
    }
    if (mt_tokenizer_is_sentencepiece(tokenizer->bytes, tokenizer->size)) {
        return MT_OK;
    }
    mt_status status = mt_file_check_kind(path, "a tokenizer");
    return status != MT_OK ? status
                           : mt_fail(MT_ERROR_FORMAT,
                                     "%s: neither a tokenizer.json, nor a model of SentencePiece, "
                                     "nor a World list",
                                     path);
}

static mt_status load_file(const char *path, mt_tokenizer_file *tokenizer)
{
    struct stat info;
    *tokenizer = (mt_tokenizer_file){NULL, 0};
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
        (info.st_size == 0 || info.st_size > MT_TOKENIZER_MOST)) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %lld bytes, which no tokenizer has (1 .. %d)", path,
                       (long long)info.st_size, MT_TOKENIZER_MOST);
    }
    mt_tokenizer_file read;
    mt_status status = mt_file_read(path, &read.bytes, &read.size);
    if (status != MT_OK) {
        return status;
    }
    status = check(path, &read);
    if (status == MT_OK) {
        *tokenizer = read;
    } else {
        mt_tokenizer_free(&read);
    }
    return status;
}

mt_status mt_tokenizer_load_beside(const char *folder, mt_tokenizer_file *tokenizer)
{
    const char *const names[] = {MT_TOKENIZER_JSON, MT_TOKENIZER_MODEL, "spiece.model",
                                 MT_TOKENIZER_WORLD};
    char path[PATH_MAX];
    *tokenizer = (mt_tokenizer_file){NULL, 0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int length = snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        bool is_there = false;
        mt_status status = length > 0 && length < PATH_MAX ? mt_file_look(path, &is_there) : MT_OK;
        if (status != MT_OK || is_there) {
            return status == MT_OK ? load_file(path, tokenizer) : status;
        }
    }
    return MT_OK;
}

mt_status mt_tokenizer_load(const char *path, mt_tokenizer_file *tokenizer)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return load_file(path, tokenizer);
    }
    mt_status status = mt_tokenizer_load_beside(path, tokenizer);
    return status == MT_OK && tokenizer->bytes == NULL
               ? mt_fail(MT_ERROR_FORMAT,
                         "%s: a folder without " MT_TOKENIZER_JSON ", " MT_TOKENIZER_MODEL
                         ", spiece.model or " MT_TOKENIZER_WORLD,
                         path)
               : status;
}

const char *mt_tokenizer_usual_name(const mt_tokenizer_file *tokenizer)
{
    return find_json(tokenizer) != NULL                          ? MT_TOKENIZER_JSON
           : mt_world_is_list(tokenizer->bytes, tokenizer->size) ? MT_TOKENIZER_WORLD
                                                                 : MT_TOKENIZER_MODEL;
}

void mt_tokenizer_free(mt_tokenizer_file *tokenizer)
{
    free(tokenizer->bytes);
    *tokenizer = (mt_tokenizer_file){NULL, 0};
}
