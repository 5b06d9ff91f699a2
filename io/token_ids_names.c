/* Names of files of token ids. */
#include "io/token_ids_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

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

const char *mt_ids_find_object(const char *name)
{
    const char *colon = NULL;
    for (const char *at = mt_ids_is_there(name) ? NULL : strstr(name, ":/"); at != NULL;
         at = strstr(at + 1, ":/")) {
        colon = at;
    }
    return colon;
}

const char *mt_ids_find_bare_object(const char *name)
{
    const char *colon = mt_ids_is_there(name) ? NULL : strchr(name, ':');
    for (; colon != NULL; colon = strchr(colon + 1, ':')) {
        char *file = strndup(name, (size_t)(colon - name));
        bool is_there = mt_ids_is_there(file);
        free(file);
        if (is_there) {
            return colon;
        }
    }
    return NULL;
}

/* A real path with what stands behind it. */
static char *append(char *path, const char *behind)
{
    char *whole = NULL;
    if (path == NULL || asprintf(&whole, "%s%s", path, behind) < 0) {
        whole = NULL;
    }
    free(path);
    return whole;
}

char *mt_token_ids_absolute(const char *name)
{
    const char *colon = mt_ids_find_object(name);
    if (colon != NULL) {
        char *file = strndup(name, (size_t)(colon - name));
        char *path = file != NULL ? realpath(file, NULL) : NULL;
        free(file);
        return append(path, colon);
    }
    char *index = mt_ids_beside(name, ".idx"), *path = index != NULL ? realpath(index, NULL) : NULL;
    free(index);
    if (path != NULL && mt_ids_has_suffix(path, ".idx")) {
        path[strlen(path) - strlen(".idx")] = '\0';
    }
    return path;
}

bool mt_token_ids_are_in(const char *path)
{
    static const char *const suffixes[] = {".npy", ".bin", ".h5", ".hdf5"};
    bool found = false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        found = found || mt_ids_has_suffix(path, suffixes[i]);
    }
    if (mt_ids_has_suffix(path, ".idx")) {
        char *bin = mt_ids_beside(path, ".bin");
        found = !mt_ids_is_there(bin);
        free(bin);
    }
    return found;
}
