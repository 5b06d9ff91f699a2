/* The files that a list of files and folders names. */
#include "io/token_ids_file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Paths that are found. */
typedef struct path_list {
    char **paths;
    int64_t count;
} path_list;

/* Takes over a path that was allocated, or NULL. */
static mt_status add_path(path_list *list, char *path)
{
    char **grown =
        path != NULL ? realloc(list->paths, (size_t)(list->count + 1) * sizeof *grown) : NULL;
    if (grown == NULL) {
        free(path);
        return mt_fail(MT_ERROR_MEMORY, "no memory for the paths of %" PRId64 " files",
                       list->count + 1);
    }
    list->paths = grown;
    list->paths[list->count++] = path;
    return MT_OK;
}

bool mt_ids_has_suffix(const char *path, const char *suffix)
{
    size_t length = strlen(path), end = strlen(suffix);
    return length > end && strcasecmp(path + length - end, suffix) == 0;
}

char *mt_ids_beside(const char *path, const char *suffix)
{
    char *other = NULL;
    const int dot = 4;
    int length = (int)strlen(path);
    bool replaced = mt_ids_has_suffix(path, ".bin") || mt_ids_has_suffix(path, ".idx");
    return asprintf(&other, "%.*s%s", replaced ? length - dot : length, path, suffix) < 0 ? NULL
                                                                                          : other;
}

bool mt_ids_is_there(const char *path)
{
    struct stat info;
    return path != NULL && stat(path, &info) == 0;
}

static int is_taken(const struct dirent *entry)
{
    static const char *const suffixes[] = {".npy", ".bin", ".idx", ".h5", ".hdf5"};
    bool taken = false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        taken = taken || mt_ids_has_suffix(entry->d_name, suffixes[i]);
    }
    return taken && entry->d_name[0] != '.';
}

/* By bytes: the order is the same in every locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* An index beside its .bin comes with that. */
static mt_status add_entry(path_list *list, const char *folder, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        path = NULL;
    }
    char *bin =
        path != NULL && mt_ids_has_suffix(path, ".idx") ? mt_ids_beside(path, ".bin") : NULL;
    bool comes_with_bin = mt_ids_is_there(bin);
    free(bin);
    if (comes_with_bin) {
        free(path);
        return MT_OK;
    }
    return add_path(list, path);
}

static mt_status add_folder(path_list *list, const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_taken, compare_names);
    if (count < 0) {
        return mt_fail(errno == ENOMEM ? MT_ERROR_MEMORY : MT_ERROR_IO, "%s: %s", folder,
                       strerror(errno));
    }
    mt_status status = count > 0
                           ? MT_OK
                           : mt_fail(MT_ERROR_FORMAT,
                                     "%s: no .npy, .bin, .idx, .h5 or .hdf5 in the folder", folder);
    for (int i = 0; i < count; i++) {
        status = status == MT_OK ? add_entry(list, folder, entries[i]->d_name) : status;
        free(entries[i]);
    }
    free(entries);
    return status;
}

mt_status mt_ids_list_files(const char *const *given, int64_t count, char ***paths, int64_t *found)
{
    path_list list = {NULL, 0};
    mt_status status = MT_OK;
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        struct stat info;
        bool is_folder = stat(given[i], &info) == 0 && S_ISDIR(info.st_mode);
        status = is_folder ? add_folder(&list, given[i]) : add_path(&list, strdup(given[i]));
    }
    *paths = list.paths;
    *found = list.count;
    return status;
}
