/* A model's state as one tensor: what comes out of a sequence in stretches, and its gradients. */
#include <mixtape/carried.h>
#include <mixtape/stream.h>

#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

enum { VOCABULARY = 5, B = 2, T = 7, MOST_BLOCKS = 17 };

static const int32_t labels[B * T] = {3, 1, 0, 2, 4, 4, 1, 2, 0, 3, 3, 1, 4, 2};

static mt_model *make_model(int64_t blocks, int64_t size, int64_t attention_size)
{
    mt_model_config config = mt_model_config_default(VOCABULARY, size);
    mt_model *model;
    config.num_blocks = blocks;
    config.attention_size = attention_size;
    config.time_first = MT_TIME_FIRST_RWKV;
    config.padding_index = -1;
    ck_assert_msg(mt_model_create(test_device, MT_F64, &config, 5, &model) == MT_OK, "%s",
                  mt_error_message());
    return model;
}

static mt_tensor *stretch(mt_tape *tape, int first, int length)
{
    int32_t part[B * T];
    for (int b = 0; b < B; b++) {
        memcpy(part + b * length, labels + b * T + first, (size_t)length * sizeof *part);
    }
    return mt_tape_labels(tape, B, length, part);
}

static mt_tensor *empty_rows(mt_tape *tape, const mt_carried *carried)
{
    double *rows = malloc((size_t)(B * carried->width) * sizeof *rows);
    ck_assert_ptr_nonnull(rows);
    for (int b = 0; b < B; b++) {
        memcpy(rows + b * carried->width, carried->empty, (size_t)carried->width * sizeof *rows);
    }
    mt_tensor *tensor = mt_tape_rows(tape, MT_F64, B, carried->width, rows);
    free(rows);
    return tensor;
}

/* The weighed sum of the outputs, in stretches of these lengths that end with 0; of none, whole and
 * without anything carried. */
static mt_tensor *loss_in(mt_tape *tape, mt_model *model, const mt_carried *carried,
                          const int *lengths)
{
    mt_tensor *outputs[T], *state = empty_rows(tape, carried);
    int count = 0;
    if (lengths == NULL) {
        return weighed_sum(tape, mt_model_decode(tape, model, stretch(tape, 0, T), NULL, true));
    }
    for (int first = 0; lengths[count] > 0; first += lengths[count++]) {
        outputs[count] = mt_model_decode_carried(tape, model, stretch(tape, first, lengths[count]),
                                                 &state, true);
    }
    return weighed_sum(tape, mt_concatenate(tape, 1, count, outputs));
}

static double *gradients_in(mt_model *model, const int *lengths, double *loss)
{
    mt_carried carried;
    size_t bytes = (size_t)model->parameters->total * sizeof(double);
    double *gradients = malloc(bytes);
    ck_assert_ptr_nonnull(gradients);
    ck_assert_int_eq(mt_carried_of_model(model, B, &carried), MT_OK);
    mt_parameters_zero_grad(model->parameters);
    mt_tape_reset(test_tape);
    mt_tensor *sum = loss_in(test_tape, model, &carried, lengths);
    ck_assert_msg(mt_backward(test_tape, sum) == MT_OK, "%s", mt_error_message());
    ck_assert_int_eq(mt_tensor_read(sum, loss), MT_OK);
    ck_assert_int_eq(mt_parameters_settle_grad(model->parameters), MT_OK);
    ck_assert_int_eq(mt_device_read(test_device, gradients, model->parameters->grad, bytes), MT_OK);
    mt_carried_free(&carried);
    return gradients;
}

/* Blocks of which rows are cut at once, in groups, and in groups of groups. */
START_TEST(test_a_sequence_in_stretches_has_the_gradients_of_the_whole)
{
    static const int64_t blocks[] = {1, 2, 3, MOST_BLOCKS};
    static const int in_stretches[] = {3, 1, 3, 0};
    mt_model *model = make_model(blocks[_i], 4, _i % 2 == 0 ? 6 : 4);
    double whole, parts;
    double *expected = gradients_in(model, NULL, &whole);
    double *found = gradients_in(model, in_stretches, &parts);
    ck_assert_double_eq_tol(parts, whole, 1e-11 * (1.0 + fabs(whole)));
    ck_assert_double_le(relative_difference(found, expected, model->parameters->total), 1e-11);
    free(expected);
    free(found);
    mt_model_destroy(model);
}
END_TEST

enum { BLOCKS = 3 };

/* Rows of what has gradients, and between it what has none: those of num and den are at a fixed
 * max. */
static mt_tensor *with_max(mt_tape *tape, mt_tensor *x, int64_t S)
{
    double max[B * 3];
    mt_tensor *parts[3 * BLOCKS];
    for (int i = 0; i < B * 3; i++) {
        max[i] = 0.25 - 0.1 * i;
    }
    for (int i = 0; i < BLOCKS; i++) {
        parts[3 * i] = mt_slice(tape, x, 1, i * 4 * S, 3 * S);
        parts[3 * i + 1] = mt_tape_rows(tape, MT_F64, B, S, max);
        parts[3 * i + 2] = mt_slice(tape, x, 1, (i * 4 + 3) * S, S);
    }
    return mt_concatenate(tape, 1, 3 * BLOCKS, parts);
}

/* Through a stretch, and what it carries to the next. */
static mt_tensor *two_stretches(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    mt_model *model = context;
    mt_tensor *state = with_max(tape, inputs[0], model->config.block_size);
    mt_tensor *y[2];
    for (int i = 0; i < 2; i++) {
        y[i] = mt_model_decode_carried(tape, model, stretch(tape, 2 * i, 2), &state, true);
    }
    return weighed_sum(tape, mt_concatenate(tape, 1, 2, y));
}

START_TEST(test_gradients_of_what_is_carried_are_central_differences)
{
    mt_model *model = make_model(BLOCKS, _i == 0 ? 1 : 3, 0);
    int64_t S = model->config.block_size, width = BLOCKS * 4 * S;
    double rows[B * BLOCKS * 4 * 3];
    for (int64_t i = 0; i < B * width; i++) {
        rows[i] = 0.3 + 0.1 * (double)(i % 5);
    }
    mt_tensor *state = mt_tape_input(value_tape, MT_F64, 2, (int64_t[]){B, width}, rows, true);
    assert_gradients(two_stretches, model, 1, &state);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_rows_are_those_of_a_stream)
{
    mt_model *model = make_model(3, 4, 6);
    mt_carried carried;
    mt_stream *stream;
    ck_assert_int_eq(mt_carried_of_model(model, B, &carried), MT_OK);
    ck_assert_int_eq(mt_stream_create(model, B, &stream), MT_OK);
    ck_assert_uint_eq((size_t)carried.width * sizeof(double), mt_stream_row_bytes(stream));
    double *of_stream = malloc(B * mt_stream_row_bytes(stream));
    double *of_tensor = malloc(B * mt_stream_row_bytes(stream));
    ck_assert_ptr_nonnull(of_stream);
    ck_assert_ptr_nonnull(of_tensor);
    ck_assert_int_eq(mt_stream_save(stream, 1, of_stream), MT_OK);
    ck_assert_mem_eq(of_stream, carried.empty, mt_stream_row_bytes(stream));
    mt_tape_reset(test_tape);
    mt_tensor *state = empty_rows(test_tape, &carried);
    mt_model_decode_carried(test_tape, model, stretch(test_tape, 0, T), &state, false);
    ck_assert_int_eq(mt_tensor_read(state, of_tensor), MT_OK);
    ck_assert_int_eq(mt_stream_feed(stream, T, labels, 0, NULL), MT_OK);
    ck_assert_int_eq(mt_stream_save(stream, MT_EVERY_ROW, of_stream), MT_OK);
    ck_assert_double_le(relative_difference(of_tensor, of_stream, B * carried.width), 1e-14);
    free(of_stream);
    free(of_tensor);
    mt_stream_destroy(stream);
    mt_carried_free(&carried);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_rows_of_another_size_are_refused)
{
    mt_model *model = make_model(2, 4, 0);
    mt_tape_reset(test_tape);
    mt_tensor *state = mt_tape_rows(test_tape, MT_F64, B, 39, NULL);
    ck_assert_ptr_null(
        mt_model_decode_carried(test_tape, model, stretch(test_tape, 0, T), &state, true));
    assert_tape_fails_with("what is carried has shape (2, 39), expected (2, 40)");
    mt_model_destroy(model);
}
END_TEST

static Suite *carried_suite(void)
{
    TCase *cases;
    Suite *suite = suite_begin("carried", graph_setup, graph_teardown, &cases);
    tcase_add_loop_test(cases, test_a_sequence_in_stretches_has_the_gradients_of_the_whole, 0, 4);
    tcase_add_loop_test(cases, test_gradients_of_what_is_carried_are_central_differences, 0, 2);
    tcase_add_test(cases, test_rows_are_those_of_a_stream);
    tcase_add_test(cases, test_rows_of_another_size_are_refused);
    return suite;
}

MT_TEST_MAIN(carried_suite)
