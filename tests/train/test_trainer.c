/* The trainer against a loop by hand, what it saves, what it refuses, and what it says of values
 * that are not finite. */
#include <mixtape/linear.h>
#include <mixtape/self_attention.h>
#include <mixtape/trainer.h>

#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

#include "io/checkpoint_file.h"
#include "kernels/device.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { B = 2, T = 6, S = 4, MOST_UPDATES = 16 };

/* A SelfAttention of a program's own, and a head of classes. */
typedef struct own_model {
    mt_parameters *parameters;
    mt_self_attention attention;
    mt_linear_layer head;
    bool classes;    /* the loss is cross-entropy, with counts */
    int64_t failing; /* the batch that cannot be made; -1: none */
    int64_t bad;     /* the batch whose input is not finite; -1: none */
} own_model;

static own_model make_model(bool classes)
{
    own_model model = {.classes = classes, .failing = -1, .bad = -1};
    const mt_self_attention_config config = mt_self_attention_config_default(S, T);
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &model.parameters), MT_OK);
    mt_self_attention_init(&model.attention, model.parameters, "att.", &config);
    mt_linear_init(&model.head, model.parameters, "head.", S, S, true);
    ck_assert_msg(mt_parameters_allocate(model.parameters, 3) == MT_OK, "%s", mt_error_message());
    return model;
}

/* Batches of T and of T - 1 steps take turns, so that shapes repeat and differ. */
static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    const own_model *model = context;
    float x[B * T * S], y[B * T * S];
    int32_t labels[B * T];
    int64_t length = T - index % 2;
    mt_random random = mt_random_make(11, (uint64_t)index);
    for (int i = 0; i < B * T * S; i++) {
        x[i] = (float)(2.0 * mt_random_uniform(&random) - 1.0);
        y[i] = i >= S ? x[i - S] : 0.0f;
    }
    for (int i = 0; i < B * T; i++) {
        labels[i] = i % 5 == 0 ? -1 : (int32_t)mt_random_below(&random, S);
    }
    if (index == model->bad) {
        x[7] = INFINITY;
    }
    if (index == model->failing) {
        mt_tape_fail(tape, mt_fail(MT_ERROR_IO, "no batch %d", (int)index));
        return;
    }
    batch->input = mt_tape_sequence(tape, MT_F32, B, length, S, x);
    batch->target = model->classes ? mt_tape_labels(tape, B, length, labels)
                                   : mt_tape_sequence(tape, MT_F32, B, length, S, y);
    batch->others[0] = mt_tape_sequence(tape, MT_F32, B, length, S, y);
    batch->others[MT_BATCH_OTHERS - 1] = mt_tape_sequence(tape, MT_F32, B, length, S, x);
}

static mt_tensor *loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    const own_model *model = context;
    mt_tensor *x = mt_self_attention_forward(tape, &model->attention, batch->input, NULL);
    mt_tensor *y = mt_linear_forward(tape, &model->head, mt_dropout(tape, x, 0.1));
    if (model->classes) {
        return mt_cross_entropy(tape, y, batch->target, -1, 0.0, counts);
    }
    y = mt_subtract(tape, y, mt_scale(tape, batch->others[0], 0.1));
    y = mt_add(tape, y, mt_scale(tape, batch->others[MT_BATCH_OTHERS - 1], 0.1));
    return mt_mean_square(tape, y, batch->target);
}

static mt_trainer_config config_of(int64_t accumulate, bool record)
{
    mt_trainer_config config = mt_trainer_config_default();
    config.adam.clip = 0.5;
    config.adam.weight_decay = 0.01;
    config.schedule.kind = MT_COSINE;
    config.schedule.lr = 0.05;
    config.schedule.warmup = 2;
    config.schedule.steps = 9;
    config.accumulate = accumulate;
    config.record = record;
    return config;
}

static mt_trainer *make_trainer(own_model *model, const mt_trainer_config *config)
{
    mt_trainer *trainer;
    const mt_objective objective = {put, loss, model};
    ck_assert_msg(mt_trainer_create(model->parameters, config, &objective, &trainer) == MT_OK, "%s",
                  mt_error_message());
    return trainer;
}

/* The results of a run, and the values that it ended with. */
typedef struct run_result {
    int count;
    mt_update updates[MOST_UPDATES];
    float *values;
    size_t bytes;
    mt_trainer *trainer;
    int64_t stop_at; /* the trainer is stopped after this update; */
    int64_t fail_at; /* or this one fails */
} run_result;

static mt_status note(void *context, const mt_update *update)
{
    run_result *result = context;
    ck_assert_int_lt(result->count, MOST_UPDATES);
    result->updates[result->count++] = *update;
    if (update->step == result->stop_at) {
        mt_trainer_stop(result->trainer);
    }
    return update->step == result->fail_at ? mt_fail(MT_ERROR_IO, "the disk is full") : MT_OK;
}

static void read_values(const own_model *model, run_result *result)
{
    result->bytes = (size_t)model->parameters->total * sizeof(float);
    result->values = malloc(result->bytes);
    ck_assert_int_eq(
        mt_device_read(test_device, result->values, model->parameters->data, result->bytes), MT_OK);
}

/* With a bad batch, which is skipped, or without (-1). */
static run_result run_with(bool classes, int64_t accumulate, bool record, int64_t last, int64_t bad)
{
    own_model model = make_model(classes);
    mt_trainer_config config = config_of(accumulate, record);
    model.bad = bad;
    config.on_bad_step = MT_BAD_STEP_SKIP;
    run_result result = {.trainer = make_trainer(&model, &config)};
    ck_assert_msg(mt_trainer_run(result.trainer, last, note, &result) == MT_OK, "%s",
                  mt_error_message());
    ck_assert_int_eq(mt_trainer_pending(result.trainer), 0);
    const mt_train_state *state = mt_trainer_state(result.trainer);
    ck_assert_int_eq(state->step, last);
    int64_t symbols = 0;
    for (int i = 0; i < result.count; i++) {
        symbols += result.updates[i].skipped == NULL ? result.updates[i].symbols : 0;
    }
    ck_assert_int_eq(state->skipped, bad >= 0);
    ck_assert_int_eq(state->symbols, symbols);
    read_values(&model, &result);
    mt_trainer_destroy(result.trainer);
    mt_parameters_destroy(model.parameters);
    return result;
}

static run_result run(bool classes, int64_t accumulate, bool record, int64_t last)
{
    return run_with(classes, accumulate, record, last, -1);
}

/* The same, written down with a tape and Adam. */
static run_result run_by_hand_with(bool classes, int64_t accumulate, int64_t last, int64_t bad)
{
    own_model model = make_model(classes);
    mt_trainer_config config = config_of(accumulate, false);
    run_result result = {.count = 0};
    mt_adam *adam;
    ck_assert_int_eq(mt_adam_create(model.parameters, config.adam, &adam), MT_OK);
    for (int64_t step = 1; step <= last; step++) {
        mt_update *update = &result.updates[result.count++];
        double hits = 0.0, counted = 0.0;
        mt_parameters_zero_grad(model.parameters);
        for (int64_t i = 0; i < accumulate; i++) {
            mt_batch batch = {NULL};
            mt_tensor *counts = NULL;
            double value, rows[2];
            int64_t index = (step - 1) * accumulate + i;
            mt_tape_reset(test_tape);
            mt_tape_set_random(test_tape, ~config.seed, (uint64_t)index);
            put(&model, test_tape, index, &batch);
            mt_tensor *one = loss(&model, test_tape, &batch, &counts);
            ck_assert_int_eq(mt_backward(test_tape, one), MT_OK);
            ck_assert_int_eq(mt_tensor_read_doubles(one, &value), MT_OK);
            update->loss += value / (double)accumulate;
            update->symbols += B * batch.input->shape[1];
            if (counts != NULL) {
                ck_assert_int_eq(mt_tensor_read_doubles(counts, rows), MT_OK);
                counted += rows[0];
                hits += rows[1];
            }
        }
        update->step = step;
        update->lr = mt_schedule_lr(&config.schedule, step);
        update->accuracy = hits / counted;
        if (bad >= 0 && step == bad / accumulate + 1) { /* as if there were no such step */
            continue;
        }
        ck_assert_int_eq(
            mt_adam_step(adam, update->lr, 1.0 / (double)accumulate, &update->grad_norm), MT_OK);
    }
    read_values(&model, &result);
    mt_adam_destroy(adam);
    mt_parameters_destroy(model.parameters);
    return result;
}

static run_result run_by_hand(bool classes, int64_t accumulate, int64_t last)
{
    return run_by_hand_with(classes, accumulate, last, -1);
}

static void check_same(const run_result *a, const run_result *b)
{
    ck_assert_int_eq(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        const mt_update *x = &a->updates[i], *y = &b->updates[i];
        ck_assert_int_eq(x->step, i + 1);
        ck_assert_int_eq(x->step, y->step);
        ck_assert_int_eq(x->symbols, y->symbols);
        ck_assert_double_eq(x->lr, y->lr);
        if (x->skipped != NULL) {
            continue;
        }
        ck_assert_double_eq_tol(x->loss, y->loss, 1e-15 * fabs(y->loss));
        ck_assert_double_eq(x->grad_norm, y->grad_norm);
        ck_assert(x->accuracy == y->accuracy || (isnan(x->accuracy) && isnan(y->accuracy)));
    }
    ck_assert_mem_eq(a->values, b->values, a->bytes);
}

START_TEST(test_a_run_is_the_loop_by_hand)
{
    for (int classes = 0; classes < 2; classes++) {
        for (int64_t accumulate = 1; accumulate <= 3; accumulate += 2) {
            run_result whole = run(classes, accumulate, false, 7);
            run_result by_hand = run_by_hand(classes, accumulate, 7);
            check_same(&whole, &by_hand);
            free(whole.values);
            free(by_hand.values);
        }
    }
}
END_TEST

/* More batches than the device has slots for. */
START_TEST(test_an_update_may_have_any_number_of_batches)
{
    run_result whole = run(true, MT_READ_SLOTS + 3, false, 2);
    run_result by_hand = run_by_hand(true, MT_READ_SLOTS + 3, 2);
    check_same(&whole, &by_hand);
    free(whole.values);
    free(by_hand.values);
}
END_TEST

START_TEST(test_recorded_updates_are_the_same)
{
    for (int64_t accumulate = 1; accumulate <= 2; accumulate++) {
        run_result recorded = run(true, accumulate, true, 9);
        run_result plain = run(true, accumulate, false, 9);
        check_same(&recorded, &plain);
        free(recorded.values);
        free(plain.values);
    }
}
END_TEST

static int replays;
static mt_status (*replay)(mt_device *device, mt_recording *recording);

static mt_status count_replay(mt_device *device, mt_recording *recording)
{
    replays++;
    return replay(device, recording);
}

START_TEST(test_updates_of_one_batch_are_recorded_where_a_device_can)
{
    if (test_device->record == NULL) {
        return;
    }
    replay = test_device->replay;
    test_device->replay = count_replay;
    for (int record = 0; record < 2; record++) {
        for (int64_t accumulate = 1; accumulate <= 2; accumulate++) {
            replays = 0;
            run_result result = run(true, accumulate, record == 1, 9);
            free(result.values);
            ck_assert_int_eq(replays > 0, record == 1 && accumulate == 1);
        }
    }
    test_device->replay = replay;
}
END_TEST

/* All of a batch but its first other tensor, with the values `x` (B, T, S). */
static void put_same(mt_tape *tape, mt_batch *batch, float *x)
{
    for (int i = 0; i < B * T * S; i++) {
        x[i] = (float)(i % 7);
    }
    batch->input = mt_tape_sequence(tape, MT_F32, B, T, S, x);
    batch->target = mt_tape_sequence(tape, MT_F32, B, T, S, x);
}

/* Batches that differ in the shape of their first other tensor alone, which stands last on the
 * tape: the rest has the same places. */
static void put_varying(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)context;
    float x[B * T * S];
    put_same(tape, batch, x);
    batch->others[0] = mt_tape_sequence(tape, MT_F32, 1, T - index % 2, S, x);
}

/* Batches of one shape, whose first other tensor stands behind another in turn. */
static void put_in_turns(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)context;
    float x[B * T * S];
    put_same(tape, batch, x);
    if (index % 2 == 1) {
        mt_tape_sequence(tape, MT_F32, B, T, S, x);
        x[0] = 70.0F;
    }
    batch->others[0] = mt_tape_sequence(tape, MT_F32, B, T, S, x);
}

static mt_tensor *loss_varying(void *context, mt_tape *tape, const mt_batch *batch,
                               mt_tensor **counts)
{
    (void)counts;
    const own_model *model = context;
    mt_tensor *y = mt_self_attention_forward(tape, &model->attention, batch->input, NULL);
    return mt_add(tape, mt_mean_square(tape, y, batch->target), mt_mean(tape, batch->others[0]));
}

static void check_recorded_is_plain(void (*put_batch)(void *, mt_tape *, int64_t, mt_batch *))
{
    run_result results[2] = {{0}};
    for (int record = 0; record < 2; record++) {
        own_model model = make_model(false);
        const mt_trainer_config config = config_of(1, record == 1);
        const mt_objective objective = {put_batch, loss_varying, &model};
        mt_trainer *trainer;
        ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer), MT_OK);
        ck_assert_int_eq(mt_trainer_run(trainer, 6, note, &results[record]), MT_OK);
        read_values(&model, &results[record]);
        mt_trainer_destroy(trainer);
        mt_parameters_destroy(model.parameters);
    }
    check_same(&results[0], &results[1]);
    free(results[0].values);
    free(results[1].values);
}

START_TEST(test_a_recorded_update_is_for_the_shapes_of_all_its_tensors)
{
    check_recorded_is_plain(put_varying);
}
END_TEST

START_TEST(test_a_recorded_update_is_for_the_places_of_all_its_tensors)
{
    check_recorded_is_plain(put_in_turns);
}
END_TEST

/* Labels of a table: of every fifth batch three, which also takes all of it, else two. */
static void put_labels(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)context;
    const int32_t labels[] = {(int32_t)(index % 6), (int32_t)((5 * index + 1) % 6), 0};
    batch->input = mt_tape_labels(tape, 1, index % 5 == 4 ? 3 : 2, labels);
}

static mt_tensor *loss_of_table(void *context, mt_tape *tape, const mt_batch *batch,
                                mt_tensor **counts)
{
    (void)counts;
    const mt_parameters *parameters = context;
    mt_tensor *table = &parameters->items[0]->tensor;
    mt_tensor *all = mt_sum(tape, mt_multiply(tape, table, table));
    mt_tensor *rows = mt_sum(tape, mt_embedding(tape, batch->input, table, -1));
    return batch->input->shape[1] == 3 ? mt_add(tape, all, rows) : rows;
}

/* Updates of a table of a program's own, which writes the gradient, too, and says so. */
static void train_table(bool record, run_result *result)
{
    mt_parameters *parameters;
    mt_trainer *trainer;
    const mt_trainer_config config = config_of(1, record);
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &parameters), MT_OK);
    mt_parameters_add(parameters, "", "table", 2, (int64_t[]){6, 4}, mt_initial_constant(1.0));
    mt_parameters_set_table(parameters);
    ck_assert_int_eq(mt_parameters_allocate(parameters, 1), MT_OK);
    const mt_objective objective = {put_labels, loss_of_table, parameters};
    ck_assert_int_eq(mt_trainer_create(parameters, &config, &objective, &trainer), MT_OK);
    for (int64_t last = 1; last <= 9; last++) {
        ck_assert_int_eq(mt_trainer_run(trainer, last, note, result), MT_OK);
        if (last == 3) {
            const float written[6 * 4] = {100.0F, 100.0F, [23] = 100.0F};
            ck_assert_int_eq(
                test_device->write(test_device, parameters->grad, written, sizeof written), MT_OK);
            mt_parameters_zero_grad(parameters);
        }
    }
    own_model model = {.parameters = parameters};
    read_values(&model, result);
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(parameters);
}

/* An update of two labels has a gradient of 8 ones: the fourth too, before which all was written,
 * and the seventh, behind one that takes the whole table. */
START_TEST(test_a_recorded_update_knows_what_was_written_to_a_table)
{
    run_result plain = {0}, recorded = {0};
    train_table(false, &plain);
    train_table(true, &recorded);
    check_same(&plain, &recorded);
    ck_assert_double_eq_tol(plain.updates[3].grad_norm, sqrt(8.0), 1e-6);
    ck_assert_double_eq_tol(plain.updates[6].grad_norm, sqrt(8.0), 1e-6);
    free(plain.values);
    free(recorded.values);
}
END_TEST

static mt_status (*plain_allocate)(mt_device *device, size_t bytes, void **memory);
static int allocations;

static mt_status counting_allocate(mt_device *device, size_t bytes, void **memory)
{
    allocations++;
    return plain_allocate(device, bytes, memory);
}

START_TEST(test_later_updates_allocate_nothing)
{
    own_model model = make_model(true);
    mt_trainer_config config = config_of(1, true);
    mt_trainer *trainer = make_trainer(&model, &config);
    ck_assert_int_eq(mt_trainer_run(trainer, 2, NULL, NULL), MT_OK); /* either length once */
    plain_allocate = test_device->allocate;
    test_device->allocate = counting_allocate;
    ck_assert_int_eq(mt_trainer_run(trainer, 9, NULL, NULL), MT_OK);
    ck_assert_int_eq(allocations, 0);
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(model.parameters);
}
END_TEST

START_TEST(test_a_stopped_run_goes_on_where_it_was)
{
    own_model model = make_model(true);
    mt_trainer_config config = config_of(1, true);
    run_result result = {.trainer = make_trainer(&model, &config), .stop_at = 3};
    ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_OK);
    int64_t ended = mt_trainer_state(result.trainer)->step;
    ck_assert_int_ge(ended, 3);
    ck_assert_int_eq(ended, result.count);
    if (test_device->record == NULL) { /* nothing runs behind */
        ck_assert_int_eq(ended, 3);
    }
    ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_OK);
    read_values(&model, &result);
    run_result whole = run(true, 1, true, 9);
    check_same(&result, &whole);
    free(whole.values);
    free(result.values);
    mt_trainer_destroy(result.trainer);
    mt_parameters_destroy(model.parameters);
}
END_TEST

/* What a child's run from update 4 on comes to: the bits of `whole`, or, on a device that serves no
 * child, an error. */
static bool child_trains(run_result *result, const own_model *model, const run_result *whole)
{
    mt_status status = mt_trainer_run(result->trainer, 9, note, result);
    if (strcmp(mt_device_name(test_device), "cpu") != 0) {
        return status == MT_ERROR_DEVICE;
    }
    read_values(model, result);
    return status == MT_OK && memcmp(result->values, whole->values, whole->bytes) == 0;
}

/* On one thread: a fork while others begin finds the address sanitizer's locks taken, and
 * kernels/test_team has them. */
START_TEST(test_a_child_of_fork_goes_on_to_the_same_bits_or_is_told)
{
    mt_cpu_set_threads(1);
    own_model model = make_model(true);
    mt_trainer_config config = config_of(1, true);
    run_result result = {.trainer = make_trainer(&model, &config)};
    run_result whole = run(true, 1, true, 9);
    int status;
    ck_assert_int_eq(mt_trainer_run(result.trainer, 4, note, &result), MT_OK);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        _exit(child_trains(&result, &model, &whole) ? 7 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_OK);
    read_values(&model, &result);
    check_same(&result, &whole);
    free(result.values);
    free(whole.values);
    mt_trainer_destroy(result.trainer);
    mt_parameters_destroy(model.parameters);
    mt_cpu_set_threads(0);
}
END_TEST

START_TEST(test_the_first_failure_sticks)
{
    own_model model = make_model(false);
    mt_trainer_config config = config_of(1, true);
    run_result result = {.trainer = make_trainer(&model, &config), .fail_at = 2};
    ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_ERROR_IO);
    ck_assert_str_eq(mt_error_message(), "the disk is full");
    ck_assert_int_eq(result.count, 2);
    mt_fail(MT_ERROR_INVALID, "another");
    ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_ERROR_IO);
    ck_assert_str_eq(mt_error_message(), "the disk is full");
    ck_assert_int_eq(mt_trainer_save(result.trainer, "/nowhere/checkpoint.h5"), MT_ERROR_IO);
    ck_assert_str_eq(mt_error_message(), "the disk is full");
    mt_trainer_destroy(result.trainer);

    model.failing = 4;
    mt_trainer *trainer = make_trainer(&model, &config);
    ck_assert_int_eq(mt_trainer_run(trainer, 9, NULL, NULL), MT_ERROR_IO);
    ck_assert_str_eq(mt_error_message(), "step 5: no batch 4");
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(model.parameters);
}
END_TEST

/* Sets one value of a parameter. */
static void set_value(own_model *model, const char *name, float value)
{
    mt_parameter *parameter = mt_parameters_find(model->parameters, name);
    float values[S * S];
    ck_assert_int_eq(mt_tensor_read(&parameter->tensor, values), MT_OK);
    values[1] = value;
    ck_assert_int_eq(mt_tensor_write(&parameter->tensor, values), MT_OK);
}

static const char *checkpoint_file(char path[64])
{
    snprintf(path, 64, "/tmp/mixtape-trainer-%d.h5", (int)getpid());
    return path;
}

START_TEST(test_a_run_that_was_saved_goes_on_to_the_same_bits)
{
    char path[64];
    for (int64_t accumulate = 1; accumulate <= 2; accumulate++) {
        own_model first = make_model(true), second = make_model(true);
        mt_trainer_config config = config_of(accumulate, true);
        run_result result = {.trainer = make_trainer(&first, &config)};
        ck_assert_int_eq(mt_trainer_run(result.trainer, 4, note, &result), MT_OK);
        mt_trainer_state(result.trainer)->seconds = 2.5;
        ck_assert_msg(mt_trainer_save(result.trainer, checkpoint_file(path)) == MT_OK, "%s",
                      mt_error_message());
        mt_trainer_destroy(result.trainer);

        set_value(&second, "head.bias", 7.0f);
        result.trainer = make_trainer(&second, &config);
        ck_assert_msg(mt_trainer_load(result.trainer, path) == MT_OK, "%s", mt_error_message());
        ck_assert_int_eq(mt_trainer_state(result.trainer)->step, 4);
        ck_assert_double_eq(mt_trainer_state(result.trainer)->seconds, 2.5);
        ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_OK);
        read_values(&second, &result);
        run_result whole = run(true, accumulate, true, 9);
        check_same(&result, &whole);
        free(whole.values);
        free(result.values);
        mt_trainer_destroy(result.trainer);
        mt_parameters_destroy(first.parameters);
        mt_parameters_destroy(second.parameters);
    }
    unlink(path);
}
END_TEST

/* Loads what does not fit; the parameters stay as they are. */
static void refuse(own_model *model, const char *path, mt_status expected, const char *message)
{
    mt_trainer_config config = config_of(1, true);
    mt_trainer *trainer = make_trainer(model, &config);
    run_result before = {0}, after = {0};
    read_values(model, &before);
    ck_assert_int_eq(mt_trainer_load(trainer, path), expected);
    ck_assert_msg(strstr(mt_error_message(), message) != NULL, "%s", mt_error_message());
    read_values(model, &after);
    ck_assert_mem_eq(before.values, after.values, before.bytes);
    ck_assert_int_eq(mt_trainer_state(trainer)->step, 0);
    free(before.values);
    free(after.values);
    mt_trainer_destroy(trainer);
}

/* Of updates of one batch, of some, and of more than the device has slots for. */
START_TEST(test_a_batch_that_is_missing_is_asked_for_again)
{
    char path[64];
    static const int64_t counts[] = {1, 3, MT_READ_SLOTS + 3};
    for (int i = 0; i < 3; i++) {
        own_model model = make_model(true);
        mt_trainer_config config = config_of(counts[i], true);
        run_result result = {.trainer = make_trainer(&model, &config)};
        model.failing = 5 * counts[i] - 1; /* the last of update 5 */
        ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_ERROR_IO);
        ck_assert_msg(strstr(mt_error_message(), "step 5: no batch") != NULL, "%s",
                      mt_error_message());
        ck_assert_int_eq(result.count, 4); /* those that had begun are done */
        ck_assert_msg(mt_trainer_save(result.trainer, checkpoint_file(path)) == MT_OK, "%s",
                      mt_error_message());
        model.failing = -1;
        ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_OK);
        read_values(&model, &result);
        run_result whole = run(true, counts[i], true, 9);
        check_same(&result, &whole);
        free(whole.values);
        free(result.values);
        mt_trainer_destroy(result.trainer);
        mt_parameters_destroy(model.parameters);
    }
    unlink(path);
}
END_TEST

START_TEST(test_a_checkpoint_that_does_not_fit_changes_nothing)
{
    char path[64];
    own_model saved = make_model(false), other = make_model(false), more = {.failing = -1};
    mt_trainer_config config = config_of(1, true);
    mt_trainer *trainer = make_trainer(&saved, &config);
    ck_assert_int_eq(mt_trainer_run(trainer, 1, NULL, NULL), MT_OK);
    ck_assert_int_eq(mt_trainer_save(trainer, checkpoint_file(path)), MT_OK);

    mt_checkpoint *checkpoint; /* it holds no model */
    ck_assert_int_eq(mt_checkpoint_load(path, &checkpoint), MT_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "/model"));

    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &more.parameters), MT_OK);
    mt_linear_init(&more.head, more.parameters, "head.", S, S, true);
    ck_assert_int_eq(mt_parameters_allocate(more.parameters, 1), MT_OK);
    refuse(&more, path, MT_ERROR_FORMAT, "att.");
    mt_parameters_destroy(more.parameters);
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &more.parameters), MT_OK);
    mt_linear_init(&more.head, more.parameters, "head.", S, S + 1, true);
    ck_assert_int_eq(mt_parameters_allocate(more.parameters, 1), MT_OK);
    refuse(&more, path, MT_ERROR_FORMAT, "head.weight");
    mt_parameters_destroy(more.parameters);

    ck_assert_int_eq(mt_trainer_save_parameters(trainer, path), MT_OK);
    set_value(&other, "head.bias", 7.0f);
    run_result saved_values = {0}, loaded = {0};
    read_values(&saved, &saved_values);
    ck_assert_int_eq(mt_parameters_load(path, other.parameters), MT_OK);
    read_values(&other, &loaded);
    ck_assert_mem_eq(saved_values.values, loaded.values, loaded.bytes);
    free(saved_values.values);
    free(loaded.values);
    refuse(&other, path, MT_ERROR_INVALID, "no optimiser state");
    unlink(path);
    refuse(&other, path, MT_ERROR_IO, path);
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(saved.parameters);
    mt_parameters_destroy(other.parameters);
}
END_TEST

START_TEST(test_what_is_not_finite_is_named)
{
    own_model model = make_model(false);
    mt_trainer_config config = config_of(1, true);
    mt_trainer *trainer = make_trainer(&model, &config);
    set_value(&model, "att.proj_value.bias", NAN);
    ck_assert_int_eq(mt_trainer_run(trainer, 9, NULL, NULL), MT_ERROR_NUMERIC);
    ck_assert_str_eq(mt_error_message(),
                     "step 1: the loss is nan; element 1 of att.proj_value.bias (4) is nan");
    mt_trainer_destroy(trainer);

    /* The square of a bias that is finite need not be. */
    set_value(&model, "att.proj_value.bias", 0.0f);
    trainer = make_trainer(&model, &config);
    ck_assert_int_eq(mt_trainer_run(trainer, 1, NULL, NULL), MT_OK);
    set_value(&model, "head.bias", 3e38f);
    ck_assert_int_eq(mt_trainer_run(trainer, 2, NULL, NULL), MT_ERROR_NUMERIC);
    ck_assert_msg(strstr(mt_error_message(), "step 2: the loss is inf") != NULL, "%s",
                  mt_error_message());
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "; forward: element 0 of the output of "));
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(model.parameters);
}
END_TEST

/* Of projections that are made together each has its name. */
START_TEST(test_a_projection_that_is_not_finite_is_named)
{
    static const char *const names[] = {"key", "value"};
    for (int i = 0; i < 2; i++) {
        own_model model = make_model(false);
        mt_trainer_config config = config_of(1, true);
        char weight[64], says[64];
        float large[S * S];
        snprintf(weight, sizeof weight, "att.proj_%s.weight", names[i]);
        snprintf(says, sizeof says, " (2, 6, 4) is inf (layer att.proj_%s)", names[i]);
        for (int n = 0; n < S * S; n++) {
            large[n] = 3e38f;
        }
        mt_parameter *parameter = mt_parameters_find(model.parameters, weight);
        ck_assert_int_eq(mt_tensor_write(&parameter->tensor, large), MT_OK);
        mt_trainer *trainer = make_trainer(&model, &config);
        ck_assert_int_eq(mt_trainer_run(trainer, 9, NULL, NULL), MT_ERROR_NUMERIC);
        ck_assert_msg(strstr(mt_error_message(), says) != NULL, "%s", mt_error_message());
        ck_assert_ptr_nonnull(strstr(mt_error_message(), "of the output of linear_each"));
        mt_trainer_destroy(trainer);
        mt_parameters_destroy(model.parameters);
    }
}
END_TEST

/* Zero, with a slope that float32 does not hold. */
static mt_tensor *steep_loss(void *context, mt_tape *tape, const mt_batch *batch,
                             mt_tensor **counts)
{
    (void)counts;
    const own_model *model = context;
    mt_tensor *y = mt_linear_forward(tape, &model->head, batch->input);
    return mt_mean(tape, mt_scale(tape, mt_scale(tape, y, 1e25), 1e25));
}

START_TEST(test_a_gradient_that_is_not_finite_is_named_and_changes_nothing)
{
    own_model model = make_model(false);
    mt_trainer_config config = config_of(1, true);
    const mt_objective objective = {put, steep_loss, &model};
    const float zeros[S * S] = {0.0f};
    mt_trainer *trainer;
    run_result before = {0}, after = {0};
    ck_assert_int_eq(mt_tensor_write(model.head.weight, zeros), MT_OK);
    ck_assert_int_eq(mt_tensor_write(model.head.bias, zeros), MT_OK);
    read_values(&model, &before);
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_run(trainer, 1, NULL, NULL), MT_ERROR_NUMERIC);
    ck_assert_str_eq(mt_error_message(),
                     "step 1: adam: the gradient of head.weight is not finite; backward: element 0 "
                     "of the gradient of an input of scale (2, 6, 4) is inf (after every layer)");
    read_values(&model, &after);
    ck_assert_mem_eq(before.values, after.values, before.bytes);
    ck_assert_int_eq(mt_trainer_save(trainer, "/nowhere/checkpoint.h5"), MT_ERROR_IO);
    free(before.values);
    free(after.values);
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(model.parameters);
}
END_TEST

/* Zero, with a slope that float32 holds, but not its square. */
static mt_tensor *sloping_loss(void *context, mt_tape *tape, const mt_batch *batch,
                               mt_tensor **counts)
{
    (void)counts;
    const own_model *model = context;
    return mt_mean(tape, mt_scale(tape, mt_linear_forward(tape, &model->head, batch->input), 1e25));
}

static void put_first(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)index;
    put(context, tape, 0, batch);
}

static double squares_of(const mt_tensor *tensor)
{
    float grad[S * S];
    double sum = 0.0;
    ck_assert_int_eq(mt_tensor_read_grad(tensor, grad), MT_OK);
    for (int64_t i = 0; i < mt_tensor_count(tensor); i++) {
        sum += (double)grad[i] * (double)grad[i];
    }
    return sum;
}

START_TEST(test_a_norm_that_is_too_large_is_told_as_that_of_the_mean_over_batches)
{
    own_model model = make_model(false);
    const mt_objective objective = {put_first, sloping_loss, &model};
    mt_batch batch = {NULL};
    put(&model, test_tape, 0, &batch);
    ck_assert_int_eq(mt_backward(test_tape, sloping_loss(&model, test_tape, &batch, NULL)), MT_OK);
    double norm = sqrt(squares_of(model.head.weight) + squares_of(model.head.bias));
    for (int accumulate = 1; accumulate <= 2; accumulate++) {
        mt_trainer *trainer;
        mt_trainer_config config = config_of(accumulate, true);
        config.adam.clip = 0.0;
        ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer), MT_OK);
        ck_assert_int_eq(mt_trainer_run(trainer, 1, NULL, NULL), MT_ERROR_NUMERIC);
        const char *says = strstr(mt_error_message(), "norm is ");
        ck_assert_ptr_nonnull(says);
        ck_assert_double_eq_tol(strtod(says + strlen("norm is "), NULL), norm, 1e-5 * norm);
        mt_trainer_destroy(trainer);
    }
    mt_parameters_destroy(model.parameters);
}
END_TEST

START_TEST(test_a_bad_step_is_skipped_as_if_there_were_no_such_batch)
{
    for (int64_t accumulate = 1; accumulate <= 2; accumulate++) {
        for (int64_t bad = 0; bad < 9 * accumulate; bad += 4) {
            for (int record = 0; record < 2; record++) {
                run_result skipping = run_with(true, accumulate, record == 1, 9, bad);
                run_result by_hand = run_by_hand_with(true, accumulate, 9, bad);
                check_same(&skipping, &by_hand);
                for (int i = 0; i < 9; i++) {
                    ck_assert_int_eq(skipping.updates[i].skipped != NULL, i == bad / accumulate);
                }
                free(skipping.values);
                free(by_hand.values);
            }
        }
    }
}
END_TEST

/* Adam's moments, behind one another. */
static void read_moments(const mt_checkpoint *checkpoint, const own_model *model, float *moments)
{
    mt_adam *adam;
    size_t bytes = (size_t)model->parameters->total * sizeof(float);
    ck_assert_int_eq(mt_adam_create(model->parameters, checkpoint->adam, &adam), MT_OK);
    ck_assert_int_eq(mt_checkpoint_restore_own(checkpoint, model->parameters, adam), MT_OK);
    ck_assert_int_eq(test_device->read_back(test_device, moments, adam->m, bytes), MT_OK);
    ck_assert_int_eq(
        test_device->read_back(test_device, moments + model->parameters->total, adam->v, bytes),
        MT_OK);
    mt_adam_destroy(adam);
}

/* What a device had begun behind a bad step leaves no trace, and resuming counts the skipped. */
START_TEST(test_a_run_that_skipped_goes_on_from_its_checkpoint_to_the_same_bits)
{
    char path[64];
    own_model first = make_model(true), second = make_model(true);
    mt_trainer_config config = config_of(1, true);
    first.bad = second.bad = 2;
    config.on_bad_step = MT_BAD_STEP_SKIP;
    run_result result = {.trainer = make_trainer(&first, &config)};
    ck_assert_int_eq(mt_trainer_run(result.trainer, 5, note, &result), MT_OK);
    ck_assert_int_eq(mt_trainer_save(result.trainer, checkpoint_file(path)), MT_OK);
    mt_trainer_destroy(result.trainer);

    mt_checkpoint *checkpoint;
    ck_assert_int_eq(mt_checkpoint_load_own(path, second.parameters, &checkpoint), MT_OK);
    ck_assert_int_eq(checkpoint->state.step, 5);
    ck_assert_int_eq(checkpoint->state.skipped, 1);
    ck_assert_int_eq(checkpoint->adam_step, 4);
    size_t count = 2 * (size_t)second.parameters->total;
    float *moments = malloc(count * sizeof *moments);
    read_moments(checkpoint, &second, moments);
    for (size_t i = 0; i < count; i++) {
        ck_assert(isfinite(moments[i]));
    }
    free(moments);
    mt_checkpoint_destroy(checkpoint);

    result.trainer = make_trainer(&second, &config);
    ck_assert_int_eq(mt_trainer_load(result.trainer, path), MT_OK);
    ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_OK);
    read_values(&second, &result);
    run_result whole = run_with(true, 1, true, 9, 2);
    check_same(&result, &whole);
    free(result.values);
    free(whole.values);
    mt_trainer_destroy(result.trainer);
    mt_parameters_destroy(first.parameters);
    mt_parameters_destroy(second.parameters);
    unlink(path);
}
END_TEST

/* It ends with the values of the step before, whatever the device had begun. */
START_TEST(test_a_bad_step_is_an_error_and_changes_nothing)
{
    char path[64];
    for (int record = 0; record < 2; record++) {
        own_model model = make_model(true);
        mt_trainer_config config = config_of(1, record == 1);
        model.bad = 3;
        run_result result = {.trainer = make_trainer(&model, &config)};
        ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_ERROR_NUMERIC);
        ck_assert_str_eq(
            mt_error_message(),
            "step 4: the loss is nan; element 7 of the batch's input (2, 5, 4) is inf");
        ck_assert_int_eq(mt_trainer_pending(result.trainer), 0);
        ck_assert_int_eq(mt_trainer_run(result.trainer, 9, note, &result), MT_ERROR_NUMERIC);
        ck_assert_int_eq(mt_trainer_save(result.trainer, checkpoint_file(path)), MT_OK);
        mt_trainer_destroy(result.trainer);
        config.on_bad_step = MT_BAD_STEP_SKIP;
        result.trainer = make_trainer(&model, &config);
        ck_assert_int_eq(mt_trainer_load(result.trainer, path), MT_OK);
        ck_assert_int_eq(mt_trainer_state(result.trainer)->step, 3);
        read_values(&model, &result);
        run_result before = run(true, 1, record == 1, 3);
        check_same(&result, &before);
        free(result.values);
        free(before.values);
        mt_trainer_destroy(result.trainer);
        mt_parameters_destroy(model.parameters);
        unlink(path);
    }
}
END_TEST

START_TEST(test_no_more_bad_steps_are_skipped_than_may_be)
{
    own_model model = make_model(false);
    mt_trainer_config config = config_of(1, true);
    const mt_objective objective = {put, steep_loss, &model};
    mt_trainer *trainer;
    config.on_bad_step = MT_BAD_STEP_SKIP;
    config.bad_steps = 2;
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_run(trainer, 9, NULL, NULL), MT_ERROR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "step 3: "));
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "2 steps were skipped before"));
    ck_assert_int_eq(mt_trainer_state(trainer)->step, 2);
    mt_trainer_destroy(trainer);

    config.bad_steps = -1;
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer),
                     MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "trainer: bad_steps is -1, not 0 or more");
    config.bad_steps = 5; /* a parameter that is not finite stays so */
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer), MT_OK);
    set_value(&model, "head.bias", INFINITY);
    ck_assert_int_eq(mt_trainer_run(trainer, 9, NULL, NULL), MT_ERROR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "step 1: "));
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "; element 1 of head.bias (4) is inf"));
    ck_assert_int_eq(mt_trainer_save(trainer, "not-made.h5"), MT_ERROR_NUMERIC);
    ck_assert_int_eq(access("not-made.h5", F_OK), -1);
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(model.parameters);
}
END_TEST

/* The loss, and it alone, is not a number where batches say so. */
static mt_tensor *loss_beside(void *context, mt_tape *tape, const mt_batch *batch,
                              mt_tensor **counts)
{
    const own_model *model = context;
    (void)counts;
    mt_tensor *y = mt_linear_forward(tape, &model->head, batch->target);
    return mt_add(tape, mt_mean(tape, y), mt_mean(tape, batch->input));
}

START_TEST(test_a_loss_that_alone_is_not_finite_changes_nothing)
{
    own_model model = make_model(false);
    mt_trainer_config config = config_of(1, true);
    const mt_objective objective = {put, loss_beside, &model};
    mt_trainer *trainer;
    run_result before = {0}, after = {0};
    model.bad = 0;
    read_values(&model, &before);
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_run(trainer, 9, NULL, NULL), MT_ERROR_NUMERIC);
    ck_assert_str_eq(mt_error_message(),
                     "step 1: the loss is inf; element 7 of the batch's input (2, 6, 4) is inf");
    read_values(&model, &after);
    ck_assert_mem_eq(before.values, after.values, before.bytes);
    free(before.values);
    free(after.values);
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(model.parameters);
}
END_TEST

/* On parameters and a tape of its own; without the batch that the file holds, all is well. */
START_TEST(test_a_bad_step_that_was_kept_is_repeated)
{
    char path[64];
    own_model model = make_model(true), other = make_model(true);
    mt_trainer_config config = config_of(1, true);
    const mt_objective objective = {put, loss, &other};
    mt_replayed replayed;
    run_result before = {0}, after = {0};
    model.bad = 3;
    config.replay_file = checkpoint_file(path);
    mt_trainer *trainer = make_trainer(&model, &config);
    ck_assert_int_eq(mt_trainer_run(trainer, 9, NULL, NULL), MT_ERROR_NUMERIC);
    set_value(&other, "head.bias", 7.0f);
    ck_assert_msg(mt_replay(path, test_tape, &objective, other.parameters, &replayed) == MT_OK,
                  "%s", mt_error_message());
    ck_assert_int_eq(replayed.step, 4);
    ck_assert_int_eq(replayed.batch, 3);
    ck_assert(isnan(replayed.loss));
    ck_assert_str_eq(replayed.found, "element 7 of the batch's input (2, 5, 4) is inf");
    read_values(&model, &before);
    read_values(&other, &after);
    ck_assert_mem_eq(before.values, after.values, before.bytes);
    free(before.values);
    free(after.values);
    mt_trainer_destroy(trainer);

    model.bad = -1;
    trainer = make_trainer(&model, &config);
    ck_assert_int_eq(mt_trainer_save_parameters(trainer, path), MT_OK);
    ck_assert_int_eq(mt_replay(path, test_tape, &objective, other.parameters, &replayed),
                     MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "it holds no batch"));
    mt_trainer_destroy(trainer);

    /* A batch that is finite, of whose loss another objective makes too much. */
    const mt_objective steep = {put, steep_loss, &model}, steep_again = {put, steep_loss, &other};
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &steep, &trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_run(trainer, 1, NULL, NULL), MT_ERROR_NUMERIC);
    ck_assert_int_eq(mt_replay(path, test_tape, &steep_again, other.parameters, &replayed), MT_OK);
    ck_assert_str_eq(replayed.found,
                     "forward: element 0 of the output of scale (2, 6, 4) is -inf (after layer "
                     "head)");
    ck_assert_int_eq(mt_replay(path, test_tape, &objective, other.parameters, &replayed), MT_OK);
    ck_assert_str_eq(replayed.found, "");
    ck_assert(isfinite(replayed.loss));
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(model.parameters);
    mt_parameters_destroy(other.parameters);
    unlink(path);
}
END_TEST

/* A loss that the batches say: 1, with two that are 3 and 2. */
static void put_level(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)context;
    const float level = index == 5 ? 3.0f : index == 9 ? 2.0f : 1.0f;
    batch->input = mt_tape_sequence(tape, MT_F32, 1, 1, 1, &level);
}

static mt_tensor *level(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    const own_model *model = context;
    (void)counts;
    mt_tensor *nothing = mt_scale(tape, mt_mean(tape, model->head.bias), 0.0);
    return mt_add(tape, nothing, mt_mean(tape, batch->input));
}

static mt_status note_spikes(void *context, const mt_update *update)
{
    *(int64_t *)context += update->spike ? update->step : 0;
    return MT_OK;
}

START_TEST(test_a_loss_beyond_twice_the_average_is_a_spike)
{
    own_model model = make_model(false);
    mt_trainer_config config = config_of(1, true);
    const mt_objective objective = {put_level, level, &model};
    int64_t spikes = 0;
    mt_trainer *trainer;
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_run(trainer, 12, note_spikes, &spikes), MT_OK);
    const mt_train_state *state = mt_trainer_state(trainer);
    ck_assert_int_eq(spikes, 6); /* the update of batch 5 alone */
    ck_assert_int_eq(state->spikes, 1);
    ck_assert_double_gt(state->loss_average, 1.0);
    ck_assert_double_lt(state->loss_average, 1.0 + 2.0 / MT_SPIKE_WINDOW);
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(model.parameters);
}
END_TEST

/* A model's checkpoint, saved by one trainer, goes on in another and loads as a model. */
START_TEST(test_a_models_checkpoint_says_which_model)
{
    char path[64];
    mt_model_config shape = mt_model_config_default(5, S);
    mt_trainer_config config = config_of(1, true);
    mt_model *model, *other, *loaded;
    mt_trainer *trainer;
    mt_checkpoint *checkpoint;
    const mt_objective objective = {put, loss, NULL};
    shape.num_blocks = 1;
    ck_assert_int_eq(mt_model_create(test_device, MT_F32, &shape, 1, &model), MT_OK);
    ck_assert_int_eq(mt_model_create(test_device, MT_F32, &shape, 2, &other), MT_OK);
    ck_assert_int_eq(mt_trainer_create(model->parameters, &config, &objective, &trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_describe(trainer, other, NULL, NULL), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_trainer_describe(trainer, model, NULL, "task: none\n"), MT_OK);
    mt_trainer_state(trainer)->symbols = 77;
    ck_assert_msg(mt_trainer_save(trainer, checkpoint_file(path)) == MT_OK, "%s",
                  mt_error_message());
    mt_trainer_destroy(trainer);

    ck_assert_int_eq(mt_checkpoint_load(path, &checkpoint), MT_OK);
    ck_assert_str_eq(checkpoint->run_config, "task: none\n");
    ck_assert_int_eq(mt_weights_model(checkpoint->weights, test_device, &loaded), MT_OK);
    ck_assert_int_eq(mt_trainer_create(other->parameters, &config, &objective, &trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_describe(trainer, other, NULL, NULL), MT_OK);
    ck_assert_int_eq(mt_trainer_restore(trainer, checkpoint), MT_OK);
    ck_assert_int_eq(mt_trainer_state(trainer)->symbols, 77);
    size_t bytes = (size_t)model->parameters->total * sizeof(float);
    float *values[3] = {malloc(bytes), malloc(bytes), malloc(bytes)};
    const mt_model *models[3] = {model, other, loaded};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(mt_device_read(test_device, values[i], models[i]->parameters->data, bytes),
                         MT_OK);
        ck_assert_mem_eq(values[i], values[0], bytes);
    }
    for (int i = 0; i < 3; i++) {
        free(values[i]);
    }
    mt_checkpoint_destroy(checkpoint);
    mt_trainer_destroy(trainer);
    mt_model_destroy(model);
    mt_model_destroy(other);
    mt_model_destroy(loaded);
    unlink(path);
}
END_TEST

static void no_input(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)context;
    (void)tape;
    (void)index;
    (void)batch;
}

static mt_tensor *no_loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    (void)context;
    (void)tape;
    (void)batch;
    (void)counts;
    return NULL;
}

static mt_tensor *wide_loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    (void)context;
    (void)tape;
    (void)counts;
    return batch->input;
}

static mt_tensor *whole_loss(void *context, mt_tape *tape, const mt_batch *batch,
                             mt_tensor **counts)
{
    (void)context;
    (void)batch;
    (void)counts;
    const int32_t three = 3;
    return mt_tape_labels(tape, 1, 1, &three);
}

START_TEST(test_what_cannot_work_is_refused)
{
    own_model model = make_model(false);
    mt_trainer_config config = config_of(0, true);
    mt_objective objective = {put, loss, &model};
    mt_trainer *trainer;
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer),
                     MT_ERROR_INVALID);
    ck_assert_ptr_null(trainer);
    ck_assert_str_eq(mt_error_message(), "trainer: accumulate is 0, not 1 or more");
    config.accumulate = 1;
    config.schedule.lr = -1.0;
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer),
                     MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "-1"));

    config.schedule.lr = 1e-3;
    mt_update update;
    trainer = make_trainer(&model, &config);
    ck_assert_int_eq(mt_trainer_finish(trainer, &update), MT_ERROR_INVALID);
    while (mt_trainer_has_room(trainer)) {
        ck_assert_int_eq(mt_trainer_begin(trainer), MT_OK);
    }
    ck_assert_int_eq(mt_trainer_begin(trainer), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_trainer_save(trainer, "/nowhere/checkpoint.h5"), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "at work"));
    ck_assert_int_eq(mt_trainer_finish(trainer, &update), MT_OK);
    ck_assert_int_eq(update.step, 1);
    mt_trainer_destroy(trainer);

    objective.put = no_input;
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_run(trainer, 1, NULL, NULL), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "step 1: batch 0 has no input (B, T, ...)");
    mt_trainer_destroy(trainer);
    objective.put = put;
    objective.loss = no_loss;
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_run(trainer, 1, NULL, NULL), MT_ERROR_INVALID);
    mt_trainer_destroy(trainer);
    mt_evaluation found;
    ck_assert_int_eq(mt_evaluate(test_tape, &objective, 0, &found), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "nothing is counted in 0 batches");
    objective.put = no_input;
    ck_assert_int_eq(mt_evaluate(test_tape, &objective, 1, &found), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "batch 0 has no input (B, T, ...)");
    objective.put = put;
    objective.loss = wide_loss;
    ck_assert_int_eq(mt_evaluate(test_tape, &objective, 1, &found), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "the loss has shape (2, 6, 4), where 1 is expected");
    objective.loss = whole_loss;
    ck_assert_int_eq(mt_evaluate(test_tape, &objective, 1, &found), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "the loss is i32, where f32 is expected");
    objective.loss = NULL;
    ck_assert_int_eq(mt_trainer_create(model.parameters, &config, &objective, &trainer),
                     MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "trainer: the objective has no loss");
    mt_parameters *empty;
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &empty), MT_OK);
    ck_assert_int_eq(mt_trainer_create(empty, &config, &objective, &trainer), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "trainer: the parameters have not been allocated");
    mt_parameters_destroy(empty);
    objective.loss = no_loss;
    ck_assert_int_eq(mt_evaluate(test_tape, &objective, 1, &found), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "the batch has no loss");
    mt_parameters_destroy(model.parameters);
}
END_TEST

static bool has_recorded;

static mt_tensor *watched_loss(void *context, mt_tape *tape, const mt_batch *batch,
                               mt_tensor **counts)
{
    has_recorded = has_recorded || mt_tape_recording(tape);
    return loss(context, tape, batch, counts);
}

START_TEST(test_an_evaluation_records_nothing)
{
    own_model model = make_model(0);
    mt_objective objective = {put, watched_loss, &model};
    mt_evaluation found;
    has_recorded = false;
    ck_assert_int_eq(mt_evaluate(test_tape, &objective, 2, &found), MT_OK);
    ck_assert(!has_recorded);
    ck_assert(mt_tape_recording(test_tape)); /* as before */
    mt_parameters_destroy(model.parameters);
}
END_TEST

/* Each batch counts as its rows do. */
START_TEST(test_an_evaluation_is_the_mean_of_what_is_counted)
{
    for (int classes = 0; classes < 2; classes++) {
        own_model model = make_model(classes);
        mt_objective objective = {put, loss, &model};
        mt_evaluation found;
        double sum = 0.0, hits = 0.0, counted = 0.0;
        ck_assert_int_eq(mt_evaluate(test_tape, &objective, 3, &found), MT_OK);
        bool recording = mt_tape_set_recording(test_tape, false);
        ck_assert(recording);
        for (int64_t i = 0; i < 3; i++) {
            mt_batch batch = {NULL};
            mt_tensor *counts = NULL;
            double value, rows[2] = {B, 0.0};
            mt_tape_reset(test_tape);
            put(&model, test_tape, i, &batch);
            ck_assert_int_eq(
                mt_tensor_read_doubles(loss(&model, test_tape, &batch, &counts), &value), MT_OK);
            if (counts != NULL) {
                ck_assert_int_eq(mt_tensor_read_doubles(counts, rows), MT_OK);
            }
            sum += rows[0] * value;
            counted += rows[0];
            hits += rows[1];
        }
        ck_assert_double_eq(found.loss, sum / counted);
        ck_assert_int_eq(found.counted, (int64_t)counted);
        ck_assert(classes ? found.accuracy == hits / counted : isnan(found.accuracy));
        mt_tape_set_recording(test_tape, recording);
        mt_parameters_destroy(model.parameters);
    }
}
END_TEST

static Suite *trainer_suite(void)
{
    return SUITE_WITH(
        "trainer", graph_setup, graph_teardown, test_a_run_is_the_loop_by_hand,
        test_an_update_may_have_any_number_of_batches, test_recorded_updates_are_the_same,
        test_updates_of_one_batch_are_recorded_where_a_device_can,
        test_a_recorded_update_is_for_the_shapes_of_all_its_tensors,
        test_a_recorded_update_is_for_the_places_of_all_its_tensors,
        test_a_recorded_update_knows_what_was_written_to_a_table,
        test_later_updates_allocate_nothing, test_a_stopped_run_goes_on_where_it_was,
        test_a_run_that_was_saved_goes_on_to_the_same_bits,
        test_a_child_of_fork_goes_on_to_the_same_bits_or_is_told,
        test_a_batch_that_is_missing_is_asked_for_again,
        test_a_checkpoint_that_does_not_fit_changes_nothing, test_the_first_failure_sticks,
        test_what_is_not_finite_is_named, test_a_projection_that_is_not_finite_is_named,
        test_a_gradient_that_is_not_finite_is_named_and_changes_nothing,
        test_a_norm_that_is_too_large_is_told_as_that_of_the_mean_over_batches,
        test_a_bad_step_is_skipped_as_if_there_were_no_such_batch,
        test_a_run_that_skipped_goes_on_from_its_checkpoint_to_the_same_bits,
        test_a_bad_step_is_an_error_and_changes_nothing,
        test_no_more_bad_steps_are_skipped_than_may_be,
        test_a_loss_that_alone_is_not_finite_changes_nothing,
        test_a_bad_step_that_was_kept_is_repeated, test_a_loss_beyond_twice_the_average_is_a_spike,
        test_a_models_checkpoint_says_which_model, test_what_cannot_work_is_refused,
        test_an_evaluation_records_nothing, test_an_evaluation_is_the_mean_of_what_is_counted);
}

MT_TEST_MAIN(trainer_suite)
