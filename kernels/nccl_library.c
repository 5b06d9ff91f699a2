/* Loads libmixtape_nccl.so, and NCCL with it. */
#include "kernels/nccl_sums.h"

#include "kernels/own_library.h"

#include <dlfcn.h>
#include <string.h>

#define LIBRARY "libmixtape_nccl.so"

mt_status mt_nccl_load(mt_nccl *nccl)
{
    mt_own_library found_at;
    mt_open_nccl *open_nccl = NULL;
    void *library = mt_own_library_load(LIBRARY, &found_at);
    if (library == NULL) {
        return found_at.problem[0] != '\0'
                   ? mt_fail(MT_ERROR_DEVICE, "%s", found_at.problem)
                   : mt_fail(MT_ERROR_DEVICE,
                             "there is no " LIBRARY " in %s (built with MIXTAPE_NCCL=ON)",
                             found_at.folder);
    }
#define NAME_OF(function)  NAME_OF_(function)
#define NAME_OF_(function) #function
    void *found = dlsym(library, NAME_OF(MT_NCCL_LIBRARY));
    memcpy(&open_nccl, &found, sizeof found);
    if (open_nccl == NULL) {
        return mt_fail(MT_ERROR_DEVICE, LIBRARY " in %s is another version's", found_at.folder);
    }
    const char *failure = open_nccl(nccl);
    return failure == NULL ? MT_OK : mt_fail(MT_ERROR_DEVICE, "NCCL: %s", failure);
}
