#include "train/file_list.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
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

/* A folder that is walked, and the one that it is in, or NULL. */
typedef struct walked_folder {
    const struct walked_folder *parent;
    dev_t device;
    ino_t inode;
} walked_folder;

static mt_status walk_path(const char *path, const walked_folder *parent, file_list *files);

static mt_status fail_at(const char *path)
{
    return mt_fail(errno == ENOMEM ? MT_ERROR_MEMORY : MT_ERROR_IO, "%s: %s", path,
                   strerror(errno));
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static mt_status walk_entry(const char *path, const char *name, const walked_folder *folder,
                            file_list *files)
{
    char *whole;
    size_t length = strlen(path);
    const char *slash = length > 0 && path[length - 1] == '/' ? "" : "/";
    if (asprintf(&whole, "%s%s%s", path, slash, name) < 0) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for the name of a file", path);
    }
    mt_status status = walk_path(whole, folder, files);
    free(whole);
    return status;
}

/* By scandir: fts of the C library crashes where it has no memory. */
static mt_status walk_entries(const char *path, const walked_folder *folder, file_list *files)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_shown, compare_names);
    if (count < 0) {
        return fail_at(path);
    }
    mt_status status = MT_OK;
    for (int i = 0; i < count; i++) {
        if (status == MT_OK) {
            status = walk_entry(path, entries[i]->d_name, folder, files);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* Adds the regular file, or those of the folder; what is neither is left out. */
static mt_status walk_path(const char *path, const walked_folder *parent, file_list *files)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return errno == ENOENT ? mt_fail(MT_ERROR_IO, "%s: a link to what is not there", path)
                               : fail_at(path);
    }
    if (S_ISREG(info.st_mode)) {
        return file_list_add(files, path);
    }
    for (const walked_folder *above = parent; above != NULL; above = above->parent) {
        if (above->device == info.st_dev && above->inode == info.st_ino) {
            return mt_fail(MT_ERROR_IO, "%s: a link to a folder that it is in", path);
        }
    }
    return S_ISDIR(info.st_mode)
               ? walk_entries(path, &(walked_folder){parent, info.st_dev, info.st_ino}, files)
               : MT_OK;
}

static mt_status walk_folder(const char *folder, file_list *files)
{
    int64_t before = files->count;
    mt_status status = walk_path(folder, NULL, files);
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
