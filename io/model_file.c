#include "io/model_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 };

static const char *const formats[] = {
    [MT_CHECKPOINT_FILE] = "mixtape-checkpoint", [MT_EXCHANGE_FILE] = "mixtape-weights"};

static mt_status write_root(mt_archive *archive, mt_model_file kind, const mt_token_list *tokens)
{
    mt_status status = mt_archive_write_text(archive, "/", "format", formats[kind]);
    if (status == MT_OK) {
        status = mt_archive_write_int(archive, "/", "version", VERSION);
    }
    if (status == MT_OK && tokens != NULL) {
        status = mt_archive_write_tokens(archive, "/", "token_list", tokens);
    }
    return status;
}

mt_status mt_model_file_create(const char *path, mt_model_file kind, const mt_token_list *tokens,
                               mt_archive **archive)
{
    mt_status status = mt_archive_create(path, archive);
    if (status == MT_OK) {
        status = write_root(*archive, kind, tokens);
        if (status != MT_OK) {
            mt_archive_close(*archive);
            *archive = NULL;
        }
    }
    return status;
}

mt_status mt_model_file_finish(mt_archive *archive, mt_status status)
{
    if (status == MT_OK) {
        status = mt_archive_commit(archive);
    }
    mt_archive_close(archive);
    return status;
}

static mt_status read_root(mt_archive *archive, mt_model_file *kind)
{
    char *format;
    int64_t version;
    bool ours;
    *kind = MT_FOREIGN_FILE;
    mt_status status = mt_archive_find_attribute(archive, "/", "format", &ours);
    if (status != MT_OK || !ours) {
        return status;
    }
    status = mt_archive_read_text(archive, "/", "format", &format);
    if (status != MT_OK) {
        return status;
    }
    for (*kind = 0; *kind < MT_FOREIGN_FILE && strcmp(format, formats[*kind]) != 0;) {
        ++*kind;
    }
    if (*kind == MT_FOREIGN_FILE) {
        status = mt_archive_fail(archive, "/", "format '%.64s', expected %s or %s", format,
                                 formats[MT_CHECKPOINT_FILE], formats[MT_EXCHANGE_FILE]);
    }
    free(format);
    if (status == MT_OK) {
        status = mt_archive_read_int(archive, "/", "version", &version);
    }
    if (status == MT_OK && version != VERSION) {
        status = mt_archive_fail(archive, "/", "version %" PRId64 ", this program reads %d",
                                 version, VERSION);
    }
    return status;
}

mt_status mt_model_file_open(const char *path, mt_model_file *kind, mt_archive **archive)
{
    mt_status status = mt_archive_open(path, archive);
    if (status == MT_OK) {
        status = read_root(*archive, kind);
        if (status != MT_OK) {
            mt_archive_close(*archive);
            *archive = NULL;
        }
    }
    return status;
}

mt_status mt_model_file_read_tokens(mt_archive *archive, int64_t vocab_size, mt_token_list **tokens)
{
    bool found;
    *tokens = NULL;
    mt_status status = mt_archive_find_attribute(archive, "/", "token_list", &found);
    if (status != MT_OK || !found) {
        return status;
    }
    status = mt_archive_read_tokens(archive, "/", "token_list", tokens);
    if (status == MT_OK && (*tokens)->count != vocab_size) {
        status = mt_archive_fail(archive, "token_list", "%d tokens for a vocabulary of %" PRId64,
                                 (*tokens)->count, vocab_size);
    }
    return status;
}

/* What a group may hold; ends with NULL. */
static mt_status refuse_others(mt_archive *archive, const char *name, void *context)
{
    for (const char *const *expected = context; *expected != NULL; expected++) {
        if (strcmp(*expected, name) == 0) {
            return MT_OK;
        }
    }
    return mt_archive_fail(archive, name, "unknown: no group of this file");
}

mt_status mt_model_file_expect_groups(mt_archive *archive, const char *group,
                                      const char *const *names)
{
    return mt_archive_visit(archive, group, refuse_others, (void *)(uintptr_t)names);
}
