/* MPI as a transport (kernels/transport.h): libmixtape_mpi.so. For another MPI than that of the
 * build: mpicc -std=c11 -O2 -shared -fPIC -I FOLDER -o libmixtape_mpi.so transport.c, where FOLDER
 * has kernels/transport.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "kernels/transport.h"

#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

enum { MASK_WORDS = 1024 }; /* of processors, 64 in each */

static MPI_Comm everyone = MPI_COMM_NULL;
static bool started_here;
static char message[MPI_MAX_ERROR_STRING + 64];

static const char *result(const char *call, int error)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (error == MPI_SUCCESS) {
        return NULL;
    }
    MPI_Error_string(error, text, &length);
    snprintf(message, sizeof message, "%s: %s", call, text);
    return message;
}

/* MPI counts in int. */
static bool is_countable(size_t bytes)
{
    if (bytes > INT_MAX) {
        snprintf(message, sizeof message, "%zu bytes at once are more than MPI counts", bytes);
    }
    return bytes <= INT_MAX;
}

static const char *gather(void *context, size_t bytes, const void *own, void *all)
{
    (void)context;
    return is_countable(bytes)
               ? result("MPI_Allgather", MPI_Allgather(own, (int)bytes, MPI_BYTE, all, (int)bytes,
                                                       MPI_BYTE, everyone))
               : message;
}

static const char *exchange(void *context, size_t bytes, const void *to, void *from)
{
    (void)context;
    return is_countable(bytes)
               ? result("MPI_Alltoall", MPI_Alltoall(to, (int)bytes, MPI_BYTE, from, (int)bytes,
                                                     MPI_BYTE, everyone))
               : message;
}

static const char *broadcast(void *context, int root, size_t bytes, void *memory)
{
    (void)context;
    return is_countable(bytes)
               ? result("MPI_Bcast", MPI_Bcast(memory, (int)bytes, MPI_BYTE, root, everyone))
               : message;
}

static void end_all(void *context, int exit_status)
{
    (void)context;
    MPI_Abort(everyone, exit_status);
}

static void close_transport(void *context)
{
    (void)context;
    MPI_Comm_free(&everyone);
    if (started_here) {
        MPI_Finalize();
    }
    started_here = false;
}

/* Counts the processes of this machine, and the processors that any of them may use: mpirun may
 * bind each to a few, or none. */
static int look_around(mt_transport *transport)
{
    unsigned long long mask[MASK_WORDS] = {0};
    MPI_Comm local;
    int error = MPI_Comm_split_type(everyone, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local);
    if (error != MPI_SUCCESS) {
        return error;
    }
    MPI_Comm_size(local, &transport->processes);
    MPI_Comm_rank(local, &transport->place);
    sched_getaffinity(0, sizeof mask, (cpu_set_t *)(void *)mask);
    error = MPI_Allreduce(MPI_IN_PLACE, mask, MASK_WORDS, MPI_UNSIGNED_LONG_LONG, MPI_BOR, local);
    for (int i = 0; i < MASK_WORDS; i++) {
        transport->processors += __builtin_popcountll(mask[i]);
    }
    MPI_Comm_free(&local);
    return error;
}

__attribute__((visibility("default"))) mt_open_transport MT_MPI_TRANSPORT;

const char *MT_MPI_TRANSPORT(mt_transport *transport)
{
    int started = 0, provided = MPI_THREAD_SINGLE, error;
    *transport = (mt_transport){.gather = gather,
                                .exchange = exchange,
                                .broadcast = broadcast,
                                .end_all = end_all,
                                .close = close_transport};
    if (everyone != MPI_COMM_NULL) {
        return "a communicator is open already";
    }
    MPI_Initialized(&started);
    if (!started) {
        error = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
        if (error != MPI_SUCCESS) {
            return result("MPI_Init_thread", error);
        }
        started_here = true;
    }
    MPI_Query_thread(&provided);
    transport->any_thread = provided >= MPI_THREAD_SERIALIZED;
    error = MPI_Comm_dup(MPI_COMM_WORLD, &everyone); /* apart from messages of the program's own */
    if (error != MPI_SUCCESS) {
        return result("MPI_Comm_dup", error);
    }
    MPI_Comm_set_errhandler(everyone, MPI_ERRORS_RETURN);
    MPI_Comm_rank(everyone, &transport->rank);
    MPI_Comm_size(everyone, &transport->size);
    return result("MPI_Comm_split_type", look_around(transport));
}
