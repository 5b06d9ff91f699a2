/* Processes that speak as ranks do and then say something else, stop or end; and systems that give
 * a rank its own port, or no more files. */
#include "tests/check_main.h"
#include "tests/kernels/forked_ranks.h"

#include <mixtape/version.h>

#include "kernels/tcp/arrivals.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <sys/resource.h>

static struct sockaddr_in place_of(const char *host, int port)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &there.sin_addr);
    return there;
}

/* ---- what the system gives ---- */

static int port_given; /* to every socket, if it is not 0 */

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);

int __wrap_socket(int family, int type, int protocol)
{
    const struct sockaddr_in here = place_of("127.0.0.1", port_given);
    const int yes = 1;
    int made = __real_socket(family, type, protocol);
    if (port_given != 0) {
        setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        ck_assert_int_eq(bind(made, (const struct sockaddr *)&here, sizeof here), 0);
    }
    return made;
}

/* ---- a real rank ---- */

static void be(int rank, int size, const char *host, int port, double seconds, mt_status status,
               const char *told)
{
    char address[64];
    mt_communicator *communicator;
    snprintf(address, sizeof address, "%s:%d", host, port);
    mt_status found = mt_communicator_open_at(rank, size, address, seconds, &communicator);
    const char *message = found != MT_OK ? mt_error_message() : "connected";
    ck_assert_msg(found == status && strstr(message, told) != NULL, "rank %d: %s", rank, message);
    mt_communicator_close(communicator);
}

/* ---- what only speaks as one ---- */

static int connect_to(const char *host, int port)
{
    const struct sockaddr_in there = place_of(host, port);
    for (int i = 0; i < 1000; i++) {
        int made = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(made, (const struct sockaddr *)&there, sizeof there) == 0) {
            return made;
        }
        close(made);
        usleep(10000);
    }
    ck_abort_msg("nobody listens");
}

static int say_hello(const char *host, int port, int rank, int size, const char *version)
{
    hello own = {.magic = MT_TCP_MAGIC, .rank = (uint32_t)rank, .size = (uint32_t)size, .port = 9};
    int made = connect_to(host, port);
    snprintf(own.version, sizeof own.version, "%s", version);
    ck_assert_int_eq(send(made, &own, sizeof own, 0), (int)sizeof own);
    return made;
}

static void receive_all(int socket, void *bytes, size_t count)
{
    ck_assert_int_eq(recv(socket, bytes, count, MSG_WAITALL), (int)count);
}

static void wait_for_end(int socket)
{
    char bytes[64];
    while (recv(socket, bytes, sizeof bytes, 0) > 0) {
    }
}

/* ---- what is said ---- */

static void be_of_two_versions(int index, void *context)
{
    const int *port = context;
    welcome said;
    if (index == 0) {
        be(0, 2, "127.0.0.1", *port, 20.0, MT_ERROR_INVALID,
           "rank 1 is of Mixtape 0.0.1, and rank 0 of " MT_VERSION);
        return;
    }
    receive_all(say_hello("127.0.0.1", *port, 1, 2, "0.0.1"), &said, sizeof said);
    ck_assert_int_eq(said.status, MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(said.reason, "0.0.1"));
}

START_TEST(test_versions_do_not_meet)
{
    int port = free_port();
    ck_assert(all_end_well(2, be_of_two_versions, &port));
}
END_TEST

/* What listens in rank 0's place, and what it says. */
typedef struct answer {
    int port;
    const void *bytes;
    size_t count;
} answer;

static void answer_with(int index, void *context)
{
    const answer *own = context;
    if (index == 1) {
        be(1, 2, "127.0.0.1", own->port, 5.0, MT_ERROR_IO, "it is no rank 0 of Mixtape's");
        return;
    }
    const struct sockaddr_in here = place_of("127.0.0.1", own->port);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (const struct sockaddr *)&here, sizeof here), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    int caller = accept(listener, NULL, NULL);
    ck_assert_int_eq(send(caller, own->bytes, own->count, 0), (int)own->count);
    wait_for_end(caller);
}

/* What listens there may say a little, and wait. */
START_TEST(test_what_is_no_rank_0_is_known_by_its_first_bytes)
{
    static const welcome strange[] = {{.magic = MT_TCP_MAGIC, .status = 999},
                                      {.magic = MT_TCP_MAGIC, .status = -1}};
    const answer answers[] = {{free_port(), "SSH-2.0-OpenSSH_9.2\r\n", 21},
                              {free_port(), "+OK\r\n", 5},
                              {free_port(), &strange[0], sizeof strange[0]},
                              {free_port(), &strange[1], sizeof strange[1]}};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        ck_assert(all_end_well(2, answer_with, (void *)(uintptr_t)&answers[i]));
    }
}
END_TEST

/* ---- who stops or ends ---- */

static void end_when_welcome(int index, void *context)
{
    const int *port = context;
    welcome said;
    if (index == 2) {
        receive_all(say_hello("127.0.0.1", *port, 2, 3, mt_version()), &said, sizeof said);
    } else {
        be(index, 3, "127.0.0.1", *port, 20.0, index == 0 ? MT_ERROR_DEVICE : MT_ERROR_IO,
           index == 0 ? "rank 2 has ended" : "has ended while others were waited for");
    }
}

START_TEST(test_a_rank_that_ends_before_it_connects_to_others)
{
    int port = free_port();
    ck_assert(all_end_well(3, end_when_welcome, &port));
}
END_TEST

/* Nobody listens where rank 1 said so. Rank 2, which may wait longer than rank 0, does not try
 * again. */
static void end_and_be_looked_for(int index, void *context)
{
    const int *port = context;
    if (index == 0) {
        be(0, 3, "127.0.0.1", *port, 10.0, MT_ERROR_DEVICE, "has ended");
    } else if (index == 1) {
        wait_for_end(say_hello("127.0.0.1", *port, 1, 3, mt_version()));
    } else {
        be(2, 3, "127.0.0.1", *port, 60.0, MT_ERROR_IO, "no connection to rank 1: Connection ref");
    }
}

START_TEST(test_a_refusal_of_a_rank_that_listened_is_final)
{
    int port = free_port();
    ck_assert(all_end_well(3, end_and_be_looked_for, &port));
}
END_TEST

static void stop_when_welcome(int index, void *context)
{
    const int *port = context;
    if (index == 0) {
        be(0, 2, "127.0.0.1", *port, 0.5, MT_ERROR_IO,
           "rank 0: no answer from rank 1 within 0.5 s");
    } else {
        wait_for_end(say_hello("127.0.0.1", *port, 1, 2, mt_version()));
    }
}

START_TEST(test_a_rank_that_has_come_and_stops_is_named)
{
    int port = free_port();
    ck_assert(all_end_well(2, stop_when_welcome, &port));
}
END_TEST

/* ---- where others are ---- */

static bool find_own_address(char host[INET_ADDRSTRLEN])
{
    struct ifaddrs *all;
    bool found = false;
    ck_assert_int_eq(getifaddrs(&all), 0);
    for (const struct ifaddrs *one = all; one != NULL && !found; one = one->ifa_next) {
        struct sockaddr_in four = {0};
        if (one->ifa_addr != NULL && one->ifa_addr->sa_family == AF_INET) {
            memcpy(&four, one->ifa_addr, sizeof four);
            found = ntohl(four.sin_addr.s_addr) >> 24 != 127;
        }
        inet_ntop(AF_INET, &four.sin_addr, host, INET_ADDRSTRLEN);
    }
    freeifaddrs(all);
    return found;
}

typedef struct outside {
    int port;
    char host[INET_ADDRSTRLEN];
} outside;

static void come_from_outside(int index, void *context)
{
    const outside *at = context;
    welcome said;
    place places[2];
    if (index == 0) {
        be(0, 2, at->host, at->port, 20.0, MT_ERROR_DEVICE, "rank 1 has ended");
        return;
    }
    const struct sockaddr_in own = place_of(at->host, 0);
    int made = say_hello(at->host, at->port, 1, 2, mt_version());
    receive_all(made, &said, sizeof said);
    receive_all(made, places, sizeof places);
    ck_assert_int_eq(places[1].family, AF_INET);
    ck_assert_mem_eq(places[1].host, &own.sin_addr, sizeof own.sin_addr);
}

/* Rank 0 listens by IPv6 for both; others may have IPv4 alone. */
START_TEST(test_addresses_of_ipv4_are_told_as_such)
{
    outside at = {.port = free_port()};
    if (find_own_address(at.host)) {
        ck_assert(all_end_well(2, come_from_outside, &at));
    }
}
END_TEST

/* ---- ports and files ---- */

START_TEST(test_a_rank_is_not_connected_to_itself)
{
    int port = free_port();
    port_given = port;
    be(1, 2, "127.0.0.1", port, 0.04, MT_ERROR_IO, "Connection refused");
    port_given = 0;
}
END_TEST

static void meet_with_few_files(int index, void *context)
{
    const int *port = context;
    const struct rlimit few = {40, 40}; /* fewer than may have connected */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    be(index, 3, "127.0.0.1", *port, 20.0, MT_OK, "connected");
}

static void have_too_few_files(int index, void *context)
{
    enum { STRANGERS = 40 };
    const int *port = context;
    const struct rlimit few = {20, 20};
    int strangers[STRANGERS];
    if (index == 0) {
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        be(0, 2, "127.0.0.1", *port, 20.0, MT_ERROR_IO, "too many open files (ulimit -n 20)");
        return;
    }
    for (int i = 0; i < STRANGERS; i++) {
        strangers[i] = i == 0 ? connect_to("127.0.0.1", *port) : socket(AF_INET, SOCK_STREAM, 0);
        const struct sockaddr_in there = place_of("127.0.0.1", *port);
        if (i > 0 && connect(strangers[i], (const struct sockaddr *)&there, sizeof there) != 0) {
            break; /* rank 0 has ended */
        }
    }
    wait_for_end(strangers[0]);
}

START_TEST(test_few_files)
{
    int port = free_port(), another = free_port();
    ck_assert(all_end_well(3, meet_with_few_files, &port));
    ck_assert(all_end_well(2, have_too_few_files, &another));
}
END_TEST

START_TEST(test_a_long_list_of_ranks_ends_with_dots)
{
    be(0, 200, "127.0.0.1", free_port(), 0.1, MT_ERROR_IO, ", 30, ... to rank 0 within 0.1 s");
}
END_TEST

static Suite *tcp_words_suite(void)
{
    return SUITE("tcp_words", test_versions_do_not_meet,
                 test_what_is_no_rank_0_is_known_by_its_first_bytes,
                 test_a_rank_that_ends_before_it_connects_to_others,
                 test_a_refusal_of_a_rank_that_listened_is_final,
                 test_a_rank_that_has_come_and_stops_is_named,
                 test_addresses_of_ipv4_are_told_as_such, test_a_rank_is_not_connected_to_itself,
                 test_few_files, test_a_long_list_of_ranks_ends_with_dots);
}

MT_TEST_MAIN(tcp_words_suite)
