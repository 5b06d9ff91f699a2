/* Loads libmixtape_mpi.so, which can be made anew for another MPI. */
#include <stdlib.h>
#include <string.h>

#include "kernels/communicator.h"
#include "kernels/own_library.h"

#define LIBRARY "libmixtape_mpi.so"

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

/* srun sets these where it is told of an interface of MPI's (--mpi); where it is not, Open MPI ends
 * the process. */
static bool is_bare_srun(const char *told)
{
    static const char *const set[] = {"PMIX_RANK", "PMI_RANK", "PMI_JOBID"};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        if (getenv(set[i]) != NULL) {
            return false;
        }
    }
    return strcmp(told, "SLURM_STEP_NUM_TASKS") == 0;
}

mt_status mt_mpi_load(const char *told, int size, mt_transport *transport)
{
    mt_own_library found_at;
    mt_open_transport *open_transport = (mt_open_transport *)mt_own_library_function(
        LIBRARY, MT_NAME_OF(MT_MPI_TRANSPORT), &found_at);
    if (open_transport == NULL) {
        return found_at.problem[0] != '\0'
                   ? mt_fail(MT_ERROR_DEVICE, "%s tells of %d processes: %s", told, size,
                             found_at.problem)
                   : mt_fail(MT_ERROR_DEVICE,
                             "%s tells of %d processes, but there is no MPI here: no " LIBRARY
                             " in %s (built with MIXTAPE_MPI=ON; without %s it trains alone)",
                             told, size, found_at.folder, told);
    }
    if (is_bare_srun(told)) {
        return mt_fail(
            MT_ERROR_DEVICE,
            "%s tells of %d processes, but srun was not told to connect them (by MPI: "
            "srun --mpi=pmix; else they want an address to meet at; without %s it trains "
            "alone)",
            told, size, told);
    }
    const char *failure = open_transport(transport);
    return failure != NULL ? mt_fail(MT_ERROR_DEVICE, "%s", failure)
                           : check_size(told, size, transport);
}
