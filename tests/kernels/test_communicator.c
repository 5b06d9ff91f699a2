/* Communicators of one process, and of several by TCP and through a transport of the tests. */
#include "tests/check_main.h"
#include "tests/kernels/device_exchange_test.h"
#include "tests/kernels/forked_ranks.h"

#include "kernels/device.h"

#include <math.h>

static mt_device *open_device(void)
{
    mt_device *device;
    const char *name = getenv("MIXTAPE_TEST_DEVICE");
    ck_assert_int_eq(mt_device_open(name != NULL ? name : "cpu", &device), MT_OK);
    return device;
}

/* ---- sums ---- */

enum { SUM_SIZES = 6 };

static const int64_t sum_sizes[SUM_SIZES] = {0, 1, 3, 1000, 262144, 600001};

/* What a rank adds: numbers whose sum depends on its order. */
static double term(int rank, int64_t i)
{
    return (rank % 2 == 0 ? 1.0 : -1.0) * exp((double)((i * 7 + rank * 13) % 40)) +
           (double)rank * 1e-3;
}

static void check_sum(mt_communicator *communicator, mt_device *device, mt_dtype dtype, int64_t n)
{
    size_t bytes = (size_t)n * mt_dtype_size(dtype);
    void *host = malloc(bytes + 1), *memory;
    int64_t wrong = 0;
    int rank = mt_communicator_rank(communicator), size = mt_communicator_size(communicator);
    ck_assert_ptr_nonnull(host);
    for (int64_t i = 0; i < n; i++) {
        if (dtype == MT_F64) {
            ((double *)host)[i] = term(rank, i);
        } else {
            ((float *)host)[i] = (float)term(rank, i);
        }
    }
    ck_assert_int_eq(mt_device_allocate(device, bytes + 8, &memory), MT_OK);
    ck_assert_int_eq(mt_device_write(device, memory, host, bytes), MT_OK);
    ck_assert_int_eq(mt_communicator_sum(communicator, device, dtype, n, memory), MT_OK);
    ck_assert_int_eq(mt_device_read(device, host, memory, bytes), MT_OK);
    for (int64_t i = 0; i < n; i++) {
        double wide = term(0, i);
        float narrow = (float)wide;
        for (int other = 1; other < size; other++) {
            wide += term(other, i);
            narrow += (float)term(other, i);
        }
        wrong += dtype == MT_F64 ? ((double *)host)[i] != wide : ((float *)host)[i] != narrow;
    }
    ck_assert_int_eq(wrong, 0);
    mt_device_release(device, memory);
    free(host);
}

static void sum_all(mt_communicator *communicator, void *context)
{
    (void)context;
    mt_device *device = open_device();
    for (int i = 0; i < SUM_SIZES; i++) {
        check_sum(communicator, device, MT_F32, sum_sizes[i]);
        check_sum(communicator, device, MT_F64, sum_sizes[i]);
    }
    int32_t number = 1;
    ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_I32, 1, &number),
                     MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "not of i32"));
    mt_device_close(device);
}

START_TEST(test_sums_are_made_in_the_order_of_ranks)
{
    for (rank_way way = BY_MEMORY; way < RANK_WAYS; way++) {
        for (int size = 1; size <= MOST_RANKS; size++) {
            on_ranks_by(way, size, sum_all, NULL);
        }
    }
}
END_TEST

/* ---- the rest ---- */

static void exchange_all(mt_communicator *communicator, void *context)
{
    (void)context;
    int rank = mt_communicator_rank(communicator), size = mt_communicator_size(communicator);
    int own[2] = {rank, 10 * rank}, all[2 * MOST_RANKS], first = rank == 0 ? 17 : -1;
    ck_assert_int_eq(mt_communicator_gather(communicator, sizeof own, own, all), MT_OK);
    for (int i = 0; i < size; i++) {
        ck_assert_int_eq(all[2 * i], i);
        ck_assert_int_eq(all[2 * i + 1], 10 * i);
    }
    ck_assert_int_eq(mt_communicator_broadcast(communicator, sizeof first, &first), MT_OK);
    ck_assert_int_eq(first, 17);
}

START_TEST(test_gathers_and_broadcasts)
{
    for (rank_way way = BY_MEMORY; way < RANK_WAYS; way++) {
        for (int size = 1; size <= MOST_RANKS; size++) {
            on_ranks_by(way, size, exchange_all, NULL);
        }
    }
}
END_TEST

static void exchange_device_memory(mt_communicator *communicator, void *context)
{
    (void)context;
    mt_device *device = open_device();
    check_device_exchange(communicator, device);
    mt_device_close(device);
}

START_TEST(test_ranks_exchange_the_memory_of_devices)
{
    for (rank_way way = BY_MEMORY; way < RANK_WAYS; way++) {
        for (int size = 1; size <= MOST_RANKS; size++) {
            on_ranks_by(way, size, exchange_device_memory, NULL);
        }
    }
}
END_TEST

static mt_status fail_on(const mt_communicator *communicator, int first, int last)
{
    int rank = mt_communicator_rank(communicator);
    return rank >= first && rank <= last
               ? mt_fail(rank == first ? MT_ERROR_IO : MT_ERROR_MEMORY, "no disk on %d", rank)
               : MT_OK;
}

static void agree_all(mt_communicator *communicator, void *context)
{
    (void)context;
    ck_assert_int_eq(mt_communicator_agree(communicator, MT_OK), MT_OK);
    ck_assert(!mt_communicator_has_agreed(communicator));
    ck_assert_int_eq(mt_communicator_agree(communicator, fail_on(communicator, 1, 2)), MT_ERROR_IO);
    ck_assert_str_eq(mt_error_message(), "rank 1: no disk on 1");
    ck_assert(mt_communicator_has_agreed(communicator));
    ck_assert_int_eq(mt_communicator_agree(communicator, fail_on(communicator, 0, 2)), MT_ERROR_IO);
    ck_assert_str_eq(mt_error_message(), "no disk on 0"); /* on all of them */
    ck_assert_int_eq(mt_communicator_agree(communicator, MT_OK), MT_OK);
    ck_assert(!mt_communicator_has_agreed(communicator));
}

START_TEST(test_a_failure_is_that_of_the_lowest_rank)
{
    on_ranks(3, agree_all, NULL);
    on_ranks_by(BY_TCP, 3, agree_all, NULL);
}
END_TEST

/* ---- devices ---- */

static void open_own_device(mt_communicator *communicator, void *context)
{
    const char *asked = context;
    mt_device *device;
    char expected[32];
    setenv("CUDA_ON_CPU_DEVICES", "2", 1);
    snprintf(expected, sizeof expected, "cuda:%d",
             mt_cuda_count() > 0 ? mt_communicator_rank(communicator) % mt_cuda_count() : 0);
    ck_assert_int_eq(mt_communicator_open_device(communicator, asked, &device), MT_OK);
    ck_assert_str_eq(mt_device_name(device),
                     strchr(asked, ':') != NULL || strcmp(asked, "cpu") == 0 ? asked : expected);
    mt_device_close(device);
}

START_TEST(test_ranks_of_a_machine_have_devices_of_their_own)
{
    char *asked[] = {"cpu", "cuda", "auto", "cuda:0"};
    int count = getenv("MIXTAPE_TEST_DEVICE") != NULL ? 4 : 1;
    for (int i = 0; i < count; i++) {
        on_ranks_by(BY_TCP, 3, open_own_device, asked[i]);
    }
}
END_TEST

/* ---- one process ---- */

static const char *const variables[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};

static void forget_launcher(void)
{
    unsetenv("WORLD_SIZE");
    for (int i = 0; i < 3; i++) {
        unsetenv(variables[i]);
    }
}

START_TEST(test_a_process_without_launcher_is_alone)
{
    static const char *const sizes[] = {"1", "", "0", "-3", "many"};
    mt_communicator *communicator;
    forget_launcher();
    for (int i = 0; i < 5; i++) {
        setenv(variables[i % 3], sizes[i], 1);
        ck_assert_int_eq(mt_communicator_open(&communicator), MT_OK);
        ck_assert_int_eq(mt_communicator_rank(communicator), 0);
        ck_assert_int_eq(mt_communicator_size(communicator), 1);
        ck_assert_int_eq(mt_communicator_agree(communicator, MT_OK), MT_OK);
        ck_assert_int_eq(
            mt_communicator_agree(communicator, mt_fail(MT_ERROR_IO, "the disk is full")),
            MT_ERROR_IO);
        ck_assert_str_eq(mt_error_message(), "the disk is full");
        ck_assert(mt_communicator_has_agreed(communicator));
        mt_device *device = open_device();
        float value = 2.0f;
        ck_assert_int_eq(mt_communicator_sum(communicator, device, MT_F32, 1, &value), MT_OK);
        ck_assert(value == 2.0f);
        mt_device_close(device);
        exchange_all(communicator, NULL);
        mt_communicator_end_all(communicator, 3); /* which ends nothing */
        mt_communicator_close(communicator);
    }
    mt_communicator_close(NULL);
}
END_TEST

/* The library of MPI is not beside the tests. */
START_TEST(test_several_processes_without_mpi_are_told)
{
    for (int i = 0; i < 3; i++) {
        mt_communicator *communicator;
        char expected[128];
        forget_launcher();
        setenv(variables[i], "4", 1);
        ck_assert_int_eq(mt_communicator_open(&communicator), MT_ERROR_DEVICE);
        ck_assert_ptr_null(communicator);
        snprintf(expected, sizeof expected,
                 "%s tells of 4 processes, but there is no MPI here: no libmixtape_mpi.so in /",
                 variables[i]);
        ck_assert_msg(strstr(mt_error_message(), expected) == mt_error_message(), "%s",
                      mt_error_message());
    }
    forget_launcher();
}
END_TEST

static Suite *communicator_suite(void)
{
    return SUITE(
        "communicator", test_sums_are_made_in_the_order_of_ranks, test_gathers_and_broadcasts,
        test_ranks_exchange_the_memory_of_devices, test_a_failure_is_that_of_the_lowest_rank,
        test_ranks_of_a_machine_have_devices_of_their_own, test_a_process_without_launcher_is_alone,
        test_several_processes_without_mpi_are_told);
}

MT_TEST_MAIN(communicator_suite)
