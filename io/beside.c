#include "io/beside.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

mt_status mt_place_fail(const char *path, int error)
{
    return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(error));
}

mt_status mt_place_too_long(const char *path)
{
    return mt_fail(MT_ERROR_IO, "%.64s...: the path is too long", path);
}

static mt_status follow_links(const char *named, char path[PATH_MAX])
{
    enum { MOST_LINKS = 40 }; /* Linux follows as many */
    snprintf(path, PATH_MAX, "%s", named);
    for (int links = 0; links <= MOST_LINKS; links++) {
        char to[PATH_MAX], folder[PATH_MAX], joined[2 * PATH_MAX];
        ssize_t length = readlink(path, to, sizeof to - 1);
        if (length < 0) {
            return MT_OK;
        }
        to[length] = '\0';
        memcpy(folder, path, sizeof folder);
        snprintf(joined, sizeof joined, "%s/%s", dirname(folder), to);
        const char *next = to[0] == '/' ? to : joined;
        if (strlen(next) >= PATH_MAX) {
            return mt_place_too_long(named);
        }
        strcpy(path, next);
    }
    return mt_place_fail(named, ELOOP);
}

mt_status mt_place_find(const char *named, mt_place *place)
{
    char copy[PATH_MAX];
    if (strlen(named) >= PATH_MAX) {
        return mt_place_too_long(named);
    }
    mt_status status = follow_links(named, place->path);
    memcpy(copy, place->path, sizeof copy);
    snprintf(place->folder, PATH_MAX, "%s", dirname(copy));
    memcpy(copy, place->path, sizeof copy);
    snprintf(place->name, PATH_MAX, "%s", basename(copy));
    return status;
}

mt_status mt_place_beside(const mt_place *place, char beside[PATH_MAX])
{
    uint32_t number;
    if (getentropy(&number, sizeof number) != 0) {
        return mt_place_fail(place->path, errno);
    }
    int length =
        snprintf(beside, PATH_MAX, "%s/.%s.%08" PRIx32 ".part", place->folder, place->name, number);
    return length >= 0 && length < PATH_MAX ? MT_OK : mt_place_too_long(place->path);
}

/* ".NAME.0123abcd.part" */
bool mt_is_beside(const char *name, const char *entry)
{
    size_t length = strlen(name);
    const char *number = entry + length + 2;
    return entry[0] == '.' && strncmp(entry + 1, name, length) == 0 && entry[length + 1] == '.' &&
           strspn(number, "0123456789abcdef") == 8 && strcmp(number + 8, ".part") == 0;
}

void mt_place_visit_left(const mt_place *place, mt_left *left, const void *context)
{
    DIR *folder = opendir(place->folder);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        if (mt_is_beside(place->name, entry->d_name)) {
            left(dirfd(folder), entry->d_name, context);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}
