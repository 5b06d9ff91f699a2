/* Ranks without MPI: children of fork, which tell one another bytes by memory in common, or by
 * TCP. */
#ifndef MT_TESTS_KERNELS_FORKED_RANKS_H
#define MT_TESTS_KERNELS_FORKED_RANKS_H

#include "kernels/communicator.h"

#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

/* ---- processes ---- */

typedef void child_function(int index, void *context);

/* Calls the function in so many children, each of which has to come to its end. Where one does not
 * the others are ended, which may wait for it. */
static inline bool all_end_well(int count, child_function *function, void *context)
{
    pid_t children[MOST_RANKS];
    bool whole = true;
    for (int i = 0; i < count; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0) {
            function(i, context);
            exit(EXIT_SUCCESS);
        }
    }
    for (int ended = 0; ended < count; ended++) {
        int status;
        pid_t child = wait(&status);
        if (whole && (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)) {
            whole = false;
            for (int i = 0; i < count; i++) {
                if (children[i] != child) {
                    kill(children[i], SIGKILL);
                }
            }
        }
    }
    return whole;
}

/* ---- ranks ---- */

/* How ranks are connected: through memory in common, or by TCP on this machine. */
typedef enum rank_way { BY_MEMORY, BY_TCP, RANK_WAYS } rank_way;

typedef void rank_function(mt_communicator *communicator, void *context);

typedef struct rank_call {
    forked_ranks *ranks;
    rank_way way;
    int port;
    rank_function *function;
    void *context;
} rank_call;

/* A port of 127.0.0.1 that nobody listens at. */
static inline int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t length = sizeof address;
    int made = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(made, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(getsockname(made, (struct sockaddr *)&address, &length), 0);
    close(made);
    return ntohs(address.sin_port);
}

static inline void be_rank(int rank, void *context)
{
    const rank_call *call = context;
    mt_communicator *communicator;
    forked_rank here = {call->ranks, rank};
    char address[32];
    const mt_transport transport = {.rank = rank,
                                    .size = call->ranks->size,
                                    .any_thread = true,
                                    .context = &here,
                                    .gather = forked_gather,
                                    .exchange = forked_exchange,
                                    .broadcast = forked_broadcast,
                                    .end_all = forked_end_all,
                                    .close = forked_close};
    snprintf(address, sizeof address, "127.0.0.1:%d", call->port);
    mt_status status =
        call->way == BY_MEMORY
            ? mt_host_communicator(&transport, &communicator)
            : mt_communicator_open_at(rank, call->ranks->size, address, 30.0, &communicator);
    ck_assert_msg(status == MT_OK, "%s", mt_error_message());
    call->function(communicator, call->context);
    mt_communicator_close(communicator);
}

/* Calls the function on so many ranks, each of which has to come to its end. */
static inline void on_ranks_by(rank_way way, int size, rank_function *function, void *context)
{
    forked_ranks *ranks = shared_memory(sizeof *ranks);
    rank_call call = {ranks, way, way == BY_TCP ? free_port() : 0, function, context};
    pthread_barrierattr_t attributes;
    ranks->size = size;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&ranks->barrier, &attributes, (unsigned)size);
    bool whole = all_end_well(size, be_rank, &call);
    if (whole) { /* else it would wait for those that wait there */
        pthread_barrier_destroy(&ranks->barrier);
    }
    munmap(ranks, sizeof *ranks);
    ck_assert_msg(whole, "a rank of %d failed", size);
}

static inline void on_ranks(int size, rank_function *function, void *context)
{
    on_ranks_by(BY_MEMORY, size, function, context);
}

#endif
