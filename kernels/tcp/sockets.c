#include "kernels/tcp/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    RETRY_MS = 50,      /* between tries to connect */
    TRY_MS = 3000,      /* of one try: an address of several may be a machine's that is off */
    GONE_SECONDS = 30,  /* a machine that does not answer for so long is gone */
    PROBE_SECONDS = 10, /* of silence, before it is asked */
    HOST_MAX = 256
};

double mt_tcp_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int mt_tcp_milliseconds_until(double until)
{
    double left = 1e3 * (until - mt_tcp_clock());
    if (isinf(until)) {
        return -1;
    }
    return left <= 0.0 ? 0 : left > 1e6 ? 1000000 : (int)left + 1;
}

/* ---- addresses ---- */

static bool split(const char *address, char host[HOST_MAX], char port[8])
{
    const char *colon = strrchr(address, ':');
    size_t length = colon != NULL ? (size_t)(colon - address) : 0;
    bool in_brackets = length >= 2 && address[0] == '[' && address[length - 1] == ']';
    if (in_brackets) {
        address++;
        length -= 2;
    }
    if (length == 0 || length >= HOST_MAX ||
        (!in_brackets && memchr(address, ':', length) != NULL)) {
        return false;
    }
    size_t digits = strspn(colon + 1, "0123456789");
    long number = 0;
    for (size_t i = 0; i < digits && i < 6; i++) {
        number = 10 * number + (colon[1 + i] - '0');
    }
    snprintf(host, HOST_MAX, "%.*s", (int)length, address);
    snprintf(port, 8, "%ld", number % 100000);
    return digits >= 1 && digits <= 5 && colon[1 + digits] == '\0' && number >= 1 &&
           number <= 65535;
}

static mt_status no_address(const char *address)
{
    return mt_fail(MT_ERROR_INVALID, "address %.300s: not HOST:PORT (port 1 .. 65535)", address);
}

mt_status mt_tcp_check(const char *address)
{
    char host[HOST_MAX], port[8];
    return split(address, host, port) ? MT_OK : no_address(address);
}

mt_status mt_tcp_find(const char *address, struct addrinfo **found)
{
    char host[HOST_MAX], port[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    *found = NULL;
    if (!split(address, host, port)) {
        return no_address(address);
    }
    int error = getaddrinfo(host, port, &hints, found);
    if (error != 0) {
        *found = NULL;
        return mt_fail(error == EAI_MEMORY ? MT_ERROR_MEMORY : MT_ERROR_INVALID,
                       "address %.300s: %s", address, gai_strerror(error));
    }
    return MT_OK;
}

bool mt_tcp_is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof four);
        return ntohl(four.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) && six.sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

/* Whether the name itself says so: that of a machine may stand for 127.0.1.1 on it. */
static bool names_loopback(const char *name, const struct addrinfo *address)
{
    static const char *const beginnings[] = {"localhost:", "127.", "[::1]:"};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0) {
            return mt_tcp_is_loopback(address->ai_addr);
        }
    }
    return false;
}

/* ---- listening ---- */

static int listen_at(const struct sockaddr *address, socklen_t length, int backlog)
{
    const int yes = 1, no = 0;
    int made = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0) {
        return -1;
    }
    setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes); /* a run begins anew at once */
    if (address->sa_family == AF_INET6) {
        setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    }
    if (bind(made, address, length) != 0 || listen(made, backlog) != 0) {
        int error = errno;
        close(made);
        errno = error;
        return -1;
    }
    return made;
}

static in_port_t port_of(const struct sockaddr *address)
{
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    if (address->sa_family == AF_INET) {
        memcpy(&four, address, sizeof four);
        return four.sin_port;
    }
    memcpy(&six, address, sizeof six);
    return six.sin6_port;
}

/* By IPv6, which takes connections of IPv4 too, where the machine has it. */
static int listen_everywhere(in_port_t port, int backlog)
{
    const struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_ANY_INIT};
    const struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = port};
    int made = listen_at((const struct sockaddr *)(const void *)&six, sizeof six, backlog);
    return made >= 0 || errno == EADDRINUSE
               ? made
               : listen_at((const struct sockaddr *)(const void *)&four, sizeof four, backlog);
}

mt_status mt_tcp_listen(const char *name, const struct addrinfo *addresses, int backlog,
                        int *socket)
{
    int made = -1;
    if (names_loopback(name, addresses)) {
        for (; addresses != NULL && made < 0; addresses = addresses->ai_next) {
            made = listen_at(addresses->ai_addr, addresses->ai_addrlen, backlog);
        }
    } else {
        made = listen_everywhere(port_of(addresses->ai_addr), backlog);
    }
    char problem[64];
    mt_tcp_describe(errno, problem);
    *socket = made;
    return made >= 0 ? MT_OK
                     : mt_fail(MT_ERROR_IO, "%.300s: nobody can connect to rank 0 there: %s", name,
                               problem);
}

int mt_tcp_port(int socket)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    getsockname(socket, (struct sockaddr *)&address, &length);
    return ntohs(port_of((const struct sockaddr *)&address));
}

/* ---- connecting ---- */

static bool wait_for(int socket, short events, double until)
{
    for (;;) {
        struct pollfd one = {.fd = socket, .events = events};
        int ready = poll(&one, 1, mt_tcp_milliseconds_until(until));
        if (ready > 0) {
            return true;
        }
        if (mt_tcp_clock() >= until || (ready < 0 && errno != EINTR)) {
            errno = ETIMEDOUT;
            return false;
        }
    }
}

/* A port of the range that the system takes ports of connections from may be taken for this very
 * one: then it is connected to itself, and nobody else can listen there. */
static bool is_own(int socket)
{
    struct sockaddr_storage here = {0}, there = {0};
    socklen_t own = sizeof here, other = sizeof there;
    return getsockname(socket, (struct sockaddr *)&here, &own) == 0 &&
           getpeername(socket, (struct sockaddr *)&there, &other) == 0 && own == other &&
           memcmp(&here, &there, own) == 0;
}

static int connect_once(const struct addrinfo *address, double until)
{
    int error = 0;
    socklen_t length = sizeof error;
    int made = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0) {
        return -1;
    }
    if (connect(made, address->ai_addr, address->ai_addrlen) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            error = wait_for(made, POLLOUT, until) ? 0 : ETIMEDOUT;
        }
        if (error == 0) {
            getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &length);
        }
    }
    error = error == 0 && is_own(made) ? ECONNREFUSED : error;
    if (error != 0) {
        close(made);
        errno = error;
        return -1;
    }
    return made;
}

void mt_tcp_describe(int error, char words[64])
{
    struct rlimit files = {0};
    if (error == EMFILE || error == ENFILE) {
        getrlimit(RLIMIT_NOFILE, &files);
        snprintf(words, 64, "too many open files (ulimit -n %llu)",
                 (unsigned long long)files.rlim_cur);
    } else {
        snprintf(words, 64, "%s", strerror(error));
    }
}

int mt_tcp_connect(const struct addrinfo *addresses, bool listens, double until, char problem[64])
{
    bool is_final = false;
    while (!is_final) {
        for (const struct addrinfo *one = addresses; one != NULL; one = one->ai_next) {
            double limit = mt_tcp_clock() + TRY_MS * 1e-3;
            int made = connect_once(one, limit < until ? limit : until);
            if (made >= 0) {
                return made;
            }
            is_final = errno == EMFILE || errno == ENFILE || (listens && errno == ECONNREFUSED);
            mt_tcp_describe(errno, problem);
        }
        is_final = is_final || mt_tcp_clock() + RETRY_MS * 1e-3 >= until;
        poll(NULL, 0, is_final ? 0 : RETRY_MS);
    }
    return -1;
}

void mt_tcp_add_rank(char names[MT_TCP_NAMES], int rank)
{
    static const char more[] = ", ...";
    const size_t used = strlen(names), most = MT_TCP_NAMES - sizeof ", 2147483647" - sizeof more;
    if (used < most) {
        snprintf(names + used, MT_TCP_NAMES - used, "%s%d", used > 0 ? ", " : "", rank);
    } else if (names[used - 1] != '.') {
        snprintf(names + used, MT_TCP_NAMES - used, "%s", more);
    }
}

/* ---- bytes ---- */

static const char *name_error(void)
{
    return errno == ECONNRESET || errno == EPIPE ? "it has ended"
           : errno == ETIMEDOUT                  ? "it does not answer"
                                                 : "the connection failed";
}

/* Whether what failed may work later. */
static bool is_for_now(void)
{
    return errno == EAGAIN || errno == EINTR;
}

const char *mt_tcp_send(int socket, const void *bytes, size_t count, double until)
{
    const char *at = bytes;
    while (count > 0) {
        ssize_t sent = send(socket, at, count, MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
            count -= (size_t)sent;
        } else if (!is_for_now() || !wait_for(socket, POLLOUT, until)) {
            return name_error();
        }
    }
    return NULL;
}

const char *mt_tcp_receive(int socket, void *bytes, size_t count, double until)
{
    char *at = bytes;
    while (count > 0) {
        ssize_t got = recv(socket, at, count, 0);
        if (got > 0) {
            at += got;
            count -= (size_t)got;
        } else if (got == 0) {
            return "it has ended";
        } else if (!is_for_now() || !wait_for(socket, POLLIN, until)) {
            return name_error();
        }
    }
    return NULL;
}

void mt_tcp_keep_alive(int socket)
{
    /* No TCP_USER_TIMEOUT: it would also end a connection to who is only slow to read. */
    const int yes = 1, idle = PROBE_SECONDS, interval = PROBE_SECONDS / 2,
              count = (GONE_SECONDS - PROBE_SECONDS) / interval;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}
