/* Weights in fewer bits: how they are rounded, what is refused, and what a model makes of them. */
#include <mixtape/adam.h>
#include <mixtape/model.h>
#include <mixtape/stream.h>
#include <mixtape/weights.h>

#include "kernels/bfloat16.h"
#include "kernels/device.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

#include <float.h>
#include <stdio.h>
#include <unistd.h>

/* ---- rounding ---- */

enum { ROWS = 6, WIDTH = 6 };

static const float matrix[ROWS][WIDTH] = {
    {0.0f, -0.0f, 0.0f, 0.0f, 0.0f, 0.0f},
    {3e38f, 1e36f, -3e38f, 2e36f, 0.0f, -1e-30f},
    {127.0f, 0.5f, 1.5f, -2.5f, 126.5f, -126.5f}, /* halves go to the even one */
    {-254.0f, 1.0f, 3.0f, 100.0f, -1.0f, 253.0f},
    {1e-45f, 0.0f, -1e-45f, 0.0f, 0.0f, 0.0f}, /* no scale in float32 is as small as this needs, */
    {2.1e-43f, -2.1e-43f, 7e-45f, 0.0f, 0.0f, 0.0f}}; /* and this is 150 times the one it has */
static const int8_t integers[ROWS][WIDTH] = {
    {0}, {127, 0, -127, 1, 0, 0}, {127, 0, 2, -2, 126, -126}, {-127, 0, 2, 50, 0, 126},
    {0}, {127, -127, 5, 0, 0, 0}};
static const double scales[ROWS] = {0.0, 3e38 / 127, 1.0, 2.0, 0.0, 1.4e-45};

/* A matrix with those values, a vector of twos, and a table of threes. */
static mt_parameters *make_parameters(mt_dtype dtype)
{
    mt_parameters *parameters;
    const int64_t shape[] = {ROWS, WIDTH};
    double values[ROWS * WIDTH];
    float narrow[ROWS * WIDTH];
    ck_assert_int_eq(mt_parameters_create(test_device, dtype, &parameters), MT_OK);
    mt_tensor *weight =
        mt_parameters_add(parameters, "", "weight", 2, shape, mt_initial_constant(1.0));
    mt_parameters_add(parameters, "", "vector", 1, shape, mt_initial_constant(2.0));
    mt_parameters_add(parameters, "", "table", 2, shape, mt_initial_constant(3.0));
    mt_parameters_set_table(parameters);
    ck_assert_int_eq(mt_parameters_allocate(parameters, 1), MT_OK);
    for (int i = 0; i < ROWS * WIDTH; i++) {
        values[i] = narrow[i] = matrix[i / WIDTH][i % WIDTH];
    }
    ck_assert_int_eq(mt_tensor_write(weight, dtype == MT_F32 ? (void *)narrow : values), MT_OK);
    return parameters;
}

static mt_tensor *tensor_of(const mt_parameters *parameters, const char *name)
{
    return &mt_parameters_find(parameters, name)->tensor;
}

static void assert_all(const mt_tensor *tensor, double expected)
{
    double values[ROWS * WIDTH];
    ck_assert_int_eq(mt_tensor_read_doubles(tensor, values), MT_OK);
    for (int64_t i = 0; i < mt_tensor_count(tensor); i++) {
        ck_assert_double_eq(values[i], expected);
    }
}

static void compact(mt_parameters *parameters, mt_dtype type)
{
    ck_assert_msg(mt_parameters_compact(parameters, type) == MT_OK, "%s", mt_error_message());
}

START_TEST(test_integers_are_the_nearest_of_a_row_by_its_largest)
{
    mt_parameters *parameters = make_parameters(_i == 0 ? MT_F32 : MT_F64);
    compact(parameters, MT_I8);
    const mt_tensor *weight = tensor_of(parameters, "weight");
    int8_t found[ROWS][WIDTH];
    float found_scales[ROWS];
    ck_assert_int_eq(weight->dtype, MT_I8);
    ck_assert_uint_eq(mt_tensor_bytes(weight), sizeof found);
    ck_assert_int_eq(mt_tensor_read(weight, found), MT_OK);
    ck_assert_int_eq(mt_device_read(test_device, found_scales, weight->scales, sizeof found_scales),
                     MT_OK);
    for (int row = 0; row < ROWS; row++) {
        ck_assert_float_eq(found_scales[row], (float)scales[row]);
        ck_assert_mem_eq(found[row], integers[row], WIDTH);
    }
    assert_all(tensor_of(parameters, "vector"), 2.0);
    assert_all(tensor_of(parameters, "table"), 3.0);
    double values[ROWS * WIDTH];
    ck_assert_int_eq(mt_tensor_read_doubles(weight, values), MT_ERROR_INVALID);
    mt_parameters_destroy(parameters);
}
END_TEST

START_TEST(test_bfloat16_is_the_nearest)
{
    mt_parameters *parameters = make_parameters(_i == 0 ? MT_F32 : MT_F64);
    compact(parameters, MT_BF16);
    const mt_tensor *weight = tensor_of(parameters, "weight");
    double values[ROWS * WIDTH];
    ck_assert_int_eq(mt_tensor_read_doubles(weight, values), MT_OK);
    ck_assert_ptr_null(weight->scales);
    for (int i = 0; i < ROWS * WIDTH; i++) {
        float expected = mt_bf16_value(mt_bf16_rounded(matrix[i / WIDTH][i % WIDTH]));
        ck_assert_double_eq(values[i], (double)expected);
    }
    assert_all(tensor_of(parameters, "vector"), 2.0);
    assert_all(tensor_of(parameters, "table"), 3.0);
    mt_parameters_destroy(parameters);
}
END_TEST

/* More rows than are rounded at once, each with a largest of its own. */
START_TEST(test_rows_beyond_the_first_piece)
{
    enum { MANY = 100, LONG = 1000, COUNT = MANY * LONG };
    const int64_t shape[] = {MANY, LONG};
    mt_parameters *parameters;
    float *values = malloc(COUNT * sizeof *values), found[MANY];
    int8_t *rounded = malloc(COUNT);
    ck_assert(values != NULL && rounded != NULL);
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &parameters), MT_OK);
    mt_tensor *weight =
        mt_parameters_add(parameters, "", "weight", 2, shape, mt_initial_constant(1.0));
    ck_assert_int_eq(mt_parameters_allocate(parameters, 1), MT_OK);
    for (int i = 0; i < COUNT; i++) {
        int row = i / LONG;
        values[i] = (float)((row + 1) * (i % 128));
    }
    ck_assert_int_eq(mt_tensor_write(weight, values), MT_OK);
    compact(parameters, MT_I8);
    ck_assert_int_eq(mt_tensor_read(weight, rounded), MT_OK);
    ck_assert_int_eq(mt_device_read(test_device, found, weight->scales, sizeof found), MT_OK);
    for (int row = 0; row < MANY; row++) {
        ck_assert_float_eq(found[row], (float)(row + 1));
        for (int i = row * LONG; i < (row + 1) * LONG; i++) {
            if (rounded[i] != i % 128) {
                ck_abort_msg("row %d: %d at %d", row, rounded[i], i);
            }
        }
    }
    free(values);
    free(rounded);
    mt_parameters_destroy(parameters);
}
END_TEST

/* ---- what is refused ---- */

static void refuse(mt_parameters *parameters, mt_dtype type, mt_status status, const char *says)
{
    ck_assert_int_eq(mt_parameters_compact(parameters, type), status);
    ck_assert_msg(strstr(mt_error_message(), says) != NULL, "'%s' not in '%s'", says,
                  mt_error_message());
}

START_TEST(test_what_cannot_be_rounded_is_named_and_nothing_changes)
{
    static const struct {
        float value;
        mt_dtype type;
        const char *says;
    } cases[] = {{NAN, MT_I8, "weight: the value at 8 is nan, which is none of i8"},
                 {-INFINITY, MT_I8, "weight: the value at 8 is -inf"},
                 {NAN, MT_BF16, "weight: the value at 8 is nan, which is none of bf16"},
                 {FLT_MAX, MT_BF16, "weight: the value at 8 is 3.40282e+38"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_parameters *parameters = make_parameters(MT_F32);
        mt_tensor *weight = tensor_of(parameters, "weight");
        float values[ROWS * WIDTH] = {0.0f}, after[ROWS * WIDTH];
        values[8] = cases[i].value;
        ck_assert_int_eq(mt_tensor_write(weight, values), MT_OK);
        const void *data = weight->data;
        refuse(parameters, cases[i].type, MT_ERROR_NUMERIC, cases[i].says);
        ck_assert_ptr_eq(weight->data, data);
        ck_assert_int_eq(weight->dtype, MT_F32);
        ck_assert_int_eq(mt_tensor_read(weight, after), MT_OK);
        ck_assert_mem_eq(after, values, sizeof values);
        mt_parameters_destroy(parameters);
    }
}
END_TEST

/* Of float64 there are more: rows whose scale is none of float32, and numbers that rounding twice
 * would move to another neighbour. */
START_TEST(test_numbers_of_float64_beyond_the_types)
{
    static const double above_middle = 1.0 + 0x1p-8 + 0x1p-40;
    for (int sign = -1; sign <= 1; sign += 2) {
        mt_parameters *parameters = make_parameters(MT_F64);
        mt_tensor *weight = tensor_of(parameters, "weight");
        double values[ROWS * WIDTH] = {0.0};
        values[8] = sign * 1e45;
        ck_assert_int_eq(mt_tensor_write(weight, values), MT_OK);
        refuse(parameters, MT_I8, MT_ERROR_NUMERIC, "weight: the value at 8 is ");
        refuse(parameters, MT_BF16, MT_ERROR_NUMERIC, "weight: the value at 8 is ");
        values[8] = sign * above_middle;
        values[9] = sign * (1.0 + 0x1p-8);
        values[10] = sign * (1.0 + 3 * 0x1p-8 - 0x1p-40);
        ck_assert_int_eq(mt_tensor_write(weight, values), MT_OK);
        compact(parameters, MT_BF16);
        ck_assert_int_eq(mt_tensor_read_doubles(weight, values), MT_OK);
        ck_assert_double_eq(values[8], sign * (1.0 + 0x1p-7));
        ck_assert_double_eq(values[9], sign * 1.0);
        ck_assert_double_eq(values[10], sign * (1.0 + 0x1p-7));
        mt_parameters_destroy(parameters);
    }
}
END_TEST

START_TEST(test_other_types_and_a_second_time_are_refused)
{
    mt_parameters *parameters = make_parameters(MT_F32);
    refuse(parameters, MT_F32, MT_ERROR_INVALID, "kept as type 0");
    refuse(parameters, MT_I32, MT_ERROR_INVALID, "kept as type 4");
    compact(parameters, MT_I8);
    refuse(parameters, MT_I8, MT_ERROR_INVALID, "are kept compact already");
    mt_parameters_destroy(parameters);
}
END_TEST

/* ---- models ---- */

enum { VOCABULARY = 11, B = 2, T = 12 };

static const int32_t labels[B * T] = {3, 1,  0, 2, 6, 5, 4, 1, 1, 2, 9, 5,
                                      6, 10, 2, 4, 3, 3, 1, 8, 2, 7, 4, 1};

static mt_model *make_model(mt_dtype dtype)
{
    mt_model *model;
    mt_model_config config = mt_model_config_default(VOCABULARY, 24);
    config.num_blocks = 2;
    config.context_size = 64;
    config.padding_index = -1;
    ck_assert_msg(mt_model_create(test_device, dtype, &config, 5, &model) == MT_OK, "%s",
                  mt_error_message());
    return model;
}

/* Gives `exact` the values that the parameters of `rounded` stand for. */
static void copy_values(const mt_model *rounded, const mt_model *exact)
{
    for (int i = 0; i < exact->parameters->count; i++) {
        const mt_tensor *from = &rounded->parameters->items[i]->tensor;
        mt_tensor *to = &exact->parameters->items[i]->tensor;
        int64_t n = mt_tensor_count(to), width = n / to->shape[0];
        double *values = malloc((size_t)n * sizeof *values);
        float *row_scales = malloc((size_t)to->shape[0] * sizeof *row_scales);
        ck_assert(values != NULL && row_scales != NULL);
        if (from->dtype == MT_I8) {
            int8_t *small = malloc((size_t)n);
            ck_assert_ptr_nonnull(small);
            ck_assert_int_eq(mt_tensor_read(from, small), MT_OK);
            ck_assert_int_eq(mt_device_read(test_device, row_scales, from->scales,
                                            (size_t)to->shape[0] * sizeof *row_scales),
                             MT_OK);
            for (int64_t k = 0; k < n; k++) {
                values[k] = (double)row_scales[k / width] * small[k];
            }
            free(small);
        } else {
            ck_assert_int_eq(mt_tensor_read_doubles(from, values), MT_OK);
        }
        ck_assert_int_eq(mt_tensor_write(to, values), MT_OK);
        free(row_scales);
        free(values);
    }
}

static double loss_of(mt_model *model)
{
    double loss;
    mt_tape_reset(test_tape);
    mt_tape_set_recording(test_tape, false);
    mt_tensor *x = mt_tape_labels(test_tape, B, T, labels);
    mt_tensor *y = mt_model_decode(test_tape, model, x, NULL, false);
    y = mt_model_cross_entropy(test_tape, model, y, x, -1, 0.0, NULL);
    ck_assert_msg(y != NULL, "%s", mt_tape_error(test_tape));
    ck_assert_int_eq(mt_tensor_read_doubles(y, &loss), MT_OK);
    return loss;
}

/* The model's values inside are rounded as its type is, its weights as they are kept. */
START_TEST(test_a_model_has_the_loss_of_its_rounded_weights)
{
    static const struct {
        mt_dtype model, weights;
        double most;
    } cases[] = {{MT_F32, MT_BF16, 1e-6}, {MT_F32, MT_I8, 1e-6},    {MT_F64, MT_BF16, 1e-12},
                 {MT_F64, MT_I8, 1e-12},  {MT_BF16, MT_BF16, 0.02}, {MT_BF16, MT_I8, 0.02}};
    mt_model *model = make_model(cases[_i].model), *exact = make_model(MT_F64);
    compact(model->parameters, cases[_i].weights);
    copy_values(model, exact);
    double found = loss_of(model), expected = loss_of(exact);
    ck_assert_msg(fabs(found - expected) <= cases[_i].most * expected, "%.15g, expected %.15g",
                  found, expected);
    mt_model_destroy(model);
    mt_model_destroy(exact);
}
END_TEST

/* One step at a time, and a stretch. */
START_TEST(test_a_stream_steps_as_it_goes_through_a_stretch)
{
    mt_model *model = make_model(MT_F32);
    mt_stream *stream;
    float whole[T * VOCABULARY], step[VOCABULARY];
    compact(model->parameters, _i == 0 ? MT_BF16 : MT_I8);
    ck_assert_int_eq(mt_stream_create(model, 1, &stream), MT_OK);
    ck_assert_int_eq(mt_stream_feed(stream, T, labels, T, whole), MT_OK);
    ck_assert_int_eq(mt_stream_reset(stream, MT_EVERY_ROW), MT_OK);
    for (int t = 0; t < T; t++) {
        ck_assert_int_eq(mt_stream_feed(stream, 1, labels + t, 1, step), MT_OK);
        for (int v = 0; v < VOCABULARY; v++) {
            ck_assert_float_eq_tol(step[v], whole[t * VOCABULARY + v], 1e-5f);
        }
    }
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

/* A model that is only used is neither trained, saved nor restored, and no operator but products
 * reads its weights. */
START_TEST(test_nothing_but_use_is_left)
{
    mt_model *model = make_model(MT_F32), *other = make_model(MT_F32);
    mt_adam *adam;
    char path[] = "/tmp/mixtape-compact-XXXXXX.safetensors";
    int file = mkstemps(path, (int)strlen(".safetensors"));
    ck_assert_int_ge(file, 0);
    close(file);
    ck_assert_int_eq(mt_parameters_save(path, other->parameters), MT_OK);
    compact(model->parameters, MT_I8);
    ck_assert_int_eq(mt_adam_create(model->parameters, mt_adam_config_default(), &adam),
                     MT_ERROR_INVALID);
    ck_assert_int_eq(mt_parameters_save(path, model->parameters), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_weights_save(path, model, NULL, NULL), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "compact"));
    ck_assert_int_eq(mt_parameters_load(path, model->parameters), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "compact"));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mt_parameters_allocate(model->parameters, 3), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "memory already"));
    ck_assert_int_eq(mt_tensor_write(model->head.weight, path), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "head.weight: its integers"));
    mt_tape_set_recording(test_tape, true);
    mt_tensor *x = mt_tape_input(test_tape, MT_F32, SHAPE(2, 24), NULL, true);
    ck_assert_ptr_null(mt_matmul(test_tape, x, model->head.weight, false, true));
    assert_tape_fails_with("matmul: input 1 is i8, expected f32");
    mt_tape_reset(test_tape);
    x = mt_tape_input(test_tape, MT_F32, SHAPE(2, 24), NULL, true);
    mt_tensor *y = mt_linear(test_tape, x, model->head.weight, model->head.bias);
    ck_assert_int_eq(mt_backward(test_tape, mt_sum(test_tape, y)), MT_ERROR_INVALID);
    assert_tape_fails_with("linear: no gradient goes through weights that are kept as i8");
    mt_tape_reset(test_tape);
    x = mt_tape_input(test_tape, MT_F32, SHAPE(2, 3), NULL, false);
    mt_tensor *weight = mt_tape_input(test_tape, MT_BF16, SHAPE(2, 3), NULL, true);
    y = mt_linear(test_tape, x, weight, NULL);
    ck_assert_int_eq(mt_backward(test_tape, mt_sum(test_tape, y)), MT_ERROR_INVALID);
    assert_tape_fails_with("linear: no gradient goes through weights that are kept as bf16");
    mt_model_destroy(model);
    mt_model_destroy(other);
}
END_TEST

static Suite *compact_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("compact", graph_setup, graph_teardown, &tcase);
    tcase_add_loop_test(tcase, test_integers_are_the_nearest_of_a_row_by_its_largest, 0, 2);
    tcase_add_loop_test(tcase, test_bfloat16_is_the_nearest, 0, 2);
    tcase_add_test(tcase, test_rows_beyond_the_first_piece);
    tcase_add_test(tcase, test_what_cannot_be_rounded_is_named_and_nothing_changes);
    tcase_add_test(tcase, test_numbers_of_float64_beyond_the_types);
    tcase_add_test(tcase, test_other_types_and_a_second_time_are_refused);
    tcase_add_loop_test(tcase, test_a_model_has_the_loss_of_its_rounded_weights, 0, 6);
    tcase_add_loop_test(tcase, test_a_stream_steps_as_it_goes_through_a_stretch, 0, 2);
    tcase_add_test(tcase, test_nothing_but_use_is_left);
    return suite;
}

MT_TEST_MAIN(compact_suite)
