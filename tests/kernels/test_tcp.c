/* Processes that find one another without MPI: what they are told, who else connects, and who does
 * not come or ends. */
#include "tests/check_main.h"
#include "tests/kernels/forked_ranks.h"

#include "kernels/device.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>

/* One of several processes: what it is told, and what it gets. */
typedef struct process {
    int rank, size;
    double seconds;
    mt_status status;
    const char *told; /* what its message contains; NULL: it is connected */
} process;

typedef struct meeting {
    char address[64];
    const process *processes;
} meeting;

static mt_status open_as(const meeting *here, const process *own, mt_communicator **communicator)
{
    return mt_communicator_open_at(own->rank, own->size, here->address,
                                   own->seconds > 0.0 ? own->seconds : 20.0, communicator);
}

static void come(int index, void *context)
{
    const meeting *here = context;
    const process *own = &here->processes[index];
    mt_communicator *communicator;
    mt_status status = open_as(here, own, &communicator);
    const char *message = status != MT_OK ? mt_error_message() : "connected";
    bool as_told =
        status == own->status && (own->told == NULL || strstr(message, own->told) != NULL);
    ck_assert_msg(as_told, "process %d: %s", index, message);
    ck_assert_int_eq(communicator == NULL, status != MT_OK);
    mt_communicator_close(communicator);
}

/* Processes that meet at a host, "127.0.0.1" if NULL. */
static bool meet(const char *host, int count, const process *processes)
{
    meeting here = {.processes = processes};
    snprintf(here.address, sizeof here.address, "%s:%d", host != NULL ? host : "127.0.0.1",
             free_port());
    return all_end_well(count, come, &here);
}

/* ---- what they are told ---- */

START_TEST(test_processes_meet_at_names_and_at_addresses)
{
    static const process both[] = {{.rank = 0, .size = 2}, {.rank = 1, .size = 2}};
    char name[64] = "";
    gethostname(name, sizeof name - 1);
    const char *const hosts[] = {"127.0.0.1", "localhost", "[127.0.0.1]", "[::1]", name};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
                                        .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        int made = socket(AF_INET6, SOCK_STREAM, 0);
        bool has_six = made >= 0 && bind(made, (struct sockaddr *)&loopback, sizeof loopback) == 0;
        close(made);
        if (strcmp(hosts[i], "[::1]") != 0 || has_six) {
            ck_assert_msg(meet(hosts[i], 2, both), "%s", hosts[i]);
        }
    }
}
END_TEST

START_TEST(test_what_is_no_rank_and_no_address)
{
    static const struct {
        int rank, size;
        const char *address, *told;
    } cases[] = {
        {2, 2, "localhost:1", "rank 2 of 2 processes: it is one of 0 .. 1"},
        {-1, 2, "localhost:1", "rank -1 of 2 processes"},
        {0, 0, "localhost:1", "0 processes: there can be 1 .. 4096"},
        {0, 5000, "localhost:1", "5000 processes"},
        {0, 2, "localhost", "address localhost: not HOST:PORT"},
        {0, 2, ":29500", "not HOST:PORT"},
        {0, 2, "localhost:", "not HOST:PORT"},
        {0, 2, "localhost:0", "not HOST:PORT"},
        {0, 2, "localhost:65536", "not HOST:PORT"},
        {0, 2, "localhost:165536", "not HOST:PORT"},
        {0, 2, "localhost:29500x", "not HOST:PORT"},
        {0, 2, "::1:29500", "not HOST:PORT"},
        {0, 2, "", "not HOST:PORT"},
        {0, 1, "garbage", "address garbage: not HOST:PORT"},
        {1, 2, "no-such-host.invalid:29500", "address no-such-host.invalid:29500: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_communicator *communicator;
        ck_assert_int_eq(mt_communicator_open_at(cases[i].rank, cases[i].size, cases[i].address,
                                                 1.0, &communicator),
                         MT_ERROR_INVALID);
        ck_assert_ptr_null(communicator);
        ck_assert_msg(strstr(mt_error_message(), cases[i].told) != NULL, "%s", mt_error_message());
    }
}
END_TEST

START_TEST(test_what_is_no_time_to_wait)
{
    static const double cases[] = {-1.0, -0.5, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_communicator *communicator;
        char told[64];
        snprintf(told, sizeof told, "ranks cannot wait %g s", cases[i]);
        ck_assert_int_eq(mt_communicator_open_at(0, 2, "localhost:1", cases[i], &communicator),
                         MT_ERROR_INVALID);
        ck_assert_ptr_null(communicator);
        ck_assert_msg(strstr(mt_error_message(), told) != NULL, "%s", mt_error_message());
    }
}
END_TEST

START_TEST(test_ranks_that_do_not_fit_together)
{
    static const process twice[] = {
        {.rank = 0, .size = 3, .status = MT_ERROR_INVALID, .told = "that they are rank 1"},
        {.rank = 1, .size = 3, .status = MT_ERROR_INVALID, .told = "two of 3 processes say"},
        {.rank = 1, .size = 3, .status = MT_ERROR_INVALID, .told = "two of 3 processes say"}};
    static const process sizes[] = {
        {.rank = 0, .size = 2, .status = MT_ERROR_INVALID, .told = "was told of 3 processes"},
        {.rank = 2,
         .size = 3,
         .status = MT_ERROR_INVALID,
         .told = "rank 2 was told of 3 processes, and rank 0 of 2"}};
    ck_assert(meet(NULL, 3, twice));
    ck_assert(meet(NULL, 2, sizes));
}
END_TEST

/* ---- who does not come ---- */

START_TEST(test_who_does_not_come_is_named)
{
    static const process missing[] = {
        {.rank = 0,
         .size = 4,
         .seconds = 0.5,
         .status = MT_ERROR_IO,
         .told = "no connection from rank 2, 3 to rank 0 within 0.5 s"},
        {.rank = 1, .size = 4, .seconds = 0.5, .status = MT_ERROR_IO, .told = "from rank 2, 3"}};
    static const process first[] = {{.rank = 1,
                                     .size = 2,
                                     .seconds = 0.3,
                                     .status = MT_ERROR_IO,
                                     .told = "rank 1: no rank 0 at 127.0.0.1:"}};
    ck_assert(meet(NULL, 2, missing));
    ck_assert(meet(NULL, 1, first));
}
END_TEST

/* A socket of the test that listens at the address, or is connected to it. */
static int reach(const char *address, bool to_listen)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    there.sin_port = htons((uint16_t)strtol(strchr(address, ':') + 1, NULL, 10));
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (to_listen) {
        ck_assert_int_eq(bind(made, (struct sockaddr *)&there, sizeof there), 0);
        ck_assert_int_eq(listen(made, 4), 0);
        return made;
    }
    for (int i = 0; i < 500; i++) {
        if (connect(made, (struct sockaddr *)&there, sizeof there) == 0) {
            return made;
        }
        usleep(10000);
    }
    ck_abort_msg("nobody listens");
}

START_TEST(test_a_port_in_use_and_one_that_is_anothers)
{
    mt_communicator *communicator;
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", free_port());
    int taken = reach(address, true);
    ck_assert_int_eq(mt_communicator_open_at(0, 2, address, 5.0, &communicator), MT_ERROR_IO);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), address));
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "in use"));
    pid_t child = fork();
    if (child == 0) { /* something else's answer */
        char bytes[400] = "HTTP/1.1 400 Bad Request";
        int guest = accept(taken, NULL, NULL);
        exit(write(guest, bytes, sizeof bytes) < 0);
    }
    ck_assert_int_eq(mt_communicator_open_at(1, 2, address, 5.0, &communicator), MT_ERROR_IO);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "it is no rank 0 of Mixtape's"));
    waitpid(child, NULL, 0);
    close(taken);
}
END_TEST

/* ---- who else comes ---- */

/* More of them than are let in at once: they say something else, half a word, or nothing. */
static void come_after_strangers(int index, void *context)
{
    enum { STRANGERS = 100 };
    static const char *const words[] = {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "1EPATXIM",
                                        "1EP", ""};
    const meeting *here = context;
    int strangers[STRANGERS];
    for (int i = 0; index == 1 && i < STRANGERS; i++) {
        const char *said = words[i % 4];
        strangers[i] = reach(here->address, false);
        ck_assert_int_eq(send(strangers[i], said, strlen(said), 0), (int)strlen(said));
        if (i % 7 == 0) {
            shutdown(strangers[i], SHUT_RDWR);
        }
    }
    come(index, context);
    for (int i = 0; index == 1 && i < STRANGERS; i++) {
        close(strangers[i]);
    }
}

START_TEST(test_strangers_are_left_out)
{
    static const process both[] = {{.rank = 0, .size = 2}, {.rank = 1, .size = 2}};
    meeting here = {.processes = both};
    snprintf(here.address, sizeof here.address, "127.0.0.1:%d", free_port());
    ck_assert(all_end_well(2, come_after_strangers, &here));
}
END_TEST

/* ---- who ends ---- */

/* Rank 1 ends while rank 0 waits for rank 2. */
static void end_early(int index, void *context)
{
    const meeting *here = context;
    if (index == 1) {
        alarm(0);
        pid_t child = fork();
        if (child == 0) {
            mt_communicator *communicator;
            open_as(here, &here->processes[1], &communicator);
            _exit(0);
        }
        usleep(300000);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        return;
    }
    come(index, context);
}

START_TEST(test_a_rank_that_ends_before_all_have_come)
{
    static const process processes[] = {{.rank = 0,
                                         .size = 3,
                                         .status = MT_ERROR_IO,
                                         .told = "rank 1 has ended while others were waited for"},
                                        {.rank = 1, .size = 3}};
    meeting here = {.processes = processes};
    snprintf(here.address, sizeof here.address, "127.0.0.1:%d", free_port());
    ck_assert(all_end_well(2, end_early, &here));
}
END_TEST

static void end_in_a_sum(mt_communicator *communicator, void *context)
{
    enum { MANY = 3 << 20 };
    mt_device *device;
    float *values = calloc(MANY, sizeof *values);
    (void)context;
    ck_assert_int_eq(mt_device_open("cpu", &device), MT_OK);
    ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_F32, MANY, values), MT_OK);
    if (mt_communicator_rank(communicator) == 1) {
        _exit(EXIT_SUCCESS);
    }
    ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_F32, MANY, values),
                     MT_ERROR_DEVICE);
    ck_assert_msg(strcmp(mt_error_message(), "communicator: rank 1 has ended") == 0 ||
                      strncmp(mt_error_message(), "communicator: ranks ", 20) == 0,
                  "%s", mt_error_message());
    free(values);
    mt_device_close(device);
    mt_communicator_end_all(communicator, EXIT_SUCCESS);
}

/* Who only waits to receive finds out too. */
static void end_before_a_broadcast(mt_communicator *communicator, void *context)
{
    int value = 0;
    (void)context;
    if (mt_communicator_rank(communicator) == 0) {
        _exit(EXIT_SUCCESS);
    }
    ck_assert_int_eq(mt_communicator_broadcast(communicator, sizeof value, &value),
                     MT_ERROR_DEVICE);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "rank"));
    mt_communicator_end_all(communicator, EXIT_SUCCESS);
}

START_TEST(test_a_rank_that_ends_fails_what_the_others_do)
{
    on_ranks_by(BY_TCP, 3, end_before_a_broadcast, NULL);
    for (int size = 2; size <= MOST_RANKS; size++) {
        on_ranks_by(BY_TCP, size, end_in_a_sum, NULL);
    }
}
END_TEST

/* Rank `ended` ends, and one of the others is to tell it, whenever they find out. */
static void find_out(mt_communicator *communicator, void *context)
{
    const int ended = *(const int *)context, rank = mt_communicator_rank(communicator);
    if (rank == ended) {
        usleep(100000); /* the others are asked before */
        _exit(EXIT_SUCCESS);
    }
    ck_assert(mt_communicator_is_to_tell(communicator)); /* what failed on this rank alone */
    usleep(rank == (ended + 1) % 3 ? 200000 : 0);
    ck_assert_int_eq(mt_communicator_agree(communicator, MT_OK), MT_ERROR_DEVICE);
    char told[64];
    bool tells = mt_communicator_is_to_tell(communicator);
    ck_assert_int_eq(tells, rank == (ended == 0 ? 1 : 0));
    snprintf(told, sizeof told, "communicator: rank %d has ended", ended);
    if (tells) { /* who looks late may find that others have ended because of it */
        ck_assert_str_eq(mt_error_message(), told);
    }
    mt_communicator_end_all(communicator, EXIT_SUCCESS);
}

START_TEST(test_one_rank_tells_that_another_has_ended)
{
    for (int ended = 0; ended < 3; ended++) {
        on_ranks_by(BY_TCP, 3, find_out, &ended);
    }
}
END_TEST

/* Rank 2 waits for rank 1 to tell that rank 0 has ended, and that one ends without a word. */
static void find_out_alone(mt_communicator *communicator, void *context)
{
    const int rank = mt_communicator_rank(communicator);
    (void)context;
    if (rank < 2) {
        usleep(rank == 0 ? 100000 : 600000);
        _exit(EXIT_SUCCESS);
    }
    ck_assert_int_eq(mt_communicator_agree(communicator, MT_OK), MT_ERROR_DEVICE);
    ck_assert(mt_communicator_is_to_tell(communicator));
    mt_communicator_end_all(communicator, EXIT_SUCCESS);
}

/* Rank 0 fails by itself in the midst of what the others send it, and tells it. */
static void find_out_that_it_is_told(mt_communicator *communicator, void *context)
{
    const int rank = mt_communicator_rank(communicator);
    char own = (char)rank, all[3];
    (void)context;
    ck_assert_int_eq(mt_communicator_gather(communicator, sizeof own, &own, all), MT_OK);
    if (rank == 0) {
        ck_assert(mt_communicator_is_to_tell(communicator));
        mt_communicator_end_all(communicator, EXIT_SUCCESS);
    }
    enum { MUCH = 8 << 20 };
    char *much = calloc(1, 4 * MUCH);
    ck_assert_ptr_nonnull(much);
    usleep(rank == 2 ? 300000 : 0);
    ck_assert_int_eq(mt_communicator_gather(communicator, MUCH, much + 3 * MUCH, much),
                     MT_ERROR_DEVICE);
    ck_assert(!mt_communicator_is_to_tell(communicator));
    mt_communicator_end_all(communicator, EXIT_SUCCESS);
}

START_TEST(test_what_was_told_is_known_and_what_was_not_is_told)
{
    on_ranks_by(BY_TCP, 3, find_out_alone, NULL);
    on_ranks_by(BY_TCP, 3, find_out_that_it_is_told, NULL);
}
END_TEST

static Suite *tcp_suite(void)
{
    return SUITE(
        "tcp", test_processes_meet_at_names_and_at_addresses, test_what_is_no_rank_and_no_address,
        test_what_is_no_time_to_wait, test_ranks_that_do_not_fit_together,
        test_who_does_not_come_is_named, test_a_port_in_use_and_one_that_is_anothers,
        test_strangers_are_left_out, test_a_rank_that_ends_before_all_have_come,
        test_a_rank_that_ends_fails_what_the_others_do, test_one_rank_tells_that_another_has_ended,
        test_what_was_told_is_known_and_what_was_not_is_told);
}

MT_TEST_MAIN(tcp_suite)
