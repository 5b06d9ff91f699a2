#include "kernels/tcp/arrivals.h"

#include "kernels/tcp/sockets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
static void let_in(meeting *here)
{
    int socket = accept4(here->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    guest *place = &here->guests[0];
    if (socket < 0) {
        return; /* it has gone again, or there are no files to be had now */
    }
    for (int i = 0; i < MT_TCP_GUESTS && place->socket >= 0; i++) {
        guest *other = &here->guests[i];
        place = other->socket < 0 || other->until < place->until ? other : place;
    }
    if (place->socket >= 0) {
        drop(place);
    }
    *place = (guest){.socket = socket, .until = mt_tcp_clock() + MT_TCP_GUEST_SECONDS};
}

/* Takes a guest that has said who it is for that rank. */
static mt_status take(meeting *here, guest *one)
{
    const uint32_t rank = one->said.rank, size = one->said.size;
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
static void name_missing(const meeting *here, char names[128])
{
    size_t used = 0;
    names[0] = '\0';
    for (int rank = here->rank + 1; rank < here->size && used < 100; rank++) {
        if (here->sockets[rank] < 0) {
            used += (size_t)snprintf(names + used, 128 - used, "%s%d", used > 0 ? ", " : "", rank);
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

/* A rank that has come says nothing more before it is answered. */
static mt_status check_taken(const meeting *here, int rank)
{
    char byte;
    ssize_t count = recv(here->sockets[rank], &byte, 1, MSG_PEEK);
    return count < 0 && (errno == EAGAIN || errno == EINTR)
               ? MT_OK
               : mt_fail(MT_ERROR_IO, "rank %d has ended while others were waited for", rank);
}

static nfds_t prepare_polls(const meeting *here)
{
    nfds_t count = 0;
    here->polls[count++] = (struct pollfd){.fd = here->listener, .events = POLLIN};
    for (int i = 0; i < MT_TCP_GUESTS; i++) {
        here->polls[count++] = (struct pollfd){.fd = here->guests[i].socket, .events = POLLIN};
    }
    for (int rank = 0; rank < here->size; rank++) {
        here->polls[count++] =
            (struct pollfd){.fd = here->rank == 0 ? here->sockets[rank] : -1, .events = POLLIN};
    }
    return count;
}

static mt_status hear(meeting *here)
{
    enum { TICK_MS = 200 };
    mt_status status = MT_OK;
    nfds_t count = prepare_polls(here);
    double now = mt_tcp_clock();
    if (poll(here->polls, count, TICK_MS) < 0) {
        return MT_OK;
    }
    for (int rank = 0; rank < here->size && status == MT_OK; rank++) {
        if (here->polls[1 + MT_TCP_GUESTS + rank].revents != 0) {
            status = check_taken(here, rank);
        }
    }
    for (int i = 0; i < MT_TCP_GUESTS && status == MT_OK; i++) {
        guest *one = &here->guests[i];
        if (one->socket >= 0 && here->polls[1 + i].revents != 0) {
            status = listen_to(here, one);
        } else if (one->socket >= 0 && now > one->until) {
            drop(one);
        }
    }
    if (status == MT_OK && here->polls[0].revents != 0) {
        let_in(here);
    }
    return status;
}

mt_status mt_tcp_wait_for_all(meeting *here, double seconds)
{
    mt_status status = MT_OK;
    while (status == MT_OK && is_missing(here)) {
        char names[128];
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
