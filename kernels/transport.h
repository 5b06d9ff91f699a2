/* What carries bytes between processes: by TCP (kernels/tcp/transport.h), or the little that is
 * asked of MPI. kernels/mpi/transport.c alone is compiled with an MPI's header, into a library of
 * its own, since the binary interfaces of Open MPI and MPICH differ; it includes nothing else of
 * Mixtape's.
 *
 * The functions return NULL, or what failed, in words that the transport owns. All of them are
 * called by every rank, in the same order. */
#ifndef MT_KERNELS_TRANSPORT_H
#define MT_KERNELS_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mt_transport {
    int rank, size;
    int processes, processors; /* on this machine; those that the processes may use together */
    int place;                 /* of this process among those of its machine, from 0 on */
    bool any_thread;           /* its functions may be called by any thread, one at a time */
    void *context;             /* the transport's own */

    /* Puts `bytes` bytes of every rank into `all`, in the order of ranks. */
    const char *(*gather)(void *context, size_t bytes, const void *own, void *all);

    /* Sends the r-th `bytes` bytes of `to` to rank r; `from` gets them in the order of ranks. */
    const char *(*exchange)(void *context, size_t bytes, const void *to, void *from);

    const char *(*broadcast)(void *context, int root, size_t bytes, void *memory);

    /* Tells if ranks are seen to have ended, and which, in words. Of any thread, at any time, and
     * of one rank alone. NULL where the launcher ends all then. */
    bool (*look)(void *context, size_t size, char *words);

    /* mt_communicator_is_to_tell; NULL: true. */
    bool (*is_to_tell)(void *context);

    void (*end_all)(void *context, int exit_status);
    void (*close)(void *context);
} mt_transport;

/* The one function of the library, whose name changes whenever this header does. */
#define MT_MPI_TRANSPORT mt_mpi_transport_4
typedef const char *mt_open_transport(mt_transport *transport);

#endif
