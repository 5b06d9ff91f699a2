#include "kernels/own_library.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The folder of the file that this code is in, with a slash; "" where that is not known. */
static void find_own_folder(char folder[PATH_MAX])
{
    static const char here;
    Dl_info info;
    struct link_map *map = NULL;
    folder[0] = '\0';
    if (dladdr1(&here, &info, (void **)&map, RTLD_DL_LINKMAP) == 0 || map == NULL) {
        return;
    }
    if (map->l_name[0] == '\0') { /* the program: its name need not be a path */
        ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
        folder[length > 0 ? length : 0] = '\0';
    } else {
        snprintf(folder, PATH_MAX, "%s", map->l_name);
    }
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        slash[1] = '\0';
    } else {
        folder[0] = '\0';
    }
}

static void *load_from(const char *below, const char *name, mt_own_library *told)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s%s", told->folder, below, name);
    if (told->folder[0] != '/' || length >= PATH_MAX || access(path, F_OK) != 0) {
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        snprintf(told->problem, sizeof told->problem, "%s", dlerror());
    }
    return library;
}

mt_own_function *mt_own_library_function(const char *name, const char *function,
                                         mt_own_library *told)
{
    told->problem[0] = '\0';
    find_own_folder(told->folder);
    void *library = load_from("", name, told);
    if (library == NULL && told->problem[0] == '\0') {
        library = load_from(MT_LIBRARY_FOLDER "/", name, told);
    }
    mt_own_function *found = NULL;
    if (library != NULL) {
        void *address = dlsym(library, function);
        memcpy(&found, &address, sizeof found);
    }
    if (library != NULL && found == NULL) {
        snprintf(told->problem, sizeof told->problem, "%s in %.*s is another version's", name,
                 PATH_MAX - 64, told->folder);
    }
    return found;
}
