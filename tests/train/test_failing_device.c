/* Whatever of a device or of the host's memory fails, a run and a stream say so, give all memory
 * back, and the next ones work. */
#include <mixtape/adam.h>
#include <mixtape/stream.h>

#include "tests/check_main.h"

#include "tests/autograd/failing_device.h"
#include "tests/autograd/failing_memory.h"
#include "tests/train/few_labels.h"

enum { VOCABULARY = 5 };

static mt_status make_model(mt_model **model)
{
    mt_model_config config = mt_model_config_default(VOCABULARY, 3);
    config.num_blocks = 1;
    config.ffn_dropout = 0.1;
    return mt_model_create(test_device, MT_F32, &config, 1, model);
}

static mt_status train_and_evaluate(void *context)
{
    mt_model *model = NULL;
    mt_trainer *trainer = NULL;
    mt_evaluation evaluation;
    mt_trainer_config config = mt_trainer_config_default();
    config.accumulate = 2;
    (void)context;
    mt_status status = make_model(&model);
    const mt_objective objective = {put, loss, model};
    if (status == MT_OK) {
        status = mt_trainer_create(model->parameters, &config, &objective, &trainer);
    }
    if (status == MT_OK) {
        status = mt_trainer_run(trainer, 2, NULL, NULL);
    }
    if (status == MT_OK) {
        status = mt_evaluate(mt_trainer_tape(trainer), &objective, 1, &evaluation);
    }
    mt_trainer_destroy(trainer);
    mt_model_destroy(model);
    return status;
}

static mt_status feed_and_carry(mt_stream *stream, mt_stream *other, void *row)
{
    float outputs[B * VOCABULARY];
    mt_status status = mt_stream_feed(stream, T, labels, 1, outputs);
    if (status == MT_OK) {
        status = mt_stream_feed(stream, T, labels, 0, NULL);
    }
    if (status == MT_OK) {
        status = mt_stream_reset(stream, 1);
    }
    if (status == MT_OK) {
        status = mt_stream_save(stream, 0, row);
    }
    if (status == MT_OK) {
        status = mt_stream_load(stream, 1, row);
    }
    if (status == MT_OK) {
        status = mt_stream_copy(other, 0, stream, 1);
    }
    return status == MT_OK ? mt_stream_reset(other, MT_EVERY_ROW) : status;
}

static mt_status go_on_with_a_stream(void *context)
{
    mt_model *model = NULL;
    mt_stream *stream = NULL, *other = NULL;
    char row[256];
    (void)context;
    mt_status status = make_model(&model);
    if (status == MT_OK) {
        status = mt_stream_create(model, B, &stream);
    }
    if (status == MT_OK) {
        status = mt_stream_create(model, 1, &other);
    }
    if (status == MT_OK) {
        status = mt_stream_row_bytes(stream) <= sizeof row ? feed_and_carry(stream, other, row)
                                                           : MT_ERROR_INVALID;
    }
    mt_stream_destroy(stream);
    mt_stream_destroy(other);
    mt_model_destroy(model);
    return status;
}

static mt_status find_a_gradient_that_is_not_finite(void *context)
{
    const double bad = NAN;
    double norm;
    mt_parameters *parameters = NULL;
    mt_adam *adam = NULL;
    (void)context;
    mt_tensor *last = NULL;
    mt_status status = mt_parameters_create(test_device, MT_F64, &parameters);
    if (status == MT_OK) {
        mt_parameters_add(parameters, "", "first", SHAPE(3, 7), mt_initial_normal(1.0));
        last = mt_parameters_add(parameters, "", "last", SHAPE(1), mt_initial_normal(1.0));
        status = mt_parameters_allocate(parameters, 3);
    }
    if (status == MT_OK) {
        status = mt_adam_create(parameters, mt_adam_config_default(), &adam);
    }
    if (status == MT_OK) {
        last->has_grad = true;
        status = test_device->write(test_device, last->grad, &bad, sizeof bad);
    }
    if (status == MT_OK) {
        status = mt_adam_step(adam, 0.1, 1.0, &norm);
    }
    mt_adam_destroy(adam);
    mt_parameters_destroy(parameters);
    return status;
}

static const struct {
    attempt try;
    mt_status status; /* where nothing fails */
    int calls;        /* of the device, at least */
} acts[] = {{train_and_evaluate, MT_OK, 60},
            {go_on_with_a_stream, MT_OK, 40},
            {find_a_gradient_that_is_not_finite, MT_ERROR_NUMERIC, 8}};

/* What the device keeps for itself once it has worked is no loss. */
static int arrays_kept(int act)
{
    check_attempt(acts[act].try, NULL, acts[act].status, "nothing");
    return live_arrays;
}

START_TEST(test_a_kernel_that_fails_is_told)
{
    int before = arrays_kept(_i);
    fail_each_kernel(acts[_i].try, NULL, acts[_i].status);
    ck_assert_int_eq(live_arrays, before);
}
END_TEST

START_TEST(test_a_call_that_fails_is_told)
{
    int before = arrays_kept(_i);
    fail_each_call(acts[_i].try, NULL, acts[_i].status, acts[_i].calls);
    ck_assert_int_eq(live_arrays, before);
}
END_TEST

START_TEST(test_an_allocation_that_fails_is_told)
{
    int arrays = arrays_kept(_i);
    fail_each_allocation(acts[_i].try, NULL, acts[_i].status, 4);
    ck_assert_int_eq(live_arrays, arrays);
}
END_TEST

static Suite *failing_suite(void)
{
    enum { ACTS = sizeof acts / sizeof *acts };
    TCase *tcase;
    Suite *suite = suite_begin("failing device", failing_setup, graph_teardown, &tcase);
    tcase_add_loop_test(tcase, test_a_kernel_that_fails_is_told, 0, ACTS);
    tcase_add_loop_test(tcase, test_a_call_that_fails_is_told, 0, ACTS);
    tcase_add_loop_test(tcase, test_an_allocation_that_fails_is_told, 0, ACTS);
    return suite;
}

MT_TEST_MAIN(failing_suite)
