#include "kernels/tcp/meeting.h"

#include "kernels/tcp/arrivals.h"
#include "kernels/tcp/sockets.h"

#include <mixtape/version.h>

#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* That others wait longer than rank 0, which knows better who is missing. */
enum { LATER_SECONDS = 5 };

/* ---- rank 0 ---- */

static void describe(const meeting *here, int rank, place *at)
{
    struct sockaddr_storage from = {0};
    socklen_t length = sizeof from;
    *at = (place){.family = AF_UNSPEC, .port = (uint16_t)here->ports[rank]};
    if (rank == 0 || getpeername(here->sockets[rank], (struct sockaddr *)&from, &length) != 0 ||
        mt_tcp_is_loopback((const struct sockaddr *)&from)) {
        return;
    }
    at->family = from.ss_family;
    if (from.ss_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, &from, sizeof four);
        memcpy(at->host, &four.sin_addr, sizeof four.sin_addr);
    } else {
        struct sockaddr_in6 six;
        memcpy(&six, &from, sizeof six);
        if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr)) { /* what machines without IPv6 can use */
            at->family = AF_INET;
            memcpy(at->host, six.sin6_addr.s6_addr + 12, 4);
            return;
        }
        memcpy(at->host, &six.sin6_addr, sizeof six.sin6_addr);
        at->scope = six.sin6_scope_id;
    }
}

/* Tells all who have come where the others are, or why there is nothing to wait for. */
static mt_status answer(meeting *here, mt_status status, place *places)
{
    welcome said = {.magic = MT_TCP_MAGIC, .status = (int32_t)status};
    const double until = mt_tcp_clock() + MT_TCP_GUEST_SECONDS;
    const char *problem = NULL;
    int lost = 0;
    if (status != MT_OK) {
        snprintf(said.reason, sizeof said.reason, "%s", mt_error_message());
    } else if (getrandom(&here->token, sizeof here->token, 0) != (ssize_t)sizeof here->token) {
        here->token = (uint64_t)getpid();
    }
    said.token = here->token |= 1; /* 0 is none */
    for (int rank = 1; rank < here->size; rank++) {
        describe(here, rank, &places[rank]);
    }
    for (int rank = 1; rank < here->size; rank++) {
        const char *failure = here->sockets[rank] < 0
                                  ? NULL
                                  : mt_tcp_send(here->sockets[rank], &said, sizeof said, until);
        if (failure == NULL && status == MT_OK) {
            failure = mt_tcp_send(here->sockets[rank], places, (size_t)here->size * sizeof *places,
                                  until);
        }
        problem = failure != NULL && problem == NULL ? failure : problem;
        lost = problem != NULL && lost == 0 ? rank : lost;
    }
    for (int i = 0; i < MT_TCP_GUESTS && status != MT_OK; i++) {
        const guest *refused = &here->guests[i];
        if (refused->socket >= 0 && refused->got == sizeof refused->said) {
            mt_tcp_send(refused->socket, &said, sizeof said, until);
        }
    }
    return status == MT_OK && problem != NULL ? mt_fail(MT_ERROR_IO, "rank %d: %s", lost, problem)
                                              : status;
}

static mt_status receive_all(meeting *here, const char *address, const struct addrinfo *found,
                             double seconds, place *places)
{
    mt_status status = mt_tcp_listen(address, found, here->size + MT_TCP_GUESTS, &here->listener);
    if (status != MT_OK) {
        return status;
    }
    return answer(here, mt_tcp_wait_for_all(here, seconds), places);
}

/* ---- the others ---- */

static mt_status no_memory(int size)
{
    return mt_fail(MT_ERROR_MEMORY, "no memory to connect %d processes", size);
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    memcpy(&four, address, sizeof four);
    memcpy(&six, address, sizeof six);
    four.sin_port = six.sin6_port = htons(port);
    if (address->ss_family == AF_INET) {
        memcpy(address, &four, sizeof four);
    } else {
        memcpy(address, &six, sizeof six);
    }
}

/* Listens beside this end of the connection to rank 0, by the same rule. */
static mt_status listen_for_others(meeting *here, const char *address, const struct addrinfo *found)
{
    struct addrinfo any = *found;
    struct sockaddr_storage own = {0};
    any.ai_next = NULL;
    any.ai_addrlen = sizeof own;
    getsockname(here->sockets[0], (struct sockaddr *)&own, &any.ai_addrlen);
    set_port(&own, 0);
    any.ai_addr = (struct sockaddr *)&own;
    any.ai_family = own.ss_family;
    return mt_tcp_listen(address, &any, here->size + MT_TCP_GUESTS, &here->listener);
}

static hello present(const meeting *here)
{
    hello own = {.magic = MT_TCP_MAGIC,
                 .token = here->token,
                 .rank = (uint32_t)here->rank,
                 .size = (uint32_t)here->size,
                 .port = here->listener >= 0 ? (uint32_t)mt_tcp_port(here->listener) : 0};
    snprintf(own.version, sizeof own.version, "%s", mt_version());
    return own;
}

/* NULL, or what failed: what is no rank 0 is known by its first bytes, behind which no more need
 * come. */
static const char *receive_welcome(const meeting *here, welcome *said, double until)
{
    static const char strange[] = "it is no rank 0 of Mixtape's";
    const uint64_t magic = MT_TCP_MAGIC;
    for (size_t i = 0; i < sizeof magic; i++) {
        char *byte = (char *)&said->magic + i;
        const char *failure = mt_tcp_receive(here->sockets[0], byte, 1, until);
        if (failure != NULL || *byte != ((const char *)&magic)[i]) {
            return failure != NULL ? failure : strange;
        }
    }
    const char *failure = mt_tcp_receive(here->sockets[0], (char *)said + sizeof magic,
                                         sizeof *said - sizeof magic, until);
    said->reason[MT_TCP_REASON - 1] = '\0';
    bool is_known = said->status >= MT_OK && said->status <= MT_ERROR_NUMERIC;
    return failure == NULL && !is_known ? strange : failure;
}

static mt_status report_to_first(meeting *here, const char *address, const struct addrinfo *found,
                                 double seconds, place *places)
{
    char problem[64] = "";
    welcome said = {.magic = 0};
    here->sockets[0] = mt_tcp_connect(found, false, here->until, problem);
    if (here->sockets[0] < 0) {
        return mt_fail(MT_ERROR_IO, "rank %d: no rank 0 at %.300s within %g s: %s", here->rank,
                       address, seconds, problem);
    }
    mt_status status =
        here->rank < here->size - 1 ? listen_for_others(here, address, found) : MT_OK;
    const hello own = present(here);
    if (status != MT_OK) {
        return status;
    }
    const double until = here->until + LATER_SECONDS;
    const char *failure = mt_tcp_send(here->sockets[0], &own, sizeof own, until);
    if (failure == NULL) {
        failure = receive_welcome(here, &said, until);
    }
    if (failure == NULL && said.status != MT_OK) {
        return mt_fail((mt_status)said.status, "%s", said.reason);
    }
    if (failure == NULL) {
        failure =
            mt_tcp_receive(here->sockets[0], places, (size_t)here->size * sizeof *places, until);
    }
    here->token = said.token;
    return failure == NULL ? MT_OK
                           : mt_fail(MT_ERROR_IO, "rank %d: rank 0 at %.300s: %s", here->rank,
                                     address, failure);
}

/* The address of another rank: for one on the machine of rank 0, that by which this rank found the
 * machine. */
static void locate(const meeting *here, const place *of, struct sockaddr_storage *at)
{
    socklen_t length = sizeof *at;
    *at = (struct sockaddr_storage){.ss_family = of->family};
    if (of->family == AF_UNSPEC) {
        getpeername(here->sockets[0], (struct sockaddr *)at, &length);
    } else if (of->family == AF_INET) {
        struct sockaddr_in four = {.sin_family = AF_INET};
        memcpy(&four.sin_addr, of->host, sizeof four.sin_addr);
        memcpy(at, &four, sizeof four);
    } else {
        struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_scope_id = of->scope};
        memcpy(&six.sin6_addr, of->host, sizeof six.sin6_addr);
        memcpy(at, &six, sizeof six);
    }
    set_port(at, of->port);
}

/* Connects to the ranks below, all of which listen already, and waits for those above. */
static mt_status connect_to_others(meeting *here, const place *places, double seconds)
{
    here->until =
        mt_tcp_clock() + (seconds > MT_TCP_GUEST_SECONDS ? seconds : MT_TCP_GUEST_SECONDS);
    const hello own = present(here);
    for (int rank = 1; rank < here->rank; rank++) {
        struct sockaddr_storage at;
        char problem[64] = "";
        locate(here, &places[rank], &at);
        const struct addrinfo there = {
            .ai_family = at.ss_family, .ai_addrlen = sizeof at, .ai_addr = (struct sockaddr *)&at};
        const char *failure = problem;
        here->sockets[rank] = mt_tcp_connect(&there, true, here->until, problem);
        if (here->sockets[rank] >= 0) {
            failure = mt_tcp_send(here->sockets[rank], &own, sizeof own, here->until);
        }
        if (failure != NULL) {
            return mt_fail(MT_ERROR_IO, "rank %d: no connection to rank %d: %s", here->rank, rank,
                           failure);
        }
    }
    return mt_tcp_wait_for_all(here, seconds);
}

/* ---- both ---- */

static mt_status meet(meeting *here, const char *address, const struct addrinfo *found,
                      double seconds, place *places)
{
    if (here->rank == 0) {
        return receive_all(here, address, found, seconds, places);
    }
    mt_status status = report_to_first(here, address, found, seconds, places);
    return status == MT_OK ? connect_to_others(here, places, seconds) : status;
}

static void close_sockets(meeting *here)
{
    for (int rank = 0; rank < here->size; rank++) {
        if (here->sockets[rank] >= 0) {
            close(here->sockets[rank]);
            here->sockets[rank] = -1;
        }
    }
}

mt_status mt_tcp_meet(int rank, int size, const char *address, double seconds, int *sockets)
{
    struct addrinfo *found = NULL;
    meeting here = {.rank = rank,
                    .size = size,
                    .listener = -1,
                    .sockets = sockets,
                    .ports = calloc((size_t)size, sizeof *here.ports),
                    .until = mt_tcp_clock() + seconds,
                    .polls = calloc(1 + MT_TCP_GUESTS + (size_t)size, sizeof *here.polls),
                    .polled = calloc(1 + MT_TCP_GUESTS + (size_t)size, sizeof *here.polled)};
    place *places = calloc((size_t)size, sizeof *places);
    for (int i = 0; i < MT_TCP_GUESTS; i++) {
        here.guests[i].socket = -1;
    }
    for (int i = 0; i < size; i++) {
        sockets[i] = -1;
    }
    bool has_room =
        here.ports != NULL && here.polls != NULL && here.polled != NULL && places != NULL;
    mt_status status = has_room ? mt_tcp_find(address, &found) : no_memory(size);
    if (status == MT_OK) {
        status = meet(&here, address, found, seconds, places);
        freeaddrinfo(found);
    }
    mt_tcp_drop_guests(&here);
    if (here.listener >= 0) {
        close(here.listener);
    }
    for (int i = 0; i < size && status == MT_OK; i++) {
        if (sockets[i] >= 0) {
            mt_tcp_keep_alive(sockets[i]);
        }
    }
    if (status != MT_OK) {
        close_sockets(&here);
    }
    free(here.ports);
    free(here.polls);
    free(here.polled);
    free(places);
    return status;
}
