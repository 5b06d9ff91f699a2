/* Folders of Hugging Face's, written. */
#include "io/file.h"
#include "io/hf_config.h"
#include "io/hf_folder.h"
#include "io/kept_tokenizer.h"
#include "io/number_types.h"
#include "io/weights_file.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that is to be there, whole. */
typedef struct new_folder {
    char path[PATH_MAX], parent[PATH_MAX], name[PATH_MAX];
    char beside[PATH_MAX]; /* where it is made */
} new_folder;

static mt_status fail(const new_folder *folder)
{
    return mt_fail(MT_ERROR_IO, "%s: %s", folder->path, strerror(errno));
}

/* Cuts the path into what it stands in and its name; slashes at its end are none of it. */
static mt_status cut_path(const char *path, new_folder *folder)
{
    char copy[PATH_MAX];
    if (strlen(path) >= PATH_MAX) {
        return mt_fail(MT_ERROR_IO, "%.64s...: the path is too long", path);
    }
    snprintf(copy, sizeof copy, "%s", path);
    snprintf(folder->parent, sizeof folder->parent, "%s", dirname(copy));
    snprintf(copy, sizeof copy, "%s", path);
    snprintf(folder->name, sizeof folder->name, "%s", basename(copy));
    snprintf(folder->path, sizeof folder->path, "%s", path);
    return MT_OK;
}

/* Beside the target, on the same disk, by a name that nobody else has. */
static mt_status make_beside(new_folder *folder)
{
    uint32_t number;
    if (getentropy(&number, sizeof number) != 0) {
        return fail(folder);
    }
    int length = snprintf(folder->beside, PATH_MAX, "%s/.%s.%08" PRIx32 ".part", folder->parent,
                          folder->name, number);
    if (length < 0 || length >= PATH_MAX) {
        return mt_fail(MT_ERROR_IO, "%.64s...: the path is too long", folder->path);
    }
    return mkdir(folder->beside, 0777) == 0 ? MT_OK : fail(folder);
}

static mt_status path_in(const new_folder *folder, const char *name, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s/%s", folder->beside, name);
    return length > 0 && length < PATH_MAX
               ? MT_OK
               : mt_fail(MT_ERROR_IO, "%.64s...: the path is too long", folder->path);
}

static mt_status write_tokenizer(const new_folder *folder, const mt_tokenizer_file *tokenizer)
{
    char path[PATH_MAX];
    mt_status status = path_in(folder, mt_tokenizer_usual_name(tokenizer), path);
    return status == MT_OK ? mt_file_replace(path, tokenizer->bytes, tokenizer->size) : status;
}

static mt_status write_contents(const new_folder *folder, const mt_hf_contents *contents)
{
    char path[PATH_MAX];
    const mt_number_type *type = mt_number_type_of(contents->stored, contents->dtype);
    mt_status status = path_in(folder, "model.safetensors", path);
    if (status == MT_OK) {
        status = mt_safetensors_write(path, contents->arrays, contents->stored);
    }
    if (status == MT_OK) {
        status = path_in(folder, "config.json", path);
    }
    if (status == MT_OK) {
        status = mt_hf_config_write(path, contents->config, type->torch, contents->tokens);
    }
    return status == MT_OK && contents->tokenizer->bytes != NULL
               ? write_tokenizer(folder, contents->tokenizer)
               : status;
}

/* rename takes the place of an empty folder, and of nothing else. */
static mt_status put_in_place(const new_folder *folder)
{
    if (rename(folder->beside, folder->path) == 0) {
        return mt_folder_flush(folder->parent, folder->path);
    }
    return errno == ENOTEMPTY || errno == EEXIST
               ? mt_fail(MT_ERROR_IO,
                         "%s: a folder that is not empty, and is left as it is: name a new one",
                         folder->path)
               : fail(folder);
}

static void remove_beside(const new_folder *folder, const mt_tokenizer_file *tokenizer)
{
    const char *const names[] = {"model.safetensors", "config.json",
                                 tokenizer->bytes != NULL ? mt_tokenizer_usual_name(tokenizer)
                                                          : "config.json"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (path_in(folder, names[i], path) == MT_OK) {
            unlink(path);
        }
    }
    rmdir(folder->beside);
}

mt_status mt_hf_folder_write(const char *path, const mt_hf_contents *contents)
{
    new_folder folder;
    mt_status status = cut_path(path, &folder);
    if (status == MT_OK) {
        status = make_beside(&folder);
    }
    if (status != MT_OK) {
        return status;
    }
    status = write_contents(&folder, contents);
    if (status == MT_OK) {
        status = put_in_place(&folder);
    } else {
        status = mt_fail(status, "%s: %s", path, mt_error_message());
    }
    if (status != MT_OK) {
        remove_beside(&folder, contents->tokenizer);
    }
    return status;
}
