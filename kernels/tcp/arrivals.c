#include "kernels/tcp/arrivals.h"

#include <mixtape/version.h>

#include "kernels/tcp/sockets.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whose an entry of meeting.polls is: a guest's, or: */
enum { LISTENER = MT_TCP_GUESTS, FIRST_RANK };

static void drop(guest *one)
{
    close(one->socket);
    one->socket = -1;
}

void mt_tcp_drop_guests(meeting *here)
{
    for (int i = 0; i < MT_TCP_GUESTS; i++) {
        if (here->guests[i].socket >= 0) {
            drop(&here->guests[i]);
        }
    }
}

/* The one that has waited longest makes room. */
static mt_status let_in(meeting *here)
{
    char problem[64];
    int socket = accept4(here->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    guest *seat = &here->guests[0];
    if (socket < 0 && (errno == EMFILE || errno == ENFILE)) {
        mt_tcp_describe(errno, problem);
        return mt_fail(MT_ERROR_IO, "rank %d: no connection can be taken: %s", here->rank, problem);
    }
    if (socket < 0) {
        return MT_OK; /* it has gone again */
    }
    for (int i = 0; i < MT_TCP_GUESTS && seat->socket >= 0; i++) {
        guest *other = &here->guests[i];
        seat = other->socket < 0 || other->until < seat->until ? other : seat;
    }
    if (seat->socket >= 0) {
        drop(seat);
    }
    *seat = (guest){.socket = socket, .until = mt_tcp_clock() + MT_TCP_GUEST_SECONDS};
    return MT_OK;
}

/* Takes a guest that has said who it is for that rank. */
static mt_status take(meeting *here, guest *one)
{
    const uint32_t rank = one->said.rank, size = one->said.size;
    if (strncmp(one->said.version, mt_version(), sizeof one->said.version) != 0) {
        return mt_fail(MT_ERROR_INVALID, "rank %u is of Mixtape %.*s, and rank %d of %s", rank,
                       MT_TCP_VERSION, one->said.version, here->rank, mt_version());
    }
    if (size != (uint32_t)here->size) {
        return mt_fail(MT_ERROR_INVALID, "rank %u was told of %u processes, and rank 0 of %d", rank,
                       size, here->size);
    }
    if (rank >= size || (int)rank <= here->rank || here->sockets[rank] >= 0) {
        return mt_fail(MT_ERROR_INVALID, "two of %u processes say that they are rank %u", size,
                       rank);
    }
    here->sockets[rank] = one->socket;
    here->ports[rank] = one->said.port;
    one->socket = -1;
    return MT_OK;
}

static mt_status listen_to(meeting *here, guest *one)
{
    const uint64_t magic = MT_TCP_MAGIC;
    ssize_t count =
        recv(one->socket, (char *)&one->said + one->got, sizeof one->said - one->got, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return MT_OK;
    }
    one->got += count > 0 ? (size_t)count : 0;
    size_t seen = one->got < sizeof magic ? one->got : sizeof magic;
    bool strange = count <= 0 || memcmp(&one->said, &magic, seen) != 0 ||
                   (one->got == sizeof one->said && one->said.token != here->token);
    if (strange) {
        drop(one);
        return MT_OK;
    }
    return one->got == sizeof one->said ? take(here, one) : MT_OK;
}

/* "1", or "1, 3", of those that have not come. */
static void name_missing(const meeting *here, char names[MT_TCP_NAMES])
{
    names[0] = '\0';
    for (int rank = here->rank + 1; rank < here->size; rank++) {
        if (here->sockets[rank] < 0) {
            mt_tcp_add_rank(names, rank);
        }
    }
}

static bool is_missing(const meeting *here)
{
    for (int rank = here->rank + 1; rank < here->size; rank++) {
        if (here->sockets[rank] < 0) {
            return true;
        }
    }
    return false;
}

/* A rank that has come to rank 0 says nothing more before it is answered. Others may have begun
 * with what comes after the meeting. */
static mt_status check_taken(const meeting *here, int rank, short events)
{
    char byte;
    bool is_there = here->rank > 0 ? (events & (POLLRDHUP | POLLHUP | POLLERR)) == 0
                                   : recv(here->sockets[rank], &byte, 1, MSG_PEEK) < 0 &&
                                         (errno == EAGAIN || errno == EINTR);
    return is_there ? MT_OK
                    : mt_fail(MT_ERROR_IO, "rank %d has ended while others were waited for", rank);
}

/* Only what is open: the system refuses to look at more than a process may have open. */
static void look_at(meeting *here, int index, int socket, short events)
{
    if (socket >= 0) {
        here->polled[here->poll_count] = index;
        here->polls[here->poll_count++] = (struct pollfd){.fd = socket, .events = events};
    }
}

static mt_status hear_from(meeting *here, int index, short events)
{
    if (index == LISTENER) {
        return let_in(here);
    }
    if (index >= FIRST_RANK) {
        return check_taken(here, index - FIRST_RANK, events);
    }
    return here->guests[index].socket >= 0 ? listen_to(here, &here->guests[index]) : MT_OK;
}

static mt_status hear(meeting *here)
{
    enum { TICK_MS = 200 };
    mt_status status = MT_OK;
    const double now = mt_tcp_clock();
    here->poll_count = 0;
    for (int rank = 0; rank < here->size; rank++) {
        look_at(here, FIRST_RANK + rank, here->sockets[rank], here->rank > 0 ? POLLRDHUP : POLLIN);
    }
    for (int i = 0; i < MT_TCP_GUESTS; i++) {
        look_at(here, i, here->guests[i].socket, POLLIN);
    }
    look_at(here, LISTENER, here->listener, POLLIN);
    int ready = poll(here->polls, (nfds_t)here->poll_count, TICK_MS);
    if (ready < 0 && errno != EINTR) {
        return mt_fail(MT_ERROR_IO, "rank %d: connections cannot be waited for: %s", here->rank,
                       strerror(errno));
    }
    for (int i = 0; i < here->poll_count && ready > 0 && status == MT_OK; i++) {
        if (here->polls[i].revents != 0) {
            status = hear_from(here, here->polled[i], here->polls[i].revents);
        }
    }
    for (int i = 0; i < MT_TCP_GUESTS && status == MT_OK; i++) {
        if (here->guests[i].socket >= 0 && now > here->guests[i].until) {
            drop(&here->guests[i]);
        }
    }
    return status;
}

mt_status mt_tcp_wait_for_all(meeting *here, double seconds)
{
    mt_status status = MT_OK;
    while (status == MT_OK && is_missing(here)) {
        char names[MT_TCP_NAMES];
        if (mt_tcp_clock() >= here->until) {
            name_missing(here, names);
            status = mt_fail(MT_ERROR_IO, "no connection from rank %s to rank %d within %g s",
                             names, here->rank, seconds);
        } else {
            status = hear(here);
        }
    }
    return status;
}
