/* Loads libmixtape_nccl.so, and NCCL with it. */
#include "kernels/nccl_sums.h"

#include "kernels/own_library.h"

#define LIBRARY "libmixtape_nccl.so"

mt_status mt_nccl_load(mt_nccl *nccl)
{
    mt_own_library found_at;
    mt_open_nccl *open_nccl =
        (mt_open_nccl *)mt_own_library_function(LIBRARY, MT_NAME_OF(MT_NCCL_LIBRARY), &found_at);
    if (open_nccl == NULL) {
        return found_at.problem[0] != '\0'
                   ? mt_fail(MT_ERROR_DEVICE, "%s", found_at.problem)
                   : mt_fail(MT_ERROR_DEVICE,
                             "there is no " LIBRARY " in %s (built with MIXTAPE_NCCL=ON)",
                             found_at.folder);
    }
    const char *failure = open_nccl(nccl);
    return failure == NULL ? MT_OK : mt_fail(MT_ERROR_DEVICE, "NCCL: %s", failure);
}
