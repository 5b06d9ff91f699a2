/* What the environment tells a process of those that were started with it. */
#include "tests/check_main.h"

#include <mixtape/communicator.h>

#include "kernels/start.h"

#include <stdio.h>
#include <string.h>

static void set_all(const char *const *settings)
{
    static const char *const names[] = {"WORLD_SIZE",
                                        "RANK",
                                        "MASTER_ADDR",
                                        "MASTER_PORT",
                                        "TORCHELASTIC_USE_AGENT_STORE",
                                        "OMPI_COMM_WORLD_SIZE",
                                        "OMPI_COMM_WORLD_RANK",
                                        "PMI_SIZE",
                                        "PMI_RANK",
                                        "SLURM_STEP_NUM_TASKS",
                                        "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsetenv(names[i]);
    }
    for (; *settings != NULL; settings++) {
        char text[128];
        snprintf(text, sizeof text, "%s", *settings);
        *strchr(text, '=') = '\0';
        setenv(text, strchr(*settings, '=') + 1, 1);
    }
}

START_TEST(test_what_the_environment_tells)
{
    static const struct {
        const char *settings[8];
        int rank, size;
        const char *address; /* NULL: MPI's, or alone */
    } cases[] = {
        {{NULL}, 0, 1, NULL},
        {{"RANK=3"}, 0, 1, NULL},
        {{"WORLD_SIZE=1"}, 0, 1, NULL},
        {{"WORLD_SIZE="}, 0, 1, NULL},
        {{"WORLD_SIZE=2", "RANK=1", "MASTER_ADDR=one", "MASTER_PORT=29500"}, 1, 2, "one:29500"},
        {{"WORLD_SIZE=2", "RANK=1", "MASTER_ADDR=fe80::1", "MASTER_PORT=29500",
          "TORCHELASTIC_USE_AGENT_STORE=False"},
         1,
         2,
         "[fe80::1]:29500"},
        {{"WORLD_SIZE=2", "RANK=0", "MASTER_ADDR=one", "MASTER_PORT=29500",
          "TORCHELASTIC_USE_AGENT_STORE=True"},
         0,
         2,
         "one:29501"},
        {{"WORLD_SIZE=2", "RANK=0", "MASTER_ADDR=one", "MASTER_PORT=65535",
          "TORCHELASTIC_USE_AGENT_STORE=True"},
         0,
         2,
         "one:65534"},
        /* torchrun in a step of srun's; srun where WORLD_SIZE was set for other programs */
        {{"WORLD_SIZE=4", "RANK=3", "MASTER_ADDR=one", "MASTER_PORT=29500",
          "SLURM_STEP_NUM_TASKS=2"},
         3,
         4,
         "one:29500"},
        {{"WORLD_SIZE=4", "MASTER_ADDR=one", "MASTER_PORT=29500", "SLURM_STEP_NUM_TASKS=4"},
         0,
         4,
         NULL},
        {{"PMI_SIZE=3"}, 0, 3, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_start start;
        set_all(cases[i].settings);
        ck_assert_int_eq(mt_start_read(&start), MT_OK);
        ck_assert_int_eq(start.rank, cases[i].rank);
        ck_assert_int_eq(start.size, cases[i].size);
        ck_assert_int_eq(start.by_mpi, cases[i].address == NULL && cases[i].size > 1);
        ck_assert_str_eq(start.address, cases[i].address != NULL ? cases[i].address : "");
    }
}
END_TEST

START_TEST(test_variables_that_cannot_be)
{
    static const struct {
        const char *settings[8], *told;
    } cases[] = {
        {{"WORLD_SIZE=4", "MASTER_ADDR=one", "MASTER_PORT=29500"},
         "WORLD_SIZE tells of 4 processes, but RANK is not set"},
        {{"WORLD_SIZE=4", "RANK=1", "MASTER_PORT=29500"}, "MASTER_ADDR is not set"},
        {{"WORLD_SIZE=4", "RANK=1", "MASTER_ADDR=one"}, "MASTER_PORT is not set"},
        {{"WORLD_SIZE=many"}, "WORLD_SIZE is many: no number"},
        {{"WORLD_SIZE=0"}, "WORLD_SIZE is 0: no number"},
        {{"WORLD_SIZE=2", "RANK=x", "MASTER_ADDR=one", "MASTER_PORT=1"}, "RANK is x: no number"},
        {{"WORLD_SIZE=2", "RANK=2", "MASTER_ADDR=one", "MASTER_PORT=1"}, "rank 2 of 2 processes"},
        {{"WORLD_SIZE=2", "RANK=1", "MASTER_ADDR=one", "MASTER_PORT=99999"},
         "MASTER_PORT is 99999: no number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_communicator *communicator;
        set_all(cases[i].settings);
        ck_assert_int_eq(mt_communicator_open(&communicator), MT_ERROR_INVALID);
        ck_assert_ptr_null(communicator);
        ck_assert_msg(strstr(mt_error_message(), cases[i].told) != NULL, "%s", mt_error_message());
    }
}
END_TEST

START_TEST(test_a_rank_that_a_launcher_tells)
{
    static const struct {
        const char *settings[8];
        int rank, size;
    } cases[] = {
        {{"WORLD_SIZE=4", "RANK=3", "SLURM_STEP_NUM_TASKS=2", "SLURM_PROCID=1"}, 3, 4},
        {{"WORLD_SIZE=4", "SLURM_STEP_NUM_TASKS=2", "SLURM_PROCID=1"}, 1, 2},
        {{"OMPI_COMM_WORLD_SIZE=7", "OMPI_COMM_WORLD_RANK=5"}, 5, 7},
    };
    int rank, size;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_all(cases[i].settings);
        ck_assert_int_eq(mt_start_read_rank(&rank, &size), MT_OK);
        ck_assert_int_eq(rank, cases[i].rank);
        ck_assert_int_eq(size, cases[i].size);
    }
    mt_communicator *communicator;
    const char *const none[] = {NULL}, *const wrong[] = {"PMI_SIZE=2", "PMI_RANK=-1", NULL};
    set_all(none);
    ck_assert_int_eq(mt_communicator_open_at(-1, 0, "localhost:1", 1.0, &communicator),
                     MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "(RANK, WORLD_SIZE)"));
    set_all(wrong);
    ck_assert_int_eq(mt_start_read_rank(&rank, &size), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "PMI_RANK is -1"));
}
END_TEST

static Suite *start_suite(void)
{
    return SUITE("start", test_what_the_environment_tells, test_variables_that_cannot_be,
                 test_a_rank_that_a_launcher_tells);
}

MT_TEST_MAIN(start_suite)
