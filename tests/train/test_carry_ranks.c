/* Ranks that carry, each its own rows, against one process that carries all. */
#include "tests/check_main.h"
#include "tests/kernels/forked_ranks.h"
#include "tests/train/carry_test.h"

enum { LAST = 5 };

/* A run, and, in memory in common, what it came to on each rank. */
typedef struct ranks_run {
    carry_run run;
    int64_t accumulate, windows, last;
    const char *resume; /* a checkpoint to go on from, or NULL */
    bool split;         /* each has a part of Adam's moments, and all save */
    struct {
        mt_status status;
        char message[512];
        char skipped[512];
        int count;
        mt_update updates[MOST_UPDATES];
        mt_evaluation found;
    } results[MOST_RANKS];
} ranks_run;

static mt_status train(ranks_run *shared, carry_run *run, mt_communicator *communicator,
                       mt_evaluation *found)
{
    mt_trainer_config config = carry_config(shared->accumulate, shared->windows);
    mt_objective objective = {.put = carry_put, .loss = carry_loss, .context = run};
    config.communicator = communicator;
    config.on_bad_step = MT_BAD_STEP_SKIP;
    config.split_optimizer = shared->split;
    run->saves = mt_communicator_rank(communicator) == 0 || shared->split;
    mt_status status = carry_open(run, &config, true);
    if (status == MT_OK && shared->resume != NULL) {
        status = mt_trainer_load(run->trainer, shared->resume);
    }
    if (status == MT_OK) {
        status = mt_trainer_run(run->trainer, shared->last, carry_note, run);
    }
    if (status == MT_OK) {
        status = mt_carried_of_model(run->model, B, &objective.carried);
    }
    if (status == MT_OK) {
        status = mt_trainer_evaluate(run->trainer, &objective, 3, found);
    }
    mt_carried_free(&objective.carried);
    return status;
}

static void be(mt_communicator *communicator, void *context)
{
    ranks_run *shared = context;
    carry_run run = shared->run;
    mt_device *device;
    int rank = mt_communicator_rank(communicator);
    const char *name = getenv("MIXTAPE_TEST_DEVICE");
    ck_assert_int_eq(mt_device_open(name != NULL ? name : "cpu", &device), MT_OK);
    run.model = carry_model(device, MT_F64, 0.2);
    mt_status status = train(shared, &run, communicator, &shared->results[rank].found);
    shared->results[rank].status = status;
    snprintf(shared->results[rank].message, sizeof shared->results[0].message, "%s",
             status != MT_OK ? mt_error_message() : "");
    memcpy(shared->results[rank].skipped, run.skipped, sizeof run.skipped);
    memcpy(shared->results[rank].updates, run.updates, sizeof run.updates);
    shared->results[rank].count = run.count;
    mt_trainer_destroy(run.trainer);
    mt_model_destroy(run.model);
    mt_device_close(device);
}

static ranks_run plain(int64_t accumulate, int64_t windows)
{
    return (ranks_run){
        .run = plain_run, .accumulate = accumulate, .windows = windows, .last = LAST};
}

/* Runs it on so many ranks, which have to come to the same; the caller unmaps it. */
static ranks_run *run_on(int size, const ranks_run *run)
{
    ranks_run *shared = shared_memory(sizeof *shared);
    *shared = *run;
    on_ranks(size, be, shared);
    for (int rank = 1; rank < size; rank++) {
        ck_assert_mem_eq(&shared->results[rank], &shared->results[0], sizeof shared->results[0]);
    }
    return shared;
}

static void drop(ranks_run *run)
{
    munmap(run, sizeof *run);
}

static void assert_near(double found, double expected, int size)
{
    ck_assert_msg(near_to(found, expected) < 1e-9, "%d ranks: %.12g, alone %.12g", size, found,
                  expected);
}

/* From update `first` of the other on. */
static void assert_alike(const ranks_run *run, const ranks_run *alone, int first, int size)
{
    ck_assert_msg(run->results[0].status == MT_OK, "%s", run->results[0].message);
    ck_assert_int_eq(run->results[0].count, alone->results[0].count - first);
    for (int i = 0; i < run->results[0].count; i++) {
        const mt_update *update = &run->results[0].updates[i];
        const mt_update *expected = &alone->results[0].updates[i + first];
        assert_near(update->loss, expected->loss, size);
        assert_near(update->grad_norm, expected->grad_norm, size);
        ck_assert_int_eq(update->symbols, expected->symbols);
    }
    assert_near(run->results[0].found.loss, alone->results[0].found.loss, size);
}

static int most_ranks(void)
{
    return getenv("MIXTAPE_TEST_DEVICE") == NULL ? MOST_RANKS : 2; /* an emulated one is slow */
}

START_TEST(test_ranks_carry_as_one_process_does)
{
    static const int64_t kinds[][2] = {{1, 1}, {2, 1}, {1, 3}};
    ranks_run run = plain(kinds[_i][0], kinds[_i][1]);
    ranks_run *alone = run_on(1, &run);
    for (int size = 2; size <= most_ranks(); size *= 2) {
        ranks_run *shared = run_on(size, &run);
        assert_alike(shared, alone, 0, size);
        drop(shared);
    }
    drop(alone);
}
END_TEST

/* Saved by one rank behind the run's last update, when what the others carry has been gathered. */
START_TEST(test_another_number_of_ranks_goes_on_with_what_is_carried)
{
    char path[] = "/tmp/mixtape-carry-XXXXXX";
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
    ranks_run run = plain(1, 2);
    ranks_run *alone = run_on(1, &run);
    run.last = run.run.save_at = 2;
    run.run.save_path = path;
    run.split = _i == 1;
    drop(run_on(2, &run));
    run = plain(1, 2);
    run.resume = path;
    run.split = _i == 1;
    for (int size = 1; size <= most_ranks(); size *= 2) {
        ranks_run *rest = run_on(size, &run);
        assert_alike(rest, alone, 2, size);
        drop(rest);
    }
    drop(alone);
    unlink(path);
}
END_TEST

START_TEST(test_what_others_carry_is_saved_when_a_run_ends)
{
    ranks_run run = plain(1, 1);
    run.run.save_at = 2;
    run.run.save_path = "/tmp/mixtape-carry-none";
    ranks_run *shared = run_on(2, &run);
    ck_assert_int_eq(shared->results[0].status, MT_ERROR_INVALID);
    ck_assert_str_eq(shared->results[0].message,
                     "rank 0: trainer: what the ranks carry is gathered when a run ends: it can "
                     "be saved then");
    drop(shared);
}
END_TEST

/* Of the last rank's rows alone. */
START_TEST(test_all_ranks_leave_what_is_carried_as_it_was)
{
    ranks_run run = plain(1, 1);
    if (_i == 0) {
        run.run.bad = 2;
    } else {
        run.run.lost = 2;
    }
    ranks_run *alone = run_on(1, &run), *shared = run_on(2, &run);
    ck_assert_ptr_nonnull(strstr(shared->results[0].skipped, "step 3: "));
    ck_assert_str_eq(shared->results[0].skipped, alone->results[0].skipped);
    for (int i = 0; i < LAST; i++) {
        if (i != 2) {
            assert_near(shared->results[0].updates[i].loss, alone->results[0].updates[i].loss, 2);
        }
    }
    drop(shared);
    drop(alone);
}
END_TEST

START_TEST(test_rows_that_cannot_be_shared_are_refused)
{
    ranks_run run = plain(1, 1);
    ranks_run *shared = run_on(3, &run);
    ck_assert_int_eq(shared->results[0].status, MT_ERROR_INVALID);
    ck_assert_str_eq(shared->results[0].message,
                     "a batch of 4 rows cannot be shared by 3 processes");
    drop(shared);
}
END_TEST

static Suite *ranks_suite(void)
{
    TCase *cases;
    Suite *suite = suite_begin("carry_ranks", NULL, NULL, &cases);
    tcase_add_loop_test(cases, test_ranks_carry_as_one_process_does, 0, 3);
    tcase_add_loop_test(cases, test_another_number_of_ranks_goes_on_with_what_is_carried, 0, 2);
    tcase_add_test(cases, test_what_others_carry_is_saved_when_a_run_ends);
    tcase_add_loop_test(cases, test_all_ranks_leave_what_is_carried_as_it_was, 0, 2);
    tcase_add_test(cases, test_rows_that_cannot_be_shared_are_refused);
    return suite;
}

MT_TEST_MAIN(ranks_suite)
