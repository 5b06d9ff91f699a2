/* Ranks without MPI: children of fork, which tell one another bytes by memory in common. */
#ifndef MT_TESTS_KERNELS_FORKED_RANKS_H
#define MT_TESTS_KERNELS_FORKED_RANKS_H

#include "kernels/communicator.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_RANKS = 4, PLACE_BYTES = 2 << 20 };

typedef struct forked_ranks {
    int size;
    pthread_barrier_t barrier;
    char places[MOST_RANKS][PLACE_BYTES];
} forked_ranks;

typedef struct forked_rank {
    forked_ranks *ranks;
    int rank;
} forked_rank;

/* Memory that children write to and their parent reads. */
static inline void *shared_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static const char *forked_gather(void *context, size_t bytes, const void *own, void *all)
{
    const forked_rank *here = context;
    ck_assert_uint_le(bytes, PLACE_BYTES);
    memcpy(here->ranks->places[here->rank], own, bytes);
    pthread_barrier_wait(&here->ranks->barrier);
    for (int rank = 0; rank < here->ranks->size; rank++) {
        memcpy((char *)all + (size_t)rank * bytes, here->ranks->places[rank], bytes);
    }
    pthread_barrier_wait(&here->ranks->barrier);
    return NULL;
}

static const char *forked_exchange(void *context, size_t bytes, const void *to, void *from)
{
    const forked_rank *here = context;
    ck_assert_uint_le(bytes * (size_t)here->ranks->size, PLACE_BYTES);
    memcpy(here->ranks->places[here->rank], to, bytes * (size_t)here->ranks->size);
    pthread_barrier_wait(&here->ranks->barrier);
    for (int rank = 0; rank < here->ranks->size; rank++) {
        memcpy((char *)from + (size_t)rank * bytes,
               here->ranks->places[rank] + (size_t)here->rank * bytes, bytes);
    }
    pthread_barrier_wait(&here->ranks->barrier);
    return NULL;
}

static const char *forked_broadcast(void *context, int root, size_t bytes, void *memory)
{
    const forked_rank *here = context;
    ck_assert_uint_le(bytes, PLACE_BYTES);
    if (here->rank == root) {
        memcpy(here->ranks->places[root], memory, bytes);
    }
    pthread_barrier_wait(&here->ranks->barrier);
    memcpy(memory, here->ranks->places[root], bytes);
    pthread_barrier_wait(&here->ranks->barrier);
    return NULL;
}

static void forked_end_all(void *context, int exit_status)
{
    (void)context;
    _exit(exit_status);
}

static void forked_close(void *context)
{
    (void)context;
}

typedef void rank_function(mt_communicator *communicator, void *context);

static inline void be_rank(forked_ranks *ranks, int rank, rank_function *function, void *context)
{
    mt_communicator *communicator;
    forked_rank here = {ranks, rank};
    const mt_transport transport = {.rank = rank,
                                    .size = ranks->size,
                                    .any_thread = true,
                                    .context = &here,
                                    .gather = forked_gather,
                                    .exchange = forked_exchange,
                                    .broadcast = forked_broadcast,
                                    .end_all = forked_end_all,
                                    .close = forked_close};
    ck_assert_int_eq(mt_host_communicator(&transport, &communicator), MT_OK);
    function(communicator, context);
    mt_communicator_close(communicator);
}

/* Calls the function on so many ranks, each of which has to come to its end. One that does not
 * leaves the others waiting, which are ended then. */
static inline void on_ranks(int size, rank_function *function, void *context)
{
    forked_ranks *ranks = shared_memory(sizeof *ranks);
    pthread_barrierattr_t attributes;
    pid_t children[MOST_RANKS];
    bool whole = true;
    ranks->size = size;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&ranks->barrier, &attributes, (unsigned)size);
    for (int rank = 0; rank < size; rank++) {
        children[rank] = fork();
        ck_assert_int_ge(children[rank], 0);
        if (children[rank] == 0) {
            be_rank(ranks, rank, function, context);
            exit(EXIT_SUCCESS);
        }
    }
    for (int ended = 0; ended < size; ended++) {
        int status;
        pid_t child = wait(&status);
        if (whole && (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)) {
            whole = false;
            for (int rank = 0; rank < size; rank++) {
                if (children[rank] != child) {
                    kill(children[rank], SIGKILL);
                }
            }
        }
    }
    if (whole) { /* else it would wait for those that wait there */
        pthread_barrier_destroy(&ranks->barrier);
    }
    munmap(ranks, sizeof *ranks);
    ck_assert_msg(whole, "a rank of %d failed", size);
}

#endif
