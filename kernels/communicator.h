/* A communicator from the inside: a table of functions, as a device is one. What is alone, and what
 * goes through the host's memory (a transport), each fill one in. Internal.
 *
 * `begin_sum` is given memory of a device, and comes after the work that was put there before; what
 * is put there behind `end_sums` comes after all sums: what joins devices themselves has a stream
 * for that (mt_device.stream). The others are of host memory. */
#ifndef MT_KERNELS_COMMUNICATOR_H
#define MT_KERNELS_COMMUNICATOR_H

#include <mixtape/communicator.h>

#include "kernels/transport.h"

enum { MT_SUMS_WORDS = 512 };

struct mt_communicator {
    int rank, size;
    int place; /* among the ranks of its machine, from 0 on */
    mt_status (*gather)(mt_communicator *, size_t bytes, const void *own, void *all);
    mt_status (*broadcast)(mt_communicator *, int root, size_t bytes, void *memory);
    mt_status (*begin_sum)(mt_communicator *, mt_device *, mt_dtype dtype, int64_t n, void *values);
    mt_status (*end_sums)(mt_communicator *, mt_device *);
    bool (*look)(const mt_communicator *, size_t size, char *words); /* mt_transport's, or NULL */
    bool (*is_to_tell)(mt_communicator *);
    void (*end_all)(mt_communicator *, int exit_status);
    void (*close)(mt_communicator *);
    bool is_forced; /* one process does what several do: a test of how that is done */

    /* Set by what calls these functions. */
    int *votes;                /* (size), of mt_communicator_agree */
    bool agreed;               /* mt_communicator_has_agreed */
    struct mt_nccl_sums *nccl; /* of the memory of one device, or NULL */
    char sums[MT_SUMS_WORDS];  /* mt_communicator_sums */
};

/* Waits for what a device was given, and tells if its sums are those of all ranks: before anything
 * that is kept is read. NULL is allowed. */
mt_status mt_communicator_check_sums(mt_communicator *communicator, mt_device *device);

/* Of one process. */
mt_status mt_alone_communicator(mt_communicator **communicator);

/* Through a transport, which is copied. */
mt_status mt_host_communicator(const mt_transport *transport, mt_communicator **communicator);

/* Loads MPI's transport, of as many processes as the environment said by the variable `told`. */
mt_status mt_mpi_load(const char *told, int size, mt_transport *transport);

/* Gives all ranks one rank's memory. */
mt_status mt_communicator_broadcast_from(mt_communicator *communicator, int root, size_t bytes,
                                         void *memory);

/* ---- kernels/device_exchange.c: by NCCL where it makes the sums, else through the host's memory.
 * Where a rank's device fails it takes part all the same, and is told alone. ---- */

/* Gives all ranks rank 0's memory of a device. */
mt_status mt_communicator_broadcast_device(mt_communicator *communicator, mt_device *device,
                                           size_t bytes, void *memory);

/* Gives all ranks each one's part of `bytes` bytes: rank r's are the `part` bytes from r part on,
 * the last one's all from there on. */
mt_status mt_communicator_spread_device(mt_communicator *communicator, mt_device *device,
                                        size_t part, size_t bytes, void *memory);

#endif
