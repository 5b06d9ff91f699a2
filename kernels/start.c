#include "kernels/start.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RANKS = 4096, MOST_PORT = 65535 };

/* The variables by which launchers tell a process how many they started, and which of them it is:
 * torchrun; Open MPI's mpirun; those of MPICH, and srun --mpi=pmi2; srun by itself. */
static const struct {
    const char *size, *rank;
} launchers[] = {{"WORLD_SIZE", "RANK"},
                 {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                 {"PMI_SIZE", "PMI_RANK"},
                 {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};

enum { TORCHRUN, FIRST_MPI, LAUNCHERS = sizeof launchers / sizeof *launchers };

/* A number of at least 0, or -1. */
static long number_of(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return -1;
    }
    long number = strtol(text, &end, 10);
    return *end == '\0' && number <= INT32_MAX ? number : -1;
}

static mt_status not_a_number(const char *name)
{
    const char *text = getenv(name);
    return mt_fail(MT_ERROR_INVALID, "%s is %s: no number that it can be", name,
                   text != NULL && text[0] != '\0' ? text : "empty");
}

mt_status mt_start_check(long rank, long size)
{
    if (size < 1 || size > MOST_RANKS) {
        return mt_fail(MT_ERROR_INVALID, "%ld processes: there can be 1 .. %d", size, MOST_RANKS);
    }
    return rank >= 0 && rank < size
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "rank %ld of %ld processes: it is one of 0 .. %ld", rank,
                         size, size - 1);
}

/* ---- MPI ---- */

static void read_mpi(mt_start *start)
{
    for (int i = FIRST_MPI; i < LAUNCHERS; i++) {
        long size = number_of(launchers[i].size);
        if (size > 0) {
            *start = (mt_start){.size = (int)size, .by_mpi = size > 1, .told = launchers[i].size};
            return;
        }
    }
}

/* ---- torchrun ---- */

static const char *missing_variable(void)
{
    static const char *const names[] = {"RANK", "MASTER_ADDR", "MASTER_PORT"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (text == NULL || text[0] == '\0') {
            return names[i];
        }
    }
    return NULL;
}

/* torchrun may listen at the port itself, for PyTorch's processes, which these are not. */
static mt_status read_address(mt_start *start)
{
    const char *host = getenv("MASTER_ADDR"), *taken = getenv("TORCHELASTIC_USE_AGENT_STORE");
    long port = number_of("MASTER_PORT");
    if (host == NULL || port < 1 || port > MOST_PORT) {
        return not_a_number("MASTER_PORT");
    }
    if (taken != NULL && strcmp(taken, "True") == 0) {
        port += port < MOST_PORT ? 1 : -1;
    }
    const char *form = strchr(host, ':') != NULL ? "[%s]:%ld" : "%s:%ld";
    int length = snprintf(start->address, sizeof start->address, form, host, port);
    return length < (int)sizeof start->address
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "MASTER_ADDR is longer than a host's name: %.64s...",
                         host);
}

static mt_status read_torchrun(mt_start *start)
{
    long rank = number_of("RANK"), size = number_of("WORLD_SIZE");
    mt_status status = rank < 0 ? not_a_number("RANK") : mt_start_check(rank, size);
    if (status != MT_OK) {
        return status;
    }
    *start = (mt_start){.rank = (int)rank, .size = (int)size, .told = "WORLD_SIZE"};
    return read_address(start);
}

mt_status mt_start_read(mt_start *start)
{
    const char *several = getenv("WORLD_SIZE"), *missing = missing_variable();
    *start = (mt_start){.size = 1};
    read_mpi(start);
    if (several == NULL || several[0] == '\0' || (missing != NULL && start->by_mpi)) {
        return MT_OK;
    }
    long size = number_of("WORLD_SIZE");
    if (size < 1) {
        return not_a_number("WORLD_SIZE");
    }
    if (missing == NULL) {
        return read_torchrun(start);
    }
    return size == 1
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "WORLD_SIZE tells of %ld processes, but %s is not set (torchrun sets "
                         "both; without WORLD_SIZE it trains alone)",
                         size, missing);
}

mt_status mt_start_read_rank(int *rank, int *size)
{
    for (int i = TORCHRUN; i < LAUNCHERS; i++) {
        if (getenv(launchers[i].size) == NULL || getenv(launchers[i].rank) == NULL) {
            continue;
        }
        long own = number_of(launchers[i].rank), all = number_of(launchers[i].size);
        if (own < 0 || all < 0) {
            return not_a_number(own < 0 ? launchers[i].rank : launchers[i].size);
        }
        *rank = (int)own;
        *size = (int)all;
        return MT_OK;
    }
    return mt_fail(MT_ERROR_INVALID, "which rank this process is, and of how many, neither it was "
                                     "told nor does the environment say (RANK, WORLD_SIZE)");
}
