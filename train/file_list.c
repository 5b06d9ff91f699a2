#include "train/file_list.h"

#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

mt_status file_list_add(file_list *list, const char *name)
{
    size_t count = (size_t)list->count;
    bool is_full = (count & (count - 1)) == 0; /* rooms are powers of two */
    char **names =
        is_full ? realloc(list->names, (count > 0 ? 2 * count : 1) * sizeof *names) : list->names;
    if (names != NULL) {
        list->names = names;
        names[count] = strdup(name);
    }
    if (names == NULL || names[count] == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " names of files",
                       list->count + 1);
    }
    list->count++;
    return MT_OK;
}

mt_status file_list_add_all(file_list *list, const file_list *other)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < other->count && status == MT_OK; i++) {
        status = file_list_add(list, other->names[i]);
    }
    return status;
}

mt_status file_list_replace(file_list *list, int64_t i, const char *name)
{
    char *copy = strdup(name);
    if (copy == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for the name of a file");
    }
    free(list->names[i]);
    list->names[i] = copy;
    return MT_OK;
}

void file_list_clear(file_list *list)
{
    for (int64_t i = 0; i < list->count; i++) {
        free(list->names[i]);
    }
    free(list->names);
    *list = (file_list){0};
}

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Takes what the walk has come to. */
static mt_status take_entry(FTS *walk, FTSENT *entry, file_list *files)
{
    bool is_hidden = entry->fts_level > FTS_ROOTLEVEL && entry->fts_name[0] == '.';
    if (is_hidden) {
        fts_set(walk, entry, FTS_SKIP);
        return MT_OK;
    }
    switch (entry->fts_info) {
    case FTS_F:
        return file_list_add(files, entry->fts_path);
    case FTS_DC:
        return mt_fail(MT_ERROR_IO, "%s: a link to a folder that it is in", entry->fts_path);
    case FTS_SLNONE:
        return mt_fail(MT_ERROR_IO, "%s: a link to what is not there", entry->fts_path);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return mt_fail(MT_ERROR_IO, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
    default:
        return MT_OK;
    }
}

static mt_status walk_folder(char *folder, file_list *files)
{
    char *const roots[] = {folder, NULL};
    int64_t before = files->count;
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, compare_names);
    if (walk == NULL) {
        return mt_fail(MT_ERROR_IO, "%s: %s", folder, strerror(errno));
    }
    mt_status status = MT_OK;
    FTSENT *entry;
    errno = 0;
    while (status == MT_OK && (entry = fts_read(walk)) != NULL) {
        status = take_entry(walk, entry, files);
        errno = 0;
    }
    if (status == MT_OK && errno != 0) {
        status = mt_fail(MT_ERROR_IO, "%s: %s", folder, strerror(errno));
    }
    fts_close(walk);
    return status == MT_OK && files->count == before
               ? mt_fail(MT_ERROR_INVALID, "%s: no file in that folder", folder)
               : status;
}

mt_status file_list_walk(const file_list *names, file_list *files)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < names->count && status == MT_OK; i++) {
        struct stat info;
        bool is_folder = stat(names->names[i], &info) == 0 && S_ISDIR(info.st_mode);
        status =
            is_folder ? walk_folder(names->names[i], files) : file_list_add(files, names->names[i]);
    }
    return status;
}
