#include "kernels/tcp/transport.h"

#include "kernels/tcp/arrivals.h"
#include "kernels/tcp/meeting.h"
#include "kernels/tcp/network.h"
#include "kernels/tcp/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STALL_SECONDS = 1 }; /* in which what is waited for comes, though another rank has ended */

static const char *lost(mt_tcp_network *net, int rank, int error)
{
    if (!mt_tcp_look(net, sizeof net->message, net->message)) {
        snprintf(net->message, sizeof net->message, "rank %d: %s", rank, strerror(error));
    }
    return net->message;
}

static const char *late(mt_tcp_network *net)
{
    char names[MT_TCP_NAMES] = "";
    for (int rank = 0; rank < net->size; rank++) {
        if (net->flows[rank].to_come > 0) {
            mt_tcp_add_rank(names, rank);
        }
    }
    snprintf(net->message, sizeof net->message, "no answer from rank %s", names);
    return net->message;
}

/* ---- bytes ---- */

/* 0, or why nothing more goes to that rank, or comes from it. */
static int send_some(int socket, mt_tcp_flow *one)
{
    ssize_t count = send(socket, one->to, one->to_send, MSG_NOSIGNAL);
    if (count < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : errno;
    }
    one->to += count;
    one->to_send -= (size_t)count;
    return 0;
}

static int receive_some(mt_tcp_network *net, int rank)
{
    mt_tcp_flow *one = &net->flows[rank];
    pthread_mutex_lock(&net->lock);
    ssize_t count = recv(net->sockets[rank], one->from, one->to_come, 0);
    if (count > 0) {
        mt_tcp_keep_last(net->last[rank], one->from, (size_t)count);
    }
    pthread_mutex_unlock(&net->lock);
    if (count <= 0) {
        return count == 0 ? ECONNRESET : errno == EAGAIN || errno == EINTR ? 0 : errno;
    }
    one->from += count;
    one->to_come -= (size_t)count;
    return 0;
}

/* NULL, or why it failed: waits until more can be sent or received. Of the ranks that nothing goes
 * to or comes from now, one that has ended may have done so in order, once it had all; but where
 * others wait for it, nothing more comes from these. */
static const char *wait_for_some(mt_tcp_network *net)
{
    const double now = mt_tcp_clock(), stalled = now + STALL_SECONDS;
    int ready = poll(net->polls, (nfds_t)net->size,
                     mt_tcp_milliseconds_until(stalled < net->until ? stalled : net->until));
    if (ready == 0 && mt_tcp_clock() < net->until) {
        return mt_tcp_look(net, sizeof net->message, net->message) ? net->message : NULL;
    }
    if (ready < 0 && errno != EINTR) {
        snprintf(net->message, sizeof net->message, "others cannot be waited for: %s",
                 strerror(errno));
        return net->message;
    }
    return ready == 0 && mt_tcp_clock() >= net->until ? late(net) : NULL;
}

/* Sends and receives what works now; `is_left` tells if there is more. */
static const char *carry_some(mt_tcp_network *net, bool *is_left)
{
    *is_left = false;
    for (int rank = 0; rank < net->size; rank++) {
        mt_tcp_flow *one = &net->flows[rank];
        int error = one->to_send > 0 ? send_some(net->sockets[rank], one) : 0;
        if (error == 0 && one->to_come > 0) {
            error = receive_some(net, rank);
        }
        if (error != 0) {
            return lost(net, rank, error);
        }
        short events = (short)((one->to_send > 0 ? POLLOUT : 0) | (one->to_come > 0 ? POLLIN : 0));
        net->polls[rank] =
            (struct pollfd){.fd = events != 0 ? net->sockets[rank] : -1, .events = events};
        *is_left = *is_left || events != 0;
    }
    return NULL;
}

/* Sends and receives whatever the flows have, with all ranks at once. */
static const char *carry(mt_tcp_network *net)
{
    bool is_left;
    const char *failure = carry_some(net, &is_left);
    while (failure == NULL && is_left) {
        failure = wait_for_some(net);
        failure = failure == NULL ? carry_some(net, &is_left) : failure;
    }
    return failure;
}

/* ---- what ranks do together ---- */

static void set_flow(mt_tcp_network *net, int rank, size_t to_send, const void *to, size_t to_come,
                     void *from)
{
    bool other = rank != net->rank;
    net->flows[rank] = (mt_tcp_flow){
        .to = to, .from = from, .to_send = other ? to_send : 0, .to_come = other ? to_come : 0};
}

static const char *gather(void *context, size_t bytes, const void *own, void *all)
{
    mt_tcp_network *net = context;
    memmove((char *)all + (size_t)net->rank * bytes, own, bytes);
    for (int rank = 0; rank < net->size; rank++) {
        set_flow(net, rank, bytes, own, bytes, (char *)all + (size_t)rank * bytes);
    }
    return carry(net);
}

static const char *exchange(void *context, size_t bytes, const void *to, void *from)
{
    mt_tcp_network *net = context;
    const size_t own = (size_t)net->rank * bytes;
    memcpy((char *)from + own, (const char *)to + own, bytes);
    for (int rank = 0; rank < net->size; rank++) {
        const size_t at = (size_t)rank * bytes;
        set_flow(net, rank, bytes, (const char *)to + at, bytes, (char *)from + at);
    }
    return carry(net);
}

static const char *broadcast(void *context, int root, size_t bytes, void *memory)
{
    mt_tcp_network *net = context;
    for (int rank = 0; rank < net->size; rank++) {
        set_flow(net, rank, net->rank == root ? bytes : 0, memory, rank == root ? bytes : 0,
                 memory);
    }
    return carry(net);
}

static void release(mt_tcp_network *net)
{
    if (net != NULL) {
        pthread_mutex_destroy(&net->lock);
        free(net->sockets);
        free(net->flows);
        free(net->polls);
        free(net->last);
        free(net);
    }
}

static void close_network(void *context)
{
    mt_tcp_network *net = context;
    if (net == NULL) {
        return;
    }
    for (int rank = 0; rank < net->size && net->sockets != NULL; rank++) {
        if (net->sockets[rank] >= 0) {
            close(net->sockets[rank]);
        }
    }
    release(net);
}

/* ---- the machine ---- */

/* By what processes of one machine know that they are, and the processors that one may use. */
typedef struct machine {
    char name[64];
    uint64_t processors[64];
} machine;

static void describe(machine *own)
{
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    memset(own, 0, sizeof *own);
    if (file < 0 || read(file, own->name, sizeof own->name - 1) <= 0) {
        gethostname(own->name, sizeof own->name - 1);
    }
    if (file >= 0) {
        close(file);
    }
    sched_getaffinity(0, sizeof own->processors, (cpu_set_t *)(void *)own->processors);
}

static const char *look_around(mt_tcp_network *net, mt_transport *transport)
{
    machine *all = calloc((size_t)net->size, sizeof *all), own;
    uint64_t processors[64] = {0};
    describe(&own);
    if (all == NULL) {
        return "no memory to look around";
    }
    const char *failure = gather(net, sizeof own, &own, all);
    for (int rank = 0; rank < net->size && failure == NULL; rank++) {
        if (memcmp(all[rank].name, own.name, sizeof own.name) == 0) {
            transport->processes++;
            transport->place += rank < net->rank;
            for (int i = 0; i < 64; i++) {
                processors[i] |= all[rank].processors[i];
            }
        }
    }
    for (int i = 0; i < 64; i++) {
        transport->processors += __builtin_popcountll(processors[i]);
    }
    free(all);
    return failure;
}

/* One that has come may be stopped. The last one may have come at the last moment. */
static double first_words_until(double begun, double seconds)
{
    const double least = seconds < MT_TCP_GUEST_SECONDS ? seconds : MT_TCP_GUEST_SECONDS,
                 now = mt_tcp_clock();
    return begun + seconds > now + least ? begun + seconds : now + least;
}

mt_status mt_tcp_open(int rank, int size, const char *address, double seconds,
                      mt_transport *transport)
{
    const double begun = mt_tcp_clock();
    mt_tcp_network *net = calloc(1, sizeof *net);
    if (net != NULL) {
        *net = (mt_tcp_network){.rank = rank,
                                .size = size,
                                .until = INFINITY,
                                .sockets = malloc((size_t)size * sizeof *net->sockets),
                                .flows = calloc((size_t)size, sizeof *net->flows),
                                .polls = calloc((size_t)size, sizeof *net->polls),
                                .last = calloc((size_t)size, sizeof *net->last)};
        pthread_mutex_init(&net->lock, NULL);
    }
    bool has_room = net != NULL && net->sockets != NULL && net->flows != NULL &&
                    net->polls != NULL && net->last != NULL;
    mt_status status = has_room
                           ? mt_tcp_meet(rank, size, address, seconds, net->sockets)
                           : mt_fail(MT_ERROR_MEMORY, "no memory to connect %d processes", size);
    if (status != MT_OK) {
        release(net);
        return status;
    }
    *transport = (mt_transport){.rank = rank,
                                .size = size,
                                .any_thread = true,
                                .context = net,
                                .gather = gather,
                                .exchange = exchange,
                                .broadcast = broadcast,
                                .look = mt_tcp_look,
                                .is_to_tell = mt_tcp_is_to_tell,
                                .end_all = mt_tcp_end_all,
                                .close = close_network};
    net->until = first_words_until(begun, seconds);
    const char *failure = look_around(net, transport);
    if (failure != NULL) {
        bool is_late = mt_tcp_clock() >= net->until;
        status = is_late ? mt_fail(MT_ERROR_IO, "rank %d: %s within %g s", rank, failure, seconds)
                         : mt_fail(MT_ERROR_DEVICE, "rank %d: %s", rank, failure);
        close_network(net);
        return status;
    }
    net->until = INFINITY; /* a rank may compute for as long as it wants */
    return MT_OK;
}
