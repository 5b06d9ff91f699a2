/* Sums by NCCL, in whose place nccl.cpp stands: the calls in their order, and what fails. */
#include <mixtape/checkpoint.h>
#include <mixtape/operators.h>
#include <mixtape/trainer.h>

#include "tests/check_main.h"
#include "tests/kernels/device_exchange_test.h"
#include "tests/kernels/forked_ranks.h"

#include "control.h"
#include "io/checkpoint_file.h"
#include "kernels/device.h"

#include <fnmatch.h>

enum { COUNT = 100000 };

static mt_device *open_device(mt_communicator *communicator)
{
    mt_device *device;
    ck_assert_int_eq(mt_communicator_open_device(communicator, "cuda", &device), MT_OK);
    return device;
}

/* Numbers whose sum depends on its order. */
static double term(int rank, int64_t i)
{
    return (rank % 2 == 0 ? 1e4 : -1e4) + (double)((i * 7 + rank * 13) % 40) * 1e-3;
}

static float sum_of_terms(int size, int64_t i)
{
    float sum = (float)term(0, i);
    for (int rank = 1; rank < size; rank++) {
        sum += (float)term(rank, i);
    }
    return sum;
}

/* Device memory of this rank's terms. */
static float *terms(mt_communicator *communicator, mt_device *device, int64_t n)
{
    void *memory;
    float *host = malloc((size_t)n * sizeof *host + 1);
    ck_assert_ptr_nonnull(host);
    for (int64_t i = 0; i < n; i++) {
        host[i] = (float)term(mt_communicator_rank(communicator), i);
    }
    ck_assert_int_eq(mt_device_allocate(device, (size_t)n * sizeof *host, &memory), MT_OK);
    ck_assert_int_eq(mt_device_write(device, memory, host, (size_t)n * sizeof *host), MT_OK);
    free(host);
    return memory;
}

static void check_sums(mt_communicator *communicator, mt_device *device, const float *memory,
                       int64_t n)
{
    float *host = malloc((size_t)n * sizeof *host + 1);
    int64_t wrong = 0;
    ck_assert_ptr_nonnull(host);
    ck_assert_int_eq(mt_device_read(device, host, memory, (size_t)n * sizeof *host), MT_OK);
    for (int64_t i = 0; i < n; i++) {
        wrong += host[i] != sum_of_terms(mt_communicator_size(communicator), i);
    }
    ck_assert_int_eq(wrong, 0);
    free(host);
}

static void use(mt_communicator *communicator, mt_device *device, const char *by)
{
    ck_assert_int_eq(mt_communicator_use_device(communicator, device), MT_OK);
    ck_assert_msg(strncmp(mt_communicator_sums(communicator), by, strlen(by)) == 0, "%s",
                  mt_communicator_sums(communicator));
}

/* ---- threads ---- */

static int threads; /* that were made and not yet joined */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*function)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*function)(void *), void *context);
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*function)(void *), void *context)
{
    threads++;
    return __real_pthread_create(thread, attributes, function, context);
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    threads--;
    return __real_pthread_join(thread, result);
}

/* ---- what works ---- */

static void sum_of_all_sizes(mt_communicator *communicator, void *context)
{
    static const int64_t sizes[] = {0, 1, 3, 1000, COUNT};
    mt_device *device = open_device(communicator);
    (void)context;
    use(communicator, device, "NCCL 2.28.3");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        float *memory = terms(communicator, device, sizes[i]);
        ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_F32, sizes[i], memory),
                         MT_OK);
        check_sums(communicator, device, memory, sizes[i]);
        mt_device_release(device, memory);
    }
    double wide = 1.0 + mt_communicator_rank(communicator);
    void *memory;
    int size = mt_communicator_size(communicator);
    ck_assert_int_eq(mt_device_allocate(device, sizeof wide, &memory), MT_OK);
    ck_assert_int_eq(mt_device_write(device, memory, &wide, sizeof wide), MT_OK);
    ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_F64, 1, memory), MT_OK);
    ck_assert_int_eq(mt_device_read(device, &wide, memory, sizeof wide), MT_OK);
    ck_assert(wide == size * (size + 1) / 2.0);
    mt_device_release(device, memory);
    mt_communicator_leave_device(communicator, device);
    mt_device_close(device);
}

START_TEST(test_sums_are_those_of_all_ranks)
{
    for (int size = 2; size <= MOST_RANKS; size++) {
        on_ranks_by(BY_TCP, size, sum_of_all_sizes, NULL);
    }
    on_ranks_by(BY_MEMORY, 3, sum_of_all_sizes, NULL); /* a launcher looks after the ranks */
}
END_TEST

/* Sums come after what makes their values, and before what reads them behind end_sums; the host
 * waits for none of it. */
static void sum_beside(mt_communicator *communicator, void *context)
{
    mt_device *device = open_device(communicator);
    (void)context;
    use(communicator, device, "NCCL");
    float *first = terms(communicator, device, COUNT), *second = terms(communicator, device, COUNT);
    float *copies[2];
    for (int i = 0; i < 2; i++) {
        copies[i] = terms(communicator, device, COUNT);
        ck_assert_int_eq(device->zero(device, i == 0 ? first : second, COUNT * sizeof *first),
                         MT_OK);
    }
    ck_assert_int_eq(device->synchronize(device), MT_OK);
    cuda_on_cpu_waits();
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(device->copy(device, first, copies[0], COUNT * sizeof *first), MT_OK);
        ck_assert_int_eq(mt_communicator_begin_sum(communicator, device, MT_F32, COUNT, first),
                         MT_OK);
        ck_assert_int_eq(device->copy(device, second, copies[1], COUNT * sizeof *first), MT_OK);
        ck_assert_int_eq(mt_communicator_begin_sum(communicator, device, MT_F32, COUNT, second),
                         MT_OK);
        ck_assert_int_eq(mt_communicator_end_sums(communicator, device), MT_OK);
        ck_assert_int_eq(
            device->copy(device, round < 2 ? copies[1] : first, second, COUNT * sizeof *first),
            MT_OK);
        ck_assert_int_eq(device->copy(device, copies[1], copies[0], COUNT * sizeof *first), MT_OK);
    }
    ck_assert_int_eq(cuda_on_cpu_waits(), 0);
    check_sums(communicator, device, first, COUNT);
    check_sums(communicator, device, second, COUNT);
    for (int i = 0; i < 2; i++) {
        mt_device_release(device, copies[i]);
    }
    mt_device_release(device, first);
    mt_device_release(device, second);
    mt_communicator_leave_device(communicator, device);
    mt_device_close(device);
}

START_TEST(test_sums_have_their_place_between_what_is_put_on_the_device)
{
    for (int i = 0; i < 10; i++) { /* each with another order of what may be in any */
        on_ranks_by(BY_TCP, 2, sum_beside, NULL);
    }
}
END_TEST

/* The host waits for none of it. */
static void exchange(mt_communicator *communicator, void *context)
{
    enum { BYTES = 100000 };
    mt_device *device = open_device(communicator);
    void *memory;
    (void)context;
    use(communicator, device, "NCCL");
    check_device_exchange(communicator, device);
    ck_assert_int_eq(mt_device_allocate(device, BYTES, &memory), MT_OK);
    cuda_on_cpu_waits();
    ck_assert_int_eq(mt_communicator_broadcast_device(communicator, device, BYTES, memory), MT_OK);
    ck_assert_int_eq(mt_communicator_spread_device(communicator, device, 256, BYTES, memory),
                     MT_OK);
    ck_assert_int_eq(cuda_on_cpu_waits(), 0);
    mt_device_release(device, memory);
    mt_communicator_leave_device(communicator, device);
    mt_device_close(device);
}

START_TEST(test_what_ranks_give_one_another_goes_from_device_to_device)
{
    for (int size = 2; size <= MOST_RANKS; size++) {
        on_ranks_by(BY_TCP, size, exchange, NULL);
    }
}
END_TEST

static void use_one_and_another(mt_communicator *communicator, void *context)
{
    (void)context;
    for (int i = 0; i < 3; i++) {
        mt_device *device = open_device(communicator);
        use(communicator, device, "NCCL");
        use(communicator, device, "NCCL"); /* the same again does nothing */
        float *memory = terms(communicator, device, 10);
        ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_F32, 10, memory), MT_OK);
        check_sums(communicator, device, memory, 10);
        mt_device_release(device, memory);
        mt_communicator_leave_device(communicator, device);
        mt_device_close(device);
    }
}

/* The thread that looks after the others is joined once. */
static void use_and_leave(mt_communicator *communicator, void *context)
{
    const int before = threads;
    mt_device *device = open_device(communicator), *processor;
    (void)context;
    use(communicator, device, "NCCL");
    mt_communicator_leave_device(communicator, device);
    mt_device_close(device);
    ck_assert_int_eq(mt_device_open("cpu", &processor), MT_OK);
    use(communicator, processor, "the host's memory: ");
    ck_assert_int_eq(threads, before);
    mt_device_close(processor);
}

START_TEST(test_a_thread_is_joined_once)
{
    on_ranks_by(BY_TCP, 2, use_and_leave, NULL);
}
END_TEST

/* The others end while rank 1 still finishes, which is no reason to give up. */
static void finish_late(mt_communicator *communicator, void *context)
{
    (void)context;
    setenv("NCCL_FAILS", "slow 1 1", 1);
    mt_device *device = open_device(communicator);
    use(communicator, device, "NCCL");
    mt_communicator_leave_device(communicator, device);
    mt_device_close(device);
}

START_TEST(test_a_rank_that_finishes_last_closes_in_order)
{
    on_ranks_by(BY_TCP, 3, finish_late, NULL);
}
END_TEST

START_TEST(test_a_communicator_outlives_its_device)
{
    on_ranks_by(BY_TCP, 2, use_one_and_another, NULL);
}
END_TEST

/* One process makes NCCL's calls where it is asked to. */
START_TEST(test_one_rank_is_forced)
{
    mt_communicator *communicator;
    setenv("MIXTAPE_NCCL", "1", 1);
    ck_assert_int_eq(mt_communicator_open(&communicator), MT_OK);
    sum_of_all_sizes(communicator, NULL);
    exchange(communicator, NULL);
    mt_communicator_close(communicator);
    unsetenv("MIXTAPE_NCCL");
    ck_assert_int_eq(mt_communicator_open(&communicator), MT_OK);
    mt_device *device = open_device(communicator);
    use(communicator, device, "");
    ck_assert_str_eq(mt_communicator_sums(communicator), "");
    mt_device_close(device);
    mt_communicator_close(communicator);
}
END_TEST

/* ---- what does without NCCL ---- */

static void sum_through_the_host(mt_communicator *communicator, void *context)
{
    const char *const *settings = context; /* a rank's variable, its value, and what all say */
    if (mt_communicator_rank(communicator) == 1) {
        setenv(settings[0], settings[1], 1);
    }
    mt_device *device = open_device(communicator);
    use(communicator, device, settings[2]);
    float *memory = terms(communicator, device, COUNT);
    ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_F32, COUNT, memory), MT_OK);
    check_sums(communicator, device, memory, COUNT);
    mt_device_release(device, memory);
    mt_device_close(device);
}

START_TEST(test_where_one_rank_has_no_nccl_all_do_without)
{
    static const char *const cases[][3] = {
        {"MIXTAPE_NCCL", "0", "the host's memory: rank 1: MIXTAPE_NCCL is 0"},
        {"NCCL_FAILS", "init 1 1", "the host's memory: rank 1: NCCL: unhandled system error"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int size = 2; size <= 3; size++) {
            on_ranks_by(BY_TCP, size, sum_through_the_host, (void *)(uintptr_t)cases[i]);
        }
    }
}
END_TEST

/* The processor needs none. */
static void use_the_processor(mt_communicator *communicator, void *context)
{
    mt_device *device;
    (void)context;
    ck_assert_int_eq(mt_device_open("cpu", &device), MT_OK);
    use(communicator, device, "the host's memory: the device is cpu");
    mt_device_close(device);
}

START_TEST(test_the_processor_has_no_nccl)
{
    on_ranks_by(BY_TCP, 2, use_the_processor, NULL);
}
END_TEST

/* ---- what fails ---- */

static void fail_in_a_sum(mt_communicator *communicator, void *context)
{
    const char *const *settings = context; /* NCCL_FAILS; what rank 1 says, and others */
    int rank = mt_communicator_rank(communicator), found;
    setenv("NCCL_FAILS", settings[0], 1);
    mt_device *device = open_device(communicator);
    use(communicator, device, "NCCL");
    float *memory = terms(communicator, device, 1000);
    mt_status status = MT_OK;
    for (int i = 0; i < 3 && status == MT_OK; i++) {
        status = mt_communicator_sum(communicator, device, MT_F32, 1000, memory);
        status = status == MT_OK ? mt_communicator_check_sums(communicator, device) : status;
    }
    const char *told = settings[rank == 1 ? 1 : 2];
    ck_assert_int_eq(status, MT_ERROR_DEVICE);
    ck_assert_msg(fnmatch(told, mt_error_message(), 0) == 0, "rank %d: %s", rank,
                  mt_error_message());
    /* Nothing is done together any more, and nobody is waited for. */
    ck_assert_int_eq(mt_communicator_gather(communicator, sizeof rank, &rank, &found),
                     MT_ERROR_DEVICE);
    ck_assert_int_eq(mt_communicator_broadcast(communicator, sizeof rank, &rank), MT_ERROR_DEVICE);
    ck_assert_int_eq(mt_communicator_agree(communicator, MT_OK), MT_ERROR_DEVICE);
    ck_assert(!mt_communicator_has_agreed(communicator));
    ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_F32, 1000, memory),
                     MT_ERROR_DEVICE);
    ck_assert_int_eq(fnmatch(told, mt_error_message(), 0), 0);
    mt_device *another = open_device(communicator);
    ck_assert_int_eq(mt_communicator_use_device(communicator, another), MT_ERROR_DEVICE);
    ck_assert_int_eq(fnmatch(told, mt_error_message(), 0), 0);
    mt_communicator_end_all(communicator, EXIT_SUCCESS);
}

START_TEST(test_a_failure_of_nccl_ends_the_sums_of_all)
{
    static const char *const cases[][3] = {
        {"sum 1 2", "*communicator: NCCL: internal error*", "*communicator: rank*"},
        {"async 1 2", "*communicator: NCCL: remote process exited*", "*communicator: rank*"},
        {"sum 1 1", "*communicator: NCCL: internal error*", "*communicator: rank*"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        on_ranks_by(BY_TCP, 2, fail_in_a_sum, (void *)(uintptr_t)cases[i]);
        on_ranks_by(BY_TCP, 3, fail_in_a_sum, (void *)(uintptr_t)cases[i]);
    }
}
END_TEST

/* Rank 1 cannot give what the others wait for. */
static void fail_to_give(mt_communicator *communicator, void *context)
{
    enum { BYTES = 1000 };
    const char *call = context;
    bool spreads = strstr(call, "gather") != NULL;
    setenv("NCCL_FAILS", call, 1);
    mt_device *device = open_device(communicator);
    void *memory;
    use(communicator, device, "NCCL");
    ck_assert_int_eq(mt_device_allocate(device, BYTES, &memory), MT_OK);
    mt_status status =
        spreads ? mt_communicator_spread_device(communicator, device, BYTES / 4, BYTES, memory)
                : mt_communicator_broadcast_device(communicator, device, BYTES, memory);
    status = status == MT_OK ? mt_communicator_check_sums(communicator, device) : status;
    ck_assert_int_eq(status, MT_ERROR_DEVICE);
    const char *told = mt_communicator_rank(communicator) == 1
                           ? "communicator: NCCL: internal error"
                           : "communicator: rank";
    ck_assert_msg(strstr(mt_error_message(), told) != NULL, "%s", mt_error_message());
    mt_communicator_end_all(communicator, EXIT_SUCCESS);
}

START_TEST(test_a_failure_to_give_is_told_to_all)
{
    static const char *const calls[] = {"gather 1 1", "broadcast 1 1"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        on_ranks_by(BY_TCP, 3, fail_to_give, (void *)(uintptr_t)calls[i]);
    }
}
END_TEST

/* Rank 1 ends in a sum, in which the others wait. */
static void die_in_a_sum(mt_communicator *communicator, void *context)
{
    (void)context;
    if (mt_communicator_rank(communicator) == 1) {
        mt_device *device = open_device(communicator);
        use(communicator, device, "NCCL");
        float *memory = terms(communicator, device, 1000);
        ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_F32, 1000, memory), MT_OK);
        ck_assert_int_eq(device->synchronize(device), MT_OK);
        _exit(EXIT_SUCCESS);
    }
    /* Who finds out late finds those that ended because of it, too: "ranks 0, 1, 3 have ended". */
    static const char *const told[] = {"", "", "*communicator: rank* 1*ended*"};
    fail_in_a_sum(communicator, (void *)(uintptr_t)told);
}

START_TEST(test_a_rank_that_ends_leaves_no_other_waiting)
{
    for (int size = 2; size <= MOST_RANKS; size++) {
        on_ranks_by(BY_TCP, size, die_in_a_sum, NULL);
    }
}
END_TEST

/* ---- what is kept ---- */

enum { SIZE = 4 };

static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    static const float values[2 * SIZE] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
    (void)context, (void)index;
    batch->input = mt_tape_sequence(tape, MT_F32, 2, 1, SIZE, values);
}

static mt_tensor *loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    (void)counts;
    return mt_mean_square(tape, mt_linear(tape, batch->input, context, NULL), batch->input);
}

static void save_each_update(mt_communicator *communicator, void *context)
{
    mt_device *device;
    mt_parameters *parameters;
    mt_trainer *trainer;
    const int64_t shape[] = {SIZE, SIZE};
    mt_trainer_config config = mt_trainer_config_default();
    (void)context;
    setenv("NCCL_FAILS", "async 1 2", 1);
    device = open_device(communicator);
    ck_assert_int_eq(mt_parameters_create(device, MT_F32, &parameters), MT_OK);
    const mt_objective objective = {
        put, loss, mt_parameters_add(parameters, "", "weight", 2, shape, mt_initial_uniform(0.5))};
    ck_assert_int_eq(mt_parameters_allocate(parameters, 1), MT_OK);
    config.communicator = communicator;
    ck_assert_int_eq(mt_trainer_create(parameters, &config, &objective, &trainer), MT_OK);
    for (int i = 0; i < 2; i++) {
        mt_update update;
        ck_assert_int_eq(mt_trainer_begin(trainer), MT_OK);
        mt_status status = mt_trainer_finish(trainer, &update);
        if (mt_communicator_rank(communicator) == 0) {
            ck_assert_int_eq(mt_trainer_save(trainer, "test_nccl.h5"),
                             i == 0 ? MT_OK : MT_ERROR_DEVICE);
            ck_assert(i == 0 || strstr(mt_error_message(), "communicator: ") != NULL);
        } else {
            ck_assert(status == MT_OK || i == 1);
        }
    }
    if (mt_communicator_rank(communicator) == 0) {
        mt_checkpoint *checkpoint;
        ck_assert_int_eq(mt_checkpoint_load_own("test_nccl.h5", parameters, &checkpoint), MT_OK);
        ck_assert_int_eq(checkpoint->state.step, 1);
        mt_checkpoint_destroy(checkpoint);
        ck_assert_int_eq(remove("test_nccl.h5"), 0);
    }
    mt_communicator_end_all(communicator, EXIT_SUCCESS);
}

START_TEST(test_what_sums_that_were_ended_left_is_not_saved)
{
    on_ranks_by(BY_TCP, 2, save_each_update, NULL);
}
END_TEST

static Suite *nccl_suite(void)
{
    return SUITE(
        "nccl", test_sums_are_those_of_all_ranks,
        test_sums_have_their_place_between_what_is_put_on_the_device, test_a_thread_is_joined_once,
        test_a_rank_that_finishes_last_closes_in_order, test_a_communicator_outlives_its_device,
        test_one_rank_is_forced, test_what_ranks_give_one_another_goes_from_device_to_device,
        test_a_failure_to_give_is_told_to_all, test_where_one_rank_has_no_nccl_all_do_without,
        test_the_processor_has_no_nccl, test_a_failure_of_nccl_ends_the_sums_of_all,
        test_a_rank_that_ends_leaves_no_other_waiting,
        test_what_sums_that_were_ended_left_is_not_saved);
}

MT_TEST_MAIN(nccl_suite)
