/* Finds libmixtape_mpi.so: one binary serves machines with and without MPI, and the library can be
 * made anew for another MPI. It is looked for beside the file that this code is in, a program or
 * libmixtape.so, and in the folder of libraries that is installed beside programs: nowhere that
 * others could put one. */
#include "kernels/communicator.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libmixtape_mpi.so"

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

/* NULL: there is none. `problem` is what the loader says of one that is there. */
static void *load_from(const char *folder, const char *below, char problem[PATH_MAX])
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s%s", folder, below, LIBRARY);
    if (folder[0] != '/' || length >= PATH_MAX || access(path, F_OK) != 0) {
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        snprintf(problem, PATH_MAX, "%s", dlerror());
    }
    return library;
}

static mt_status check_size(const char *told, int size, mt_transport *transport)
{
    if (transport->size == size) {
        return MT_OK;
    }
    mt_status status =
        mt_fail(MT_ERROR_DEVICE,
                "%s tells of %d processes, but MPI connects %d (start them by the mpirun of the "
                "MPI that " LIBRARY " was built with, or by srun --mpi=pmix)",
                told, size, transport->size);
    transport->close(transport->context);
    return status;
}

mt_status mt_mpi_load(const char *told, int size, mt_transport *transport)
{
    char folder[PATH_MAX], problem[PATH_MAX] = "";
    mt_open_transport *open_transport = NULL;
    find_own_folder(folder);
    void *library = load_from(folder, "", problem);
    if (library == NULL && problem[0] == '\0') {
        library = load_from(folder, MT_LIBRARY_FOLDER "/", problem);
    }
    if (library == NULL) {
        return problem[0] != '\0'
                   ? mt_fail(MT_ERROR_DEVICE, "%s tells of %d processes: %s", told, size, problem)
                   : mt_fail(MT_ERROR_DEVICE,
                             "%s tells of %d processes, but there is no MPI here: no " LIBRARY
                             " in %s (built with MIXTAPE_MPI=ON; without %s it trains alone)",
                             told, size, folder, told);
    }
#define NAME_OF(function)  NAME_OF_(function)
#define NAME_OF_(function) #function
    void *found = dlsym(library, NAME_OF(MT_MPI_TRANSPORT));
    memcpy(&open_transport, &found, sizeof found);
    if (open_transport == NULL) {
        return mt_fail(MT_ERROR_DEVICE, LIBRARY " in %s is another version's", folder);
    }
    const char *failure = open_transport(transport);
    return failure != NULL ? mt_fail(MT_ERROR_DEVICE, "%s", failure)
                           : check_size(told, size, transport);
}
