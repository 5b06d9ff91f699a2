/* How a rank knows that others have ended, and ends itself. */
#include "kernels/tcp/network.h"

#include "kernels/tcp/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FAREWELL_SECONDS = 1, /* in which a rank tells the others that its end has been told */
    TELLING_SECONDS = 5,  /* in which a lower rank may tell what this one knows */
    LOOK_MS = 10
};

/* The last bytes of a rank that ends once what failed has been told, by it or by another. Whatever
 * it was sending is cut off by them; those that find the end of its connection know then. */
static const unsigned char farewell[MT_TCP_FAREWELL] = {
    0x9e, 0x4d, 0x15, 0xd7, 0x3b, 0xa0, 0xf2, 0x68, 0xc1, 0x57, 0x8e, 0x06, 0xeb, 0x92, 0x7a, 0x34};

static bool has_ended(int socket)
{
    struct pollfd one = {.fd = socket, .events = POLLRDHUP};
    return poll(&one, 1, 0) > 0 && one.revents != 0;
}

bool mt_tcp_look(void *context, size_t size, char *words)
{
    const mt_tcp_network *net = context;
    char names[MT_TCP_NAMES] = "";
    int count = 0;
    for (int rank = 0; rank < net->size; rank++) {
        if (net->sockets[rank] >= 0 && has_ended(net->sockets[rank])) {
            mt_tcp_add_rank(names, rank);
            count++;
        }
    }
    snprintf(words, size, count > 1 ? "ranks %s have ended" : "rank %s has ended", names);
    return count > 0;
}

void mt_tcp_keep_last(unsigned char last[MT_TCP_FAREWELL], const char *bytes, size_t count)
{
    size_t kept = count < MT_TCP_FAREWELL ? MT_TCP_FAREWELL - count : 0;
    memmove(last, last + MT_TCP_FAREWELL - kept, kept);
    memcpy(last + kept, bytes + count - (MT_TCP_FAREWELL - kept), MT_TCP_FAREWELL - kept);
}

/* The ranks below `end`, but for this one, that have not ended. */
static int count_left(const mt_tcp_network *net, int end)
{
    int count = 0;
    for (int rank = 0; rank < end; rank++) {
        count += net->sockets[rank] >= 0 && !has_ended(net->sockets[rank]);
    }
    return count;
}

/* Tells if a rank has said farewell. What else it sent is of no more use. */
static bool has_said_farewell(mt_tcp_network *net, int rank)
{
    char bytes[4096];
    ssize_t count;
    pthread_mutex_lock(&net->lock);
    while ((count = recv(net->sockets[rank], bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        mt_tcp_keep_last(net->last[rank], bytes, (size_t)count);
    }
    bool found = memcmp(net->last[rank], farewell, MT_TCP_FAREWELL) == 0;
    pthread_mutex_unlock(&net->lock);
    return found;
}

static bool is_told(mt_tcp_network *net)
{
    bool found = false;
    for (int rank = 0; rank < net->size && !found; rank++) {
        found = net->sockets[rank] >= 0 && has_said_farewell(net, rank);
    }
    return found;
}

/* The connections of a rank that waits are still there, so that who looks late finds who was first.
 * The higher a rank the longer it waits, so that one which tells it in place of another has done so
 * before. */
bool mt_tcp_is_to_tell(void *context)
{
    mt_tcp_network *net = context;
    const double until = mt_tcp_clock() + (double)TELLING_SECONDS * count_left(net, net->rank);
    if (count_left(net, net->size) == net->size - 1) {
        return !is_told(net);
    }
    while (count_left(net, net->rank) > 0 && mt_tcp_clock() < until) {
        if (is_told(net)) {
            return false;
        }
        poll(NULL, 0, LOOK_MS);
    }
    return !is_told(net);
}

/* The others find out by the end of their connections, and by the farewell that it is told. */
void mt_tcp_end_all(void *context, int exit_status)
{
    const mt_tcp_network *net = context;
    const double until = mt_tcp_clock() + FAREWELL_SECONDS;
    for (int rank = 0; rank < net->size; rank++) {
        size_t sent = 0;
        while (net->sockets[rank] >= 0 && sent < MT_TCP_FAREWELL &&
               !has_ended(net->sockets[rank])) {
            ssize_t count = send(net->sockets[rank], farewell + sent, MT_TCP_FAREWELL - sent,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
            sent += count > 0 ? (size_t)count : 0;
            if (count < 0 && (errno != EAGAIN || mt_tcp_clock() >= until)) {
                break;
            }
            if (count < 0) {
                poll(NULL, 0, LOOK_MS);
            }
        }
    }
    _exit(exit_status);
}
