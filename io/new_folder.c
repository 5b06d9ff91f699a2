/* A folder is locked with flock, which takes one that is open for reading; fcntl's locks do not. */
#include "io/new_folder.h"

#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what may stand where it goes ---- */

static mt_status not_empty(const char *path)
{
    return mt_fail(MT_ERROR_IO,
                   "%s: a folder that is not empty, and is left as it is: name a new "
                   "one",
                   path);
}

static bool is_self_or_parent(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_empty(const char *path)
{
    DIR *folder = opendir(path);
    bool found = false;
    for (struct dirent *entry; folder != NULL && !found && (entry = readdir(folder)) != NULL;) {
        found = !is_self_or_parent(entry->d_name);
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return !found;
}

/* A shell that works in an empty folder would be left in one that is gone. */
static mt_status check_free(const char *path)
{
    struct stat there, here;
    if (stat(path, &there) != 0) {
        return errno == ENOENT ? MT_OK : mt_place_fail(path, errno);
    }
    if (!S_ISDIR(there.st_mode)) {
        return mt_fail(MT_ERROR_IO, "%s: %s, and a folder is to be written: name a new one", path,
                       strerror(ENOTDIR));
    }
    if (!is_empty(path)) {
        return not_empty(path);
    }
    return stat(".", &here) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino
               ? mt_fail(MT_ERROR_IO, "%s: the folder that is worked in: name a new one", path)
               : MT_OK;
}

/* ---- what was left ---- */

/* Tells if a name is one of these, or of what is written beside a file of these. */
static bool is_one_of(const char *const *names, const char *entry)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names, entry) == 0 || mt_is_beside(*names, entry)) {
            return true;
        }
    }
    return false;
}

/* Removes the files of an open folder; false, and none is removed, where another is there. */
static bool remove_files(int opened, const char *const *names)
{
    int again = openat(opened, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = again >= 0 ? fdopendir(again) : NULL;
    bool only = folder != NULL;
    for (int removes = 0; removes < 2 && only; removes++) {
        rewinddir(folder);
        for (struct dirent *entry; only && (entry = readdir(folder)) != NULL;) {
            if (is_self_or_parent(entry->d_name)) {
                continue;
            }
            only = is_one_of(names, entry->d_name) &&
                   (removes == 0 || unlinkat(opened, entry->d_name, 0) == 0);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    } else if (again >= 0) {
        close(again);
    }
    return only;
}

/* Removes a folder whose writer is gone: nobody holds its lock. */
static void remove_if_left(int parent, const char *entry, const void *names)
{
    int opened = openat(parent, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened >= 0 && flock(opened, LOCK_EX | LOCK_NB) == 0 && remove_files(opened, names)) {
        unlinkat(parent, entry, AT_REMOVEDIR);
    }
    if (opened >= 0) {
        close(opened);
    }
}

/* ---- the new one ---- */

/* Tells if a new folder is this writer's: another that came upon it before it had its lock takes it
 * for one that was left, and removes it. */
static bool keeps(int opened)
{
    struct stat info;
    bool taken = flock(opened, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    return !taken && (fstat(opened, &info) != 0 || info.st_nlink > 0);
}

static mt_status make_beside(mt_new_folder *folder)
{
    const mt_place *place = &folder->place;
    for (int tries = 0; tries < 100; tries++) {
        mt_status status = mt_place_beside(place, folder->beside);
        if (status != MT_OK) {
            return status;
        }
        if (mkdir(folder->beside, 0777) != 0) {
            if (errno != EEXIST) {
                return mt_place_fail(place->path, errno);
            }
            continue;
        }
        folder->lock = open(folder->beside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder->lock >= 0 && keeps(folder->lock)) {
            return MT_OK;
        }
        int error = errno;
        rmdir(folder->beside);
        if (folder->lock < 0 && error != ENOENT) {
            return mt_place_fail(place->path, error);
        }
        if (folder->lock >= 0) {
            close(folder->lock);
        }
    }
    return mt_fail(MT_ERROR_IO, "%s: others keep removing what is written beside it", place->path);
}

/* Slashes at the end of a path are none of its name. */
static mt_status find_place(const char *path, mt_place *place)
{
    char cut[PATH_MAX];
    size_t length = strlen(path);
    if (length >= PATH_MAX) {
        return mt_place_too_long(path);
    }
    memcpy(cut, path, length + 1);
    while (length > 1 && cut[length - 1] == '/') {
        cut[--length] = '\0';
    }
    return mt_place_find(cut, place);
}

mt_status mt_folder_begin(const char *path, const char *const *names, mt_new_folder *folder)
{
    *folder = (mt_new_folder){.names = names, .lock = -1};
    mt_status status = find_place(path, &folder->place);
    if (status == MT_OK) {
        status = check_free(folder->place.path);
    }
    if (status != MT_OK) {
        return status;
    }
    mt_place_visit_left(&folder->place, remove_if_left, names);
    status = make_beside(folder);
    if (status != MT_OK) {
        folder->lock = -1;
    }
    return status;
}

mt_status mt_folder_path(const mt_new_folder *folder, const char *name, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s/%s", folder->beside, name);
    return length > 0 && length < PATH_MAX ? MT_OK : mt_place_too_long(folder->place.path);
}

/* rename takes the place of an empty folder, and of nothing else. */
mt_status mt_folder_end(mt_new_folder *folder)
{
    const mt_place *place = &folder->place;
    if (rename(folder->beside, place->path) != 0) {
        return errno == ENOTEMPTY || errno == EEXIST ? not_empty(place->path)
                                                     : mt_place_fail(place->path, errno);
    }
    close(folder->lock);
    folder->lock = -1;
    return mt_folder_flush(place->folder, place->path);
}

void mt_folder_discard(mt_new_folder *folder)
{
    if (folder->lock >= 0) {
        remove_files(folder->lock, folder->names);
        rmdir(folder->beside);
        close(folder->lock);
        folder->lock = -1;
    }
}
