/* Trainers of several ranks against one that trains alone. */
#include <mixtape/model.h>
#include <mixtape/operators.h>
#include <mixtape/trainer.h>

#include "tests/check_main.h"
#include "tests/kernels/forked_ranks.h"

#include "train/trainer_internal.h"

#include <math.h>

enum { B = 4, T = 5, VOCAB = 7, UPDATES = 5, VALUES = 4096, VALIDATIONS = 3 };

/* What a run is, and, in memory in common, what it came to on each rank. */
typedef struct ranks_run {
    int64_t accumulate;
    bool classes; /* cross-entropy with counts; else a mean square */
    double clip;
    int64_t bad;      /* the batch whose loss is not finite on one of its rows; -1: none */
    int64_t failing;  /* the batch that cannot be made, */
    int failing_rank; /* by one rank, or by all (-1) */
    int64_t stop_at;  /* after this update one rank stops the run; 0: none does */
    int64_t fail_at;  /* after this one its function fails on one rank */
    int64_t rows;
    const char *resume; /* a checkpoint to go on from, or NULL; */
    const char *other;  /* that of other ranks than the first, or NULL: the same */
    const char *save;   /* one to leave, or NULL */
    bool other_sizes;   /* the last rank has another model */
    bool split;         /* each has a part of Adam's moments */
    bool loses_device;  /* of the last rank nothing can be read while it is saved */
    struct {
        mt_status status;
        char message[512];
        int64_t steps;
        mt_update updates[UPDATES];
        mt_evaluation found;
        int64_t skipped;
        char skipped_text[512];
        size_t bytes;
        char values[VALUES * sizeof(double)];
    } results[MOST_RANKS];

    /* of a rank at work */
    mt_model *model;
    mt_trainer *trainer;
    int rank;
} ranks_run;

/* Rows have different numbers of targets, and in batch 2 the last ones none. */
static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    const ranks_run *run = context;
    int32_t input[2 * B * T], target[2 * B * T];
    float values[2 * B * T * VOCAB];
    mt_random random = mt_random_make(5, (uint64_t)index);
    if (index == run->failing && (run->failing_rank < 0 || run->failing_rank == run->rank)) {
        mt_tape_fail(tape, mt_fail(MT_ERROR_IO, "no batch %d", (int)index));
        return;
    }
    for (int64_t i = 0; i < run->rows * T; i++) {
        bool ignored = i % T > i / T || (index == 2 && i >= run->rows * T / 2);
        input[i] = (int32_t)mt_random_below(&random, VOCAB);
        target[i] = ignored ? -1 : (int32_t)mt_random_below(&random, VOCAB);
    }
    for (int64_t i = 0; i < run->rows * T * VOCAB; i++) {
        values[i] = (float)mt_random_uniform(&random);
    }
    if (index == run->bad) {
        values[(run->rows * T - 2) * VOCAB] = INFINITY;
    }
    batch->input = mt_tape_labels(tape, run->rows, T, input);
    batch->target = run->classes ? mt_tape_labels(tape, run->rows, T, target)
                                 : mt_tape_sequence(tape, MT_F32, run->rows, T, VOCAB, values);
    batch->others[1] = mt_tape_sequence(tape, MT_F32, run->rows, T, VOCAB, values);
}

static mt_tensor *loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    const ranks_run *run = context;
    mt_tensor *output = mt_model_decode(tape, run->model, batch->input, NULL, true);
    mt_tensor *logits = mt_model_head(tape, run->model, output);
    logits = mt_add(tape, logits, mt_scale(tape, batch->others[1], 0.1));
    return run->classes ? mt_cross_entropy_l2wrap(tape, logits, batch->target, -1, 0.1, 0.3, counts)
                        : mt_mean_square(tape, logits, batch->target);
}

static mt_status note(void *context, const mt_update *update)
{
    ranks_run *run = context;
    run->results[run->rank].updates[run->results[run->rank].steps++] = *update;
    if (update->skipped != NULL) {
        snprintf(run->results[run->rank].skipped_text, sizeof run->results[0].skipped_text, "%s",
                 update->skipped);
    }
    if (update->step == run->stop_at && run->rank == 1) {
        mt_trainer_stop(run->trainer);
    }
    return update->step == run->fail_at && run->rank == 1 ? mt_fail(MT_ERROR_IO, "the disk is full")
                                                          : MT_OK;
}

static mt_status (*read_really)(mt_device *, void *, const void *, size_t);

static mt_status fail_to_read(mt_device *device, void *host, const void *memory, size_t bytes)
{
    (void)device, (void)host, (void)memory, (void)bytes;
    return mt_fail(MT_ERROR_DEVICE, "the device is gone");
}

static mt_status train(ranks_run *run, mt_communicator *communicator, mt_device *device)
{
    mt_model_config model = mt_model_config_default(VOCAB, 8);
    mt_trainer_config config = mt_trainer_config_default();
    const mt_objective objective = {put, loss, run};
    bool other = run->other_sizes && run->rank == mt_communicator_size(communicator) - 1;
    model.num_blocks = other ? 2 : 1;
    model.embed_dropout = model.att_dropout = model.ffn_dropout = 0.2;
    /* What another rank than the first begins with is of no matter. */
    ck_assert_int_eq(
        mt_model_create(device, MT_F32, &model, (uint64_t)(3 + run->rank), &run->model), MT_OK);
    config.adam.clip = run->clip;
    ck_assert_int_eq(mt_parameters_set_rate(run->model->parameters, "*.time_*", 2.0), MT_OK);
    config.schedule.lr = 0.01;
    config.accumulate = run->accumulate;
    config.on_bad_step = MT_BAD_STEP_SKIP;
    config.communicator = communicator;
    config.split_optimizer = run->split;
    mt_status status =
        mt_trainer_create(run->model->parameters, &config, &objective, &run->trainer);
    if (status == MT_OK && run->split) {
        int64_t part = run->trainer->adam->count, all = run->model->parameters->total;
        ck_assert_int_lt(part, all / mt_communicator_size(communicator) + 64);
    }
    if (status == MT_OK) {
        status = mt_trainer_describe(run->trainer, run->model, NULL, NULL);
    }
    if (status == MT_OK && run->resume != NULL) {
        bool other_file = run->rank > 0 && run->other != NULL;
        status = mt_trainer_load(run->trainer, other_file ? run->other : run->resume);
    }
    if (status == MT_OK) {
        status = mt_trainer_run(run->trainer, UPDATES, note, run);
    }
    if (status == MT_OK && run->save != NULL && (run->rank == 0 || run->split)) {
        read_really = device->read_back;
        if (run->loses_device && run->rank == mt_communicator_size(communicator) - 1) {
            device->read_back = fail_to_read;
        }
        status = mt_trainer_save(run->trainer, run->save);
        device->read_back = read_really;
    }
    if (status == MT_OK) {
        status = mt_trainer_evaluate(run->trainer, &objective, VALIDATIONS,
                                     &run->results[run->rank].found);
    }
    return status;
}

static void be(mt_communicator *communicator, void *context)
{
    mt_device *device;
    ranks_run *shared = context, run = *shared;
    const char *name = getenv("MIXTAPE_TEST_DEVICE");
    ck_assert_int_eq(mt_device_open(name != NULL ? name : "cpu", &device), MT_OK);
    run.rank = mt_communicator_rank(communicator);
    mt_status status = train(&run, communicator, device);
    run.results[run.rank].status = status;
    snprintf(run.results[run.rank].message, sizeof run.results[0].message, "%s",
             status != MT_OK ? mt_error_message() : "");
    const mt_parameters *parameters = run.model->parameters;
    size_t bytes = (size_t)parameters->total * sizeof(float);
    ck_assert_uint_le(bytes, sizeof run.results[0].values);
    run.results[run.rank].bytes = bytes;
    ck_assert_int_eq(mt_device_read(device, run.results[run.rank].values, parameters->data, bytes),
                     MT_OK);
    if (run.trainer != NULL) {
        run.results[run.rank].skipped = mt_trainer_state(run.trainer)->skipped;
    }
    for (int i = 0; i < run.results[run.rank].steps; i++) {
        run.results[run.rank].updates[i].skipped = NULL; /* of memory that ends here */
    }
    shared->results[run.rank] = run.results[run.rank];
    mt_trainer_destroy(run.trainer);
    mt_model_destroy(run.model);
    mt_device_close(device);
}

static ranks_run plain(void)
{
    return (ranks_run){.accumulate = 1,
                       .classes = true,
                       .clip = 0.5,
                       .bad = -1,
                       .failing = -1,
                       .failing_rank = -1,
                       .rows = B};
}

/* Runs it on so many ranks; the caller unmaps it. All ranks must have come to the same. */
static ranks_run *run_on(int size, const ranks_run *run)
{
    ranks_run *shared = shared_memory(sizeof *shared);
    *shared = *run;
    on_ranks(size, be, shared);
    for (int rank = 1; rank < size; rank++) {
        ck_assert_int_eq(shared->results[rank].status, shared->results[0].status);
        ck_assert_str_eq(shared->results[rank].message, shared->results[0].message);
        ck_assert_str_eq(shared->results[rank].skipped_text, shared->results[0].skipped_text);
        ck_assert_int_eq(shared->results[rank].steps, shared->results[0].steps);
        ck_assert_mem_eq(shared->results[rank].updates, shared->results[0].updates,
                         sizeof shared->results[0].updates);
        if (!run->other_sizes) {
            ck_assert_mem_eq(shared->results[rank].values, shared->results[0].values,
                             shared->results[0].bytes);
        }
        ck_assert_mem_eq(&shared->results[rank].found, &shared->results[0].found,
                         sizeof shared->results[0].found);
    }
    return shared;
}

static void drop(ranks_run *run)
{
    munmap(run, sizeof *run);
}

static void assert_close(double found, double expected, double allowed, const char *what, int size)
{
    ck_assert_msg((isnan(found) && isnan(expected)) ||
                      fabs(found - expected) <= allowed * (1.0 + fabs(expected)),
                  "%d ranks: %s is %.9g, alone %.9g", size, what, found, expected);
}

/* The same curve, and nearly the same values in the end. */
static void assert_alike(const ranks_run *run, const ranks_run *alone, int size)
{
    const float *found = (const float *)(const void *)run->results[0].values;
    const float *expected = (const float *)(const void *)alone->results[0].values;
    ck_assert_int_eq(run->results[0].status, MT_OK);
    ck_assert_int_eq(run->results[0].steps, alone->results[0].steps);
    for (int i = 0; i < run->results[0].steps; i++) {
        const mt_update *a = &run->results[0].updates[i], *b = &alone->results[0].updates[i];
        assert_close(a->loss, b->loss, 1e-5, "the loss", size);
        assert_close(a->grad_norm, b->grad_norm, 1e-4, "the norm", size);
        assert_close(a->accuracy, b->accuracy, 1e-6, "the accuracy", size);
        ck_assert_int_eq(a->symbols, b->symbols);
    }
    for (size_t i = 0; i < run->results[0].bytes / sizeof(float); i++) {
        assert_close((double)found[i], (double)expected[i], 2e-3, "a value", size);
    }
    assert_close(run->results[0].found.loss, alone->results[0].found.loss, 1e-4, "validation",
                 size);
    ck_assert_int_eq(run->results[0].found.counted, alone->results[0].found.counted);
}

static void compare_sizes(const ranks_run *run)
{
    ranks_run *alone = run_on(1, run);
    int most = getenv("MIXTAPE_TEST_DEVICE") == NULL ? MOST_RANKS : 2; /* an emulated one is slow */
    for (int size = 2; size <= most; size *= 2) {
        ranks_run *shared = run_on(size, run), *again = run_on(size, run);
        assert_alike(shared, alone, size);
        ck_assert_mem_eq(shared->results, again->results, sizeof shared->results);
        drop(shared);
        drop(again);
    }
    drop(alone);
}

#define CHECKPOINT "/tmp/mixtape-ranks-XXXXXX"

/* `path` is CHECKPOINT, and becomes the name of a file. */
static void make_file(char *path)
{
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
}

START_TEST(test_ranks_train_as_one_process_does)
{
    ranks_run run = plain();
    compare_sizes(&run);
    run.accumulate = 3;
    run.clip = 0.0;
    compare_sizes(&run);
    run.classes = false;
    compare_sizes(&run);
}
END_TEST

/* With the same values an evaluation has the same bits on any number of ranks. */
START_TEST(test_an_evaluation_has_the_bits_of_one_process)
{
    char path[] = CHECKPOINT;
    make_file(path);
    ranks_run run = plain();
    run.save = path;
    drop(run_on(1, &run));
    run.save = NULL;
    run.resume = path;
    ranks_run *alone = run_on(1, &run);
    ck_assert_int_eq(alone->results[0].steps, 0);
    for (int size = 2; size <= MOST_RANKS; size++) {
        ranks_run *shared = run_on(size, &run);
        ck_assert_int_eq(shared->results[0].status, MT_OK);
        ck_assert_mem_eq(&shared->results[0].found, &alone->results[0].found,
                         sizeof alone->results[0].found);
        drop(shared);
    }
    drop(alone);
    unlink(path);
}
END_TEST

START_TEST(test_a_run_goes_on_with_another_number_of_ranks)
{
    char path[] = CHECKPOINT;
    make_file(path);
    ranks_run run = plain();
    ranks_run *alone = run_on(1, &run);
    run.stop_at = 2;
    run.save = path;
    drop(run_on(2, &run));
    run.stop_at = 0;
    run.save = NULL;
    run.resume = path;
    ranks_run *rest = run_on(4, &run);
    ck_assert_int_eq(rest->results[0].steps, UPDATES - 2);
    for (int i = 0; i < UPDATES - 2; i++) {
        assert_close(rest->results[0].updates[i].loss, alone->results[0].updates[i + 2].loss, 1e-5,
                     "the loss", 4);
    }
    drop(rest);
    drop(alone);
    unlink(path);
}
END_TEST

/* A file system may show a rank what rank 0 has replaced since. */
START_TEST(test_all_go_on_from_the_checkpoint_of_the_first)
{
    char paths[2][32] = {CHECKPOINT, CHECKPOINT};
    ranks_run run = plain();
    for (int i = 0; i < 2; i++) {
        make_file(paths[i]);
        run.stop_at = 1 + i;
        run.save = paths[i];
        drop(run_on(2, &run));
    }
    run = plain();
    run.resume = paths[0];
    ranks_run *same = run_on(2, &run);
    run.other = paths[1];
    ranks_run *other = run_on(2, &run);
    ck_assert_mem_eq(other->results, same->results, sizeof same->results);
    drop(same);
    drop(other);
    unlink(paths[0]);
    unlink(paths[1]);
}
END_TEST

static void assert_same_bits(const ranks_run *a, const ranks_run *b)
{
    ck_assert_int_eq(a->results[0].status, MT_OK);
    ck_assert_mem_eq(a->results, b->results, sizeof a->results);
}

START_TEST(test_moments_that_are_split_change_no_bit)
{
    ranks_run run = plain();
    for (int size = 2; size <= MOST_RANKS; size++) {
        run.rows = size == 3 ? 3 : B;
        run.split = false;
        ranks_run *whole = run_on(size, &run);
        run.split = true;
        ranks_run *split = run_on(size, &run);
        assert_same_bits(split, whole);
        drop(split);
        drop(whole);
    }
}
END_TEST

/* From whole to split to whole. */
START_TEST(test_a_run_goes_on_with_moments_that_are_split_otherwise)
{
    char paths[2][32] = {CHECKPOINT, CHECKPOINT};
    ranks_run run = plain();
    ranks_run *all = run_on(2, &run);
    for (int i = 0; i < 2; i++) {
        make_file(paths[i]);
        run.split = i == 0;
        run.stop_at = 1 + 2 * i;
        run.save = paths[i];
        run.resume = i == 0 ? NULL : paths[0];
        drop(run_on(2, &run));
    }
    run = plain();
    run.split = true;
    run.resume = paths[1];
    ranks_run *rest = run_on(2, &run);
    ck_assert_int_eq(rest->results[0].status, MT_OK);
    ck_assert_int_eq(rest->results[0].steps, UPDATES - 3);
    ck_assert_mem_eq(rest->results[1].values, all->results[0].values, all->results[0].bytes);
    drop(rest);
    drop(all);
    unlink(paths[0]);
    unlink(paths[1]);
}
END_TEST

START_TEST(test_moments_that_cannot_be_read_are_not_saved)
{
    char path[] = CHECKPOINT;
    make_file(path);
    ranks_run run = plain();
    run.split = true;
    run.save = path;
    run.loses_device = true;
    ranks_run *shared = run_on(2, &run);
    ck_assert_str_eq(shared->results[0].message, "rank 1: the device is gone");
    ck_assert_int_eq(shared->results[0].status, MT_ERROR_DEVICE);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fgetc(file), EOF); /* as it was made */
    fclose(file);
    drop(shared);
    unlink(path);
}
END_TEST

START_TEST(test_a_rank_stops_the_run_of_all)
{
    ranks_run run = plain();
    run.stop_at = 2;
    ranks_run *shared = run_on(4, &run);
    ck_assert_int_eq(shared->results[0].status, MT_OK);
    ck_assert_int_eq(shared->results[0].steps, 2);
    drop(shared);
}
END_TEST

static void assert_fails(int size, const ranks_run *run, mt_status status, const char *message)
{
    ranks_run *shared = run_on(size, run);
    ck_assert_int_eq(shared->results[0].status, status);
    ck_assert_str_eq(shared->results[0].message, message);
    drop(shared);
}

START_TEST(test_a_failure_of_one_rank_is_that_of_all)
{
    ranks_run run = plain();
    run.fail_at = 3;
    assert_fails(2, &run, MT_ERROR_IO, "rank 1: the disk is full");
    run = plain();
    run.failing = 2;
    run.failing_rank = 1;
    assert_fails(4, &run, MT_ERROR_IO, "step 3: rank 1: no batch 2");
    run.failing_rank = -1;
    assert_fails(4, &run, MT_ERROR_IO, "step 3: no batch 2");
    run.accumulate = 3;
    run.failing = 4;
    run.failing_rank = 0;
    assert_fails(2, &run, MT_ERROR_IO, "step 2: rank 0: no batch 4");
}
END_TEST

/* Of the last rank's share alone. */
START_TEST(test_a_bad_step_is_skipped_by_all)
{
    ranks_run run = plain();
    run.bad = 3; /* which no evaluation has */
    ranks_run *alone = run_on(1, &run), *shared = run_on(4, &run);
    assert_alike(shared, alone, 4);
    ck_assert_str_eq(shared->results[0].skipped_text, alone->results[0].skipped_text);
    ck_assert_ptr_nonnull(strstr(shared->results[0].skipped_text, "of the batch's "));
    ck_assert_int_eq(shared->results[0].skipped, 1);
    ck_assert_int_eq(shared->results[3].skipped, 1);
    drop(shared);
    drop(alone);
}
END_TEST

START_TEST(test_what_cannot_be_shared_is_refused)
{
    ranks_run run = plain();
    run.rows = 3;
    assert_fails(2, &run, MT_ERROR_INVALID,
                 "step 1: a batch of 3 rows cannot be shared by 2 processes");
    run = plain();
    run.other_sizes = true;
    ranks_run *shared = run_on(2, &run);
    ck_assert_int_eq(shared->results[0].status, MT_ERROR_INVALID);
    ck_assert_msg(strstr(shared->results[0].message, "rank 1: ") == shared->results[0].message,
                  "%s", shared->results[0].message);
    drop(shared);
}
END_TEST

static Suite *ranks_suite(void)
{
    return SUITE("ranks", test_ranks_train_as_one_process_does,
                 test_an_evaluation_has_the_bits_of_one_process,
                 test_a_run_goes_on_with_another_number_of_ranks,
                 test_all_go_on_from_the_checkpoint_of_the_first,
                 test_moments_that_are_split_change_no_bit,
                 test_a_run_goes_on_with_moments_that_are_split_otherwise,
                 test_moments_that_cannot_be_read_are_not_saved, test_a_rank_stops_the_run_of_all,
                 test_a_failure_of_one_rank_is_that_of_all, test_a_bad_step_is_skipped_by_all,
                 test_what_cannot_be_shared_is_refused);
}

MT_TEST_MAIN(ranks_suite)
