/* Training on what is carried from batch to batch: against sequences that are whole, and through
 * everything that may come between two batches. */
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"
#include "tests/train/carry_test.h"

#include "io/checkpoint_file.h"
#include "kernels/device.h"

/* A run's end: parameters, and what a checkpoint holds of the rest. */
typedef struct run_end {
    char values[MOST_VALUES * sizeof(double)];
    size_t bytes;
    carry_run run;
} run_end;

static void assert_ok(mt_status status)
{
    ck_assert_msg(status == MT_OK, "%s", mt_error_message());
}

#define FILE_TEMPLATE "/tmp/mixtape-carry-XXXXXX"

static void make_file(char *path)
{
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
}

static void open_run(carry_run *run, mt_dtype dtype, double dropout,
                     const mt_trainer_config *config)
{
    run->model = carry_model(test_device, dtype, dropout);
    assert_ok(carry_open(run, config, true));
}

static void close_run(carry_run *run)
{
    mt_trainer_destroy(run->trainer);
    mt_model_destroy(run->model);
}

static void read_end(carry_run *run, run_end *end)
{
    const mt_parameters *parameters = run->model->parameters;
    end->bytes = (size_t)parameters->total * mt_dtype_size(parameters->dtype);
    ck_assert_uint_le(end->bytes, sizeof end->values);
    assert_ok(mt_device_read(test_device, end->values, parameters->data, end->bytes));
    end->run = *run;
    close_run(run);
}

static void run_to(carry_run *run, mt_dtype dtype, double dropout, const mt_trainer_config *config,
                   int64_t last, run_end *end)
{
    open_run(run, dtype, dropout, config);
    assert_ok(mt_trainer_run(run->trainer, last, carry_note, run));
    read_end(run, end);
}

static void assert_same_end(const run_end *a, const run_end *b)
{
    ck_assert_uint_eq(a->bytes, b->bytes);
    ck_assert_mem_eq(a->values, b->values, a->bytes);
}

/* ---- what it computes ---- */

/* The gradients that the first update left. */
static double *first_gradients(carry_run *run, int64_t windows, bool carries)
{
    mt_trainer_config config = carry_config(1, windows);
    run->model = carry_model(test_device, MT_F64, 0.0);
    assert_ok(carry_open(run, &config, carries));
    assert_ok(mt_trainer_run(run->trainer, 1, carry_note, run));
    size_t bytes = (size_t)run->model->parameters->total * sizeof(double);
    double *gradients = malloc(bytes);
    ck_assert_ptr_nonnull(gradients);
    assert_ok(mt_device_read(test_device, gradients, run->model->parameters->grad, bytes));
    return gradients;
}

/* Windows with and without targets, and of losses that do not tell how many they count. */
START_TEST(test_windows_are_one_long_window)
{
    static const int64_t counts[] = {2, 3, 8};
    int64_t windows = counts[_i / 2];
    carry_run parts = plain_run, whole = plain_run;
    parts.endless = whole.endless = true;
    parts.uncounted = whole.uncounted = false;
    whole.joined = windows;
    double *found = first_gradients(&parts, windows, true);
    double *expected = first_gradients(&whole, 1, _i % 2 == 0);
    ck_assert_double_le(near_to(parts.updates[0].loss, whole.updates[0].loss), 1e-12);
    ck_assert_double_le(near_to(parts.updates[0].grad_norm, whole.updates[0].grad_norm), 1e-11);
    ck_assert_double_eq(parts.updates[0].accuracy, whole.updates[0].accuracy);
    ck_assert_int_eq(parts.updates[0].symbols, whole.updates[0].symbols);
    ck_assert_double_le(relative_difference(found, expected, parts.model->parameters->total),
                        1e-10);
    free(found);
    free(expected);
    close_run(&parts);
    close_run(&whole);
}
END_TEST

START_TEST(test_losses_without_counts_weigh_the_same)
{
    double sum = 0.0;
    carry_run parts = plain_run, ones = plain_run;
    mt_trainer_config config = carry_config(1, 3);
    run_end end;
    parts.uncounted = ones.uncounted = true;
    config.schedule.lr = 1e-12;
    run_to(&parts, MT_F64, 0.0, &config, 1, &end);
    config.windows = 1;
    run_to(&ones, MT_F64, 0.0, &config, 3, &end);
    for (int i = 0; i < 3; i++) {
        sum += ones.updates[i].loss / 3.0;
    }
    ck_assert_double_le(near_to(parts.updates[0].loss, sum), 1e-9);
    ck_assert(isnan(parts.updates[0].accuracy));
}
END_TEST

/* The loss of a document by itself, from its first window in row b to its end or before window
 * `limit`, times the rows that it counts. */
static mt_tensor *loss_of_document(const carry_run *run, int64_t first, int64_t limit, int64_t b,
                                   double *counted)
{
    int32_t input[WINDOWS_OF_DOCUMENT * L], target[WINDOWS_OF_DOCUMENT * L];
    int64_t w = first, steps = 0;
    double rows = 0.0;
    do {
        fill_window(run, w, b, input + steps, target + steps);
        steps += L;
        w++;
    } while (!is_first(run, w, b) && w < limit);
    for (int64_t i = 0; i < steps; i++) {
        rows += target[i] >= 0;
    }
    mt_tensor *output = mt_model_decode(test_tape, run->model,
                                        mt_tape_labels(test_tape, 1, steps, input), NULL, false);
    mt_tensor *targets = mt_tape_labels(test_tape, 1, steps, target);
    *counted += rows;
    return mt_scale(test_tape,
                    mt_model_cross_entropy(test_tape, run->model, output, targets, -1, 0.1, NULL),
                    rows);
}

/* The mean over all documents of the first windows. */
static mt_tensor *loss_of_documents(const carry_run *run, int64_t limit, double *counted)
{
    mt_tensor *sum = NULL;
    *counted = 0.0;
    for (int64_t i = 0; i < B * limit; i++) {
        int64_t b = i / limit, w = i % limit;
        if (is_first(run, w, b)) {
            mt_tensor *one = loss_of_document(run, w, limit, b, counted);
            sum = sum == NULL ? one : mt_add(test_tape, sum, one);
        }
    }
    return mt_scale(test_tape, sum, 1.0 / *counted);
}

/* ... which begin in the midst of windows through which gradients flow. */
START_TEST(test_gradients_are_those_of_whole_documents)
{
    carry_run run = plain_run;
    double counted;
    double *found = first_gradients(&run, 8, true);
    close_run(&run);
    run.model = carry_model(test_device, MT_F64, 0.0); /* as it was before the update */
    mt_parameters *parameters = run.model->parameters;
    mt_tape_reset(test_tape);
    assert_ok(mt_backward(test_tape, loss_of_documents(&run, 8, &counted)));
    assert_ok(mt_parameters_settle_grad(parameters));
    double *expected = malloc((size_t)parameters->total * sizeof(double));
    ck_assert_ptr_nonnull(expected);
    assert_ok(mt_device_read(test_device, expected, parameters->grad,
                             (size_t)parameters->total * sizeof(double)));
    ck_assert_double_le(relative_difference(found, expected, parameters->total), 1e-10);
    free(found);
    free(expected);
    mt_model_destroy(run.model);
}
END_TEST

/* Rows begin documents at different batches, behind ends that are padded. */
START_TEST(test_an_evaluation_in_windows_is_that_of_whole_documents)
{
    carry_run run = plain_run;
    mt_objective objective = {.put = carry_put, .loss = carry_loss, .context = &run};
    mt_evaluation found;
    double loss, counted;
    run.model = carry_model(test_device, MT_F64, 0.0);
    assert_ok(mt_carried_of_model(run.model, B, &objective.carried));
    mt_tape_reset(test_tape);
    assert_ok(
        mt_tensor_read_doubles(loss_of_documents(&run, 2 * WINDOWS_OF_DOCUMENT, &counted), &loss));
    for (int again = 0; again < 2; again++) { /* each begins with nothing */
        assert_ok(mt_evaluate(test_tape, &objective, 2 * WINDOWS_OF_DOCUMENT, &found));
        ck_assert_int_eq(found.counted, (int64_t)counted);
        ck_assert_double_le(near_to(found.loss, loss), 1e-12);
    }
    mt_carried_free(&objective.carried);
    mt_model_destroy(run.model);
}
END_TEST

/* Without learning anything the loss of an update is the mean of those of its batches. */
START_TEST(test_batches_of_an_update_go_on_from_one_another)
{
    carry_run ones = plain_run, pairs = plain_run;
    mt_trainer_config config = carry_config(1, 1);
    run_end end;
    config.schedule.lr = 1e-12;
    run_to(&ones, MT_F64, 0.0, &config, 12, &end);
    config.accumulate = 2;
    run_to(&pairs, MT_F64, 0.0, &config, 6, &end);
    for (int i = 0; i < 6; i++) {
        double mean = 0.5 * (ones.updates[2 * i].loss + ones.updates[2 * i + 1].loss);
        ck_assert_double_le(near_to(pairs.updates[i].loss, mean), 1e-9);
    }
}
END_TEST

/* A step holds one window, and what is carried between windows. */
START_TEST(test_memory_grows_by_what_is_carried_alone)
{
    size_t held[2];
    for (int i = 0; i < 2; i++) {
        carry_run run = plain_run;
        mt_trainer_config config = carry_config(1, i == 0 ? 2 : 64);
        run.endless = true;
        open_run(&run, MT_F32, 0.0, &config);
        assert_ok(mt_trainer_run(run.trainer, 1, carry_note, &run));
        held[i] = mt_tape_memory(mt_trainer_tape(run.trainer));
        close_run(&run);
    }
    ck_assert_msg(held[1] < 3 * held[0], "%zu bytes, then %zu", held[0], held[1]);
}
END_TEST

/* ---- what may come between ---- */

static const struct {
    int64_t accumulate, windows;
    mt_dtype dtype;
} kinds[] = {{1, 1, MT_F32}, {2, 1, MT_F32}, {1, 2, MT_F32}, {2, 3, MT_F64}, {1, 2, MT_BF16}};

enum { KINDS = sizeof kinds / sizeof *kinds, LAST = 6 };

static mt_trainer_config config_of(int kind)
{
    return carry_config(kinds[kind].accumulate, kinds[kind].windows);
}

START_TEST(test_a_run_that_goes_on_has_the_bits_of_one_that_was_not_interrupted)
{
    char path[] = FILE_TEMPLATE;
    run_end whole, rest;
    carry_run run = plain_run;
    mt_trainer_config config = config_of(_i);
    make_file(path);
    run_to(&run, kinds[_i].dtype, 0.2, &config, LAST, &whole);
    run = plain_run;
    open_run(&run, kinds[_i].dtype, 0.2, &config);
    for (int64_t step = 1; step < LAST / 2; step++) { /* saves of which the next takes nothing */
        assert_ok(mt_trainer_run(run.trainer, step, NULL, NULL));
        assert_ok(mt_trainer_save(run.trainer, path));
    }
    assert_ok(mt_trainer_run(run.trainer, LAST / 2, NULL, NULL));
    if (_i % 2 == 0) {
        assert_ok(mt_trainer_save(run.trainer, path));
    } else {
        assert_ok(mt_trainer_save_beside(run.trainer, path));
    }
    close_run(&run);
    open_run(&run, kinds[_i].dtype, 0.2, &config);
    assert_ok(mt_trainer_load(run.trainer, path));
    assert_ok(mt_trainer_run(run.trainer, LAST, NULL, NULL));
    read_end(&run, &rest);
    assert_same_end(&rest, &whole);
    unlink(path);
}
END_TEST

/* ... and leaves what is carried where it was: the run is one in which that window is not. */
static void check_skip(int64_t accumulate, int64_t bad, int64_t lost, bool record,
                       const char *symptom)
{
    carry_run run = plain_run, without = plain_run;
    mt_trainer_config config = carry_config(accumulate, 1);
    run_end end, expected;
    config.on_bad_step = MT_BAD_STEP_SKIP;
    config.record = record;
    run.bad = bad;
    run.lost = lost;
    run.endless = without.endless = true;
    run_to(&run, MT_F32, 0.0, &config, LAST, &end);
    ck_assert_msg(strstr(run.skipped, symptom) != NULL, "%s", run.skipped);
    if (accumulate == 1) {
        without.left_out = bad >= 0 ? bad : lost;
        run_to(&without, MT_F32, 0.0, &config, LAST - 1, &expected);
        assert_same_end(&end, &expected);
    }
}

START_TEST(test_a_bad_step_leaves_what_is_carried_as_it_was)
{
    check_skip(1, 3, -1, true, "step 4: the loss is inf; element 6 of the batch's tensor 0 ");
    check_skip(1, 3, -1, false, "step 4: the loss is inf; ");
    check_skip(2, 5, -1, true, "step 3: the loss is inf; ");
    check_skip(1, -1, 3, true,
               "step 4: what is carried on is not finite; element 7 of the batch's ");
    check_skip(2, -1, 5, true, "step 3: what is carried on is not finite; ");
}
END_TEST

START_TEST(test_recorded_updates_have_the_bits_of_others)
{
    run_end ends[2];
    for (int record = 0; record < 2; record++) {
        carry_run run = plain_run;
        mt_trainer_config config = carry_config(1, 1 + _i);
        config.record = record == 1;
        run_to(&run, MT_F32, 0.2, &config, LAST, &ends[record]);
    }
    assert_same_end(&ends[0], &ends[1]);
}
END_TEST

START_TEST(test_a_bad_step_is_repeated_from_its_file)
{
    char path[] = FILE_TEMPLATE;
    mt_replayed replayed;
    carry_run run = plain_run;
    mt_trainer_config config = carry_config(1, 1 + _i);
    const mt_objective objective = {.put = carry_put, .loss = carry_loss, .context = &run};
    make_file(path);
    config.replay_file = path;
    run.bad = 5;
    open_run(&run, MT_F32, 0.2, &config);
    ck_assert_int_eq(mt_trainer_run(run.trainer, LAST, NULL, NULL), MT_ERROR_NUMERIC);
    char *message = strdup(mt_error_message());
    assert_ok(mt_replay(path, test_tape, &objective, run.model->parameters, &replayed));
    ck_assert_int_eq(replayed.batch, 5 - _i); /* the first of its windows */
    ck_assert(!isfinite(replayed.loss));      /* NaN where nothing is counted */
    ck_assert_msg(replayed.found[0] != '\0' && strstr(message, replayed.found) != NULL, "%s: %s",
                  message, replayed.found);
    free(message);
    close_run(&run);
    unlink(path);
}
END_TEST

/* The rows that a file has, of a bad step or of a run; in memory that the caller frees. */
static double *rows_in(const char *path, bool of_batch)
{
    mt_checkpoint *checkpoint;
    double *rows = malloc((B + 1) * 120 * sizeof *rows);
    ck_assert_ptr_nonnull(rows);
    assert_ok(mt_checkpoint_load(path, &checkpoint));
    if (of_batch) {
        mt_kept_batch kept;
        mt_tape_reset(test_tape);
        assert_ok(mt_checkpoint_read_batch(checkpoint, test_tape, &kept));
        ck_assert_int_eq(kept.index, 5);
        assert_ok(mt_tensor_read(kept.carried, rows));
        free(kept.windows);
    } else {
        assert_ok(mt_checkpoint_read_carried(checkpoint, MT_F64, B, 120, rows));
    }
    mt_checkpoint_destroy(checkpoint);
    return rows;
}

/* ... with what the batch before it in its update carried on. */
START_TEST(test_the_file_of_a_bad_step_has_what_its_batch_began_with)
{
    char path[] = FILE_TEMPLATE, other[] = FILE_TEMPLATE;
    carry_run run = plain_run;
    mt_trainer_config config = carry_config(2, 1);
    make_file(path);
    make_file(other);
    config.schedule.lr = 1e-12; /* so that nothing is learnt meanwhile */
    config.replay_file = path;
    run.bad = 5;
    open_run(&run, MT_F64, 0.0, &config);
    ck_assert_int_eq(mt_trainer_run(run.trainer, LAST, NULL, NULL), MT_ERROR_NUMERIC);
    close_run(&run);
    config.accumulate = 1;
    open_run(&run, MT_F64, 0.0, &config);
    assert_ok(mt_trainer_run(run.trainer, 5, NULL, NULL));
    assert_ok(mt_trainer_save(run.trainer, other));
    close_run(&run);
    double *found = rows_in(path, true), *expected = rows_in(other, false);
    ck_assert_double_le(relative_difference(found, expected, B * 120), 1e-9);
    free(found);
    free(expected);
    unlink(path);
    unlink(other);
}
END_TEST

/* ---- what is refused ---- */

static void assert_fails(mt_status status, mt_status expected, const char *part)
{
    ck_assert_int_eq(status, expected);
    ck_assert_msg(strstr(mt_error_message(), part) != NULL, "%s", mt_error_message());
}

START_TEST(test_what_cannot_be_carried_is_refused)
{
    carry_run run = plain_run;
    mt_trainer_config config = carry_config(1, 0);
    run.model = carry_model(test_device, MT_F32, 0.0);
    assert_fails(carry_open(&run, &config, true), MT_ERROR_INVALID,
                 "trainer: windows is 0, not in 1 .. 1024");
    config.windows = 2;
    assert_fails(carry_open(&run, &config, false), MT_ERROR_INVALID,
                 "trainer: 2 windows, between which nothing is carried");
    mt_objective objective = {.put = carry_put, .loss = carry_loss, .context = &run};
    mt_evaluation found;
    objective.carried = (mt_carried){.rows = 0, .width = 3, .dtype = MT_F32};
    assert_fails(mt_trainer_create(run.model->parameters, &config, &objective, &run.trainer),
                 MT_ERROR_INVALID, "0 rows of 3 f32 are none that can be carried");
    objective.carried = (mt_carried){.rows = 2, .width = 3, .dtype = MT_BF16};
    assert_fails(mt_evaluate(test_tape, &objective, 1, &found), MT_ERROR_INVALID,
                 "2 rows of 3 bf16 are none that can be carried");
    objective.carried = (mt_carried){.rows = B + 1, .width = 120, .dtype = MT_F32};
    assert_ok(mt_trainer_create(run.model->parameters, &config, &objective, &run.trainer));
    assert_fails(mt_trainer_run(run.trainer, 1, NULL, NULL), MT_ERROR_INVALID,
                 "step 1: batch 0 has 4 rows, and what is carried 5");
    mt_trainer_destroy(run.trainer);
    objective.carried = (mt_carried){.rows = B, .width = 121, .dtype = MT_F32};
    assert_ok(mt_trainer_create(run.model->parameters, &config, &objective, &run.trainer));
    assert_fails(mt_trainer_run(run.trainer, 1, NULL, NULL), MT_ERROR_INVALID,
                 "decode: what is carried has shape (4, 121), expected (4, 120)");
    close_run(&run);
}
END_TEST

static mt_tensor *stubborn_loss(void *context, mt_tape *tape, const mt_batch *batch,
                                mt_tensor **counts)
{
    mt_tensor **carried = batch->carried;
    mt_tensor *loss = carry_loss(context, tape, batch, counts);
    *carried = mt_slice(tape, *carried, 1, 0, 7);
    return loss;
}

START_TEST(test_a_loss_has_to_carry_on_what_it_was_given)
{
    carry_run run = plain_run;
    mt_objective objective = {.put = carry_put, .loss = stubborn_loss, .context = &run};
    run.model = carry_model(test_device, MT_F32, 0.0);
    assert_ok(mt_carried_of_model(run.model, B, &objective.carried));
    for (int64_t windows = 1; windows < 3; windows++) {
        mt_trainer_config config = carry_config(1, windows);
        assert_ok(mt_trainer_create(run.model->parameters, &config, &objective, &run.trainer));
        assert_fails(mt_trainer_run(run.trainer, 1, NULL, NULL), MT_ERROR_INVALID,
                     "what a loss carries on is f32 (4, 7), expected f32 (4, 120)");
        mt_trainer_destroy(run.trainer);
    }
    mt_carried_free(&objective.carried);
    mt_model_destroy(run.model);
}
END_TEST

START_TEST(test_a_checkpoint_without_what_is_carried_is_refused)
{
    char path[] = FILE_TEMPLATE;
    mt_trainer_config config = carry_config(1, 1);
    carry_run run = plain_run;
    make_file(path);
    for (int carries = 0; carries < 2; carries++) {
        run.model = carry_model(test_device, MT_F32, 0.0);
        assert_ok(carry_open(&run, &config, carries == 1));
        assert_ok(mt_trainer_save(run.trainer, path));
        close_run(&run);
        run.model = carry_model(test_device, MT_F32, 0.0);
        assert_ok(carry_open(&run, &config, carries == 0));
        assert_fails(mt_trainer_load(run.trainer, path), MT_ERROR_INVALID,
                     carries == 0 ? ": it has no state that is carried to go on from"
                                  : ": it has a state that is carried, and this run carries none");
        close_run(&run);
    }
    mt_objective objective = {.put = carry_put, .loss = carry_loss, .context = &run};
    run.model = carry_model(test_device, MT_F32, 0.0);
    objective.carried = (mt_carried){.rows = 2, .width = 120, .dtype = MT_F32};
    assert_ok(mt_trainer_create(run.model->parameters, &config, &objective, &run.trainer));
    assert_ok(mt_trainer_describe(run.trainer, run.model, NULL, NULL));
    assert_fails(mt_trainer_load(run.trainer, path), MT_ERROR_INVALID,
                 ": it carries 4 rows of 120 f32, this run 2 of 120 f32");
    close_run(&run);
    unlink(path);
}
END_TEST

static Suite *carry_suite(void)
{
    TCase *cases;
    Suite *suite = suite_begin("carry", graph_setup, graph_teardown, &cases);
    tcase_add_loop_test(cases, test_windows_are_one_long_window, 0, 6);
    tcase_add_test(cases, test_losses_without_counts_weigh_the_same);
    tcase_add_test(cases, test_gradients_are_those_of_whole_documents);
    tcase_add_test(cases, test_an_evaluation_in_windows_is_that_of_whole_documents);
    tcase_add_test(cases, test_batches_of_an_update_go_on_from_one_another);
    tcase_add_test(cases, test_memory_grows_by_what_is_carried_alone);
    tcase_add_loop_test(cases, test_a_run_that_goes_on_has_the_bits_of_one_that_was_not_interrupted,
                        0, KINDS);
    tcase_add_test(cases, test_a_bad_step_leaves_what_is_carried_as_it_was);
    tcase_add_loop_test(cases, test_recorded_updates_have_the_bits_of_others, 0, 2);
    tcase_add_loop_test(cases, test_a_bad_step_is_repeated_from_its_file, 0, 2);
    tcase_add_test(cases, test_the_file_of_a_bad_step_has_what_its_batch_began_with);
    tcase_add_test(cases, test_what_cannot_be_carried_is_refused);
    tcase_add_test(cases, test_a_loss_has_to_carry_on_what_it_was_given);
    tcase_add_test(cases, test_a_checkpoint_without_what_is_carried_is_refused);
    return suite;
}

MT_TEST_MAIN(carry_suite)
