#include "io/kept_tokenizer.h"

#include "io/file.h"
#include "io/world.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    mt_archive_begin_array(archive, group, "file", MT_I32, 1, &words);
    mt_archive_write_rows(archive, MT_I32, 0, words, padded);
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
    if (status == MT_OK) {
        *tokenizer = read;
    }
    return status;
}

static const char json_name[] = "tokenizer.json", model_name[] = "tokenizer.model",
                  world_name[] = "rwkv_vocab_v20230424.txt";

mt_status mt_tokenizer_load_beside(const char *folder, mt_tokenizer_file *tokenizer)
{
    const char *const names[] = {json_name, model_name, "spiece.model", world_name};
    char path[PATH_MAX];
    *tokenizer = (mt_tokenizer_file){NULL, 0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int length = snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (length > 0 && length < PATH_MAX && access(path, F_OK) == 0) {
            return load_file(path, tokenizer);
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
                         "%s: a folder without tokenizer.json, tokenizer.model, spiece.model or "
                         "rwkv_vocab_v20230424.txt",
                         path)
               : status;
}

const char *mt_tokenizer_usual_name(const mt_tokenizer_file *tokenizer)
{
    size_t blanks = strspn(tokenizer->bytes, " \t\r\n");
    bool is_json = tokenizer->bytes[blanks] == '{' && tokenizer->bytes[0] != '\n';
    return is_json                                               ? json_name
           : mt_world_is_list(tokenizer->bytes, tokenizer->size) ? world_name
                                                                 : model_name;
}

void mt_tokenizer_free(mt_tokenizer_file *tokenizer)
{
    free(tokenizer->bytes);
    *tokenizer = (mt_tokenizer_file){NULL, 0};
}
