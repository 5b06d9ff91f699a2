/* Adam against a plain reference, clipping, decay, and what it refuses. */
#include <mixtape/adam.h>

#include "kernels/device.h"
#include "optim/adam_part.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

enum { N = 21, STEPS = 5 };

static mt_parameters *parameters;
static mt_tensor *matrix, *vector;

static void setup(void)
{
    graph_setup();
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F64, &parameters), MT_OK);
    matrix = mt_parameters_add(parameters, "", "matrix", SHAPE(3, 7), mt_initial_normal(1.0));
    vector = mt_parameters_add(parameters, "", "vector", SHAPE(5), mt_initial_constant(0.5));
    ck_assert_int_eq(mt_parameters_allocate(parameters, 3), MT_OK);
}

static void teardown(void)
{
    mt_parameters_destroy(parameters);
    graph_teardown();
}

static mt_adam *make_adam(mt_adam_config config)
{
    mt_adam *adam;
    ck_assert_msg(mt_adam_create(parameters, config, &adam) == MT_OK, "%s", mt_error_message());
    return adam;
}

/* Gradients that change from step to step. */
static void set_grads(int step)
{
    double grad[N];
    for (int i = 0; i < N; i++) {
        grad[i] = sin(0.9 * i + step);
    }
    ck_assert_int_eq(test_device->write(test_device, matrix->grad, grad, N * sizeof(double)),
                     MT_OK);
    ck_assert_int_eq(test_device->write(test_device, vector->grad, grad, 5 * sizeof(double)),
                     MT_OK);
    matrix->has_grad = vector->has_grad = true;
}

START_TEST(test_adam_is_the_formula)
{
    mt_adam_config config = mt_adam_config_default();
    config.weight_decay = 0.1;
    mt_adam *adam = make_adam(config);
    double p[N], m[N] = {0}, v[N] = {0}, found[N];
    ck_assert_int_eq(mt_tensor_read(matrix, p), MT_OK);
    for (int step = 1; step <= STEPS; step++) {
        double norm, squares = 0.0;
        set_grads(step);
        ck_assert_int_eq(mt_adam_step(adam, 0.01, 0.5, &norm), MT_OK);
        for (int i = 0; i < N; i++) {
            double g = 0.5 * sin(0.9 * i + step);
            squares += g * g + (i < 5 ? g * g : 0.0);
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            p[i] -= 0.01 * 0.1 * p[i];
            p[i] -= 0.01 * (m[i] / (1.0 - pow(0.9, step))) /
                    (sqrt(v[i] / (1.0 - pow(0.999, step))) + 1e-8);
        }
        ck_assert_double_eq_tol(norm, sqrt(squares), 1e-12);
    }
    ck_assert_int_eq(mt_tensor_read(matrix, found), MT_OK);
    for (int i = 0; i < N; i++) {
        ck_assert_double_eq_tol(found[i], p[i], 1e-12);
    }
    mt_adam_destroy(adam);
}
END_TEST

/* Both of all elements, which are `n`. */
static void check_moments(const mt_adam *adam, int64_t n, double expected)
{
    double values[64];
    ck_assert_int_le(n, 64);
    for (int which = 0; which < 2; which++) {
        ck_assert_int_eq(mt_adam_read_own(adam, (mt_moment)which, 0, n, values), MT_OK);
        for (int64_t i = 0; i < n; i++) {
            ck_assert_double_eq(values[i], expected);
        }
    }
}

/* Up to the first update, and after a file that failed while it was read. */
START_TEST(test_moments_are_zeros_until_all_are_written)
{
    static const double some[5] = {1.0, 2.0, 3.0, 4.0, 5.0};
    double found[64];
    mt_adam *adam = make_adam(mt_adam_config_default());
    check_moments(adam, parameters->total, 0.0);
    for (int which = 0; which < 2; which++) {
        ck_assert_int_eq(mt_adam_write_own(adam, (mt_moment)which, 2, 5, some), MT_OK);
    }
    check_moments(adam, parameters->total, 0.0);
    ck_assert_int_eq(mt_adam_step(adam, 0.1, 1.0, NULL), MT_OK); /* of gradients that are zeros */
    check_moments(adam, parameters->total, 0.0);
    ck_assert_int_eq(mt_adam_write_own(adam, MT_FIRST_MOMENT, 2, 5, some), MT_OK);
    ck_assert_int_eq(mt_adam_read_own(adam, MT_FIRST_MOMENT, 2, 5, found), MT_OK);
    ck_assert_mem_eq(found, some, sizeof some);
    mt_adam_destroy(adam);
}
END_TEST

START_TEST(test_moments_that_all_are_written_are_zero_between_parameters)
{
    double values[N], found[64];
    mt_adam *adam = make_adam(mt_adam_config_default());
    const mt_tensor *const tensors[] = {matrix, vector};
    for (int i = 0; i < N; i++) {
        values[i] = 1.0 + i;
    }
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(mt_adam_write_own(adam, (mt_moment)which,
                                               (int64_t)parameters->items[i]->offset,
                                               mt_tensor_count(tensors[i]), values),
                             MT_OK);
        }
    }
    ck_assert_int_eq(mt_adam_written_all(adam), MT_OK);
    for (int which = 0; which < 2; which++) {
        double *at = found;
        ck_assert_int_eq(mt_adam_read_own(adam, (mt_moment)which, 0, parameters->total, found),
                         MT_OK);
        for (int i = 0; i < 2; i++) {
            int64_t n = mt_tensor_count(tensors[i]), room = i == 0 ? 32 : 16;
            ck_assert_mem_eq(at, values, (size_t)n * sizeof *values);
            for (int64_t k = n; k < room; k++) {
                ck_assert_double_eq(at[k], 0.0);
            }
            at += room;
        }
    }
    mt_adam_destroy(adam);
}
END_TEST

/* Of a program that keeps its own, as adam.h says. */
START_TEST(test_moments_that_come_with_a_step_count)
{
    double ones[64], found[64];
    mt_adam *adam = make_adam(mt_adam_config_default());
    const size_t bytes = (size_t)mt_tensor_count(matrix) * sizeof *ones;
    for (int i = 0; i < 64; i++) {
        ones[i] = 1.0;
    }
    ck_assert_int_eq(mt_device_write(parameters->device, adam->m, ones, bytes), MT_OK);
    ck_assert_int_eq(mt_device_write(parameters->device, adam->v, ones, bytes), MT_OK);
    adam->step = 10;
    ck_assert_int_eq(mt_adam_read_own(adam, MT_FIRST_MOMENT, 0, 1, found), MT_OK);
    ck_assert_double_eq(found[0], 1.0);
    ck_assert_int_eq(mt_adam_step(adam, 0.1, 1.0, NULL), MT_OK); /* of gradients that are zeros */
    ck_assert_int_eq(mt_adam_read_own(adam, MT_FIRST_MOMENT, 0, 32, found), MT_OK);
    ck_assert_double_eq(found[0], 0.9);
    for (int64_t i = mt_tensor_count(matrix); i < 32; i++) {
        ck_assert_double_eq(found[i], 0.0);
    }
    mt_adam_destroy(adam);
}
END_TEST

START_TEST(test_weight_decay_spares_vectors)
{
    mt_adam_config config = mt_adam_config_default();
    config.weight_decay = 0.5;
    mt_adam *adam = make_adam(config);
    double before[N], after[N], flat[5];
    ck_assert_int_eq(mt_tensor_read(matrix, before), MT_OK);
    ck_assert_int_eq(mt_adam_step(adam, 0.1, 1.0, NULL),
                     MT_OK); /* no gradients: decay alone moves */
    ck_assert_int_eq(mt_tensor_read(matrix, after), MT_OK);
    ck_assert_int_eq(mt_tensor_read(vector, flat), MT_OK);
    for (int i = 0; i < N; i++) {
        ck_assert_double_eq_tol(after[i], 0.95 * before[i], 1e-15);
    }
    for (int i = 0; i < 5; i++) {
        ck_assert_double_eq(flat[i], 0.5);
    }
    ck_assert(matrix->has_grad && vector->has_grad); /* zeros, to which more may be added */
    mt_adam_destroy(adam);
}
END_TEST

START_TEST(test_clipping_scales_to_the_norm)
{
    double plain[N], clipped[N], norm;
    for (int clip = 0; clip < 2; clip++) {
        mt_adam_config config = mt_adam_config_default();
        config.clip = clip == 1 ? 0.25 : 0.0;
        config.eps = 1.0; /* so that the scale of the gradient matters */
        mt_adam *adam = make_adam(config);
        set_grads(1);
        ck_assert_int_eq(mt_adam_step(adam, 1e-9, 1.0, &norm), MT_OK);
        ck_assert_int_eq(
            test_device->read_back(test_device, clip == 1 ? clipped : plain, adam->m, sizeof plain),
            MT_OK);
        mt_adam_destroy(adam);
    }
    ck_assert_double_gt(norm, 0.25);
    for (int i = 0; i < N; i++) {
        ck_assert_double_eq_tol(clipped[i], plain[i] * 0.25 / norm, 1e-15);
    }
}
END_TEST

START_TEST(test_gradients_that_are_not_finite_change_nothing_and_are_named)
{
    mt_adam *adam = make_adam(mt_adam_config_default());
    double before[5], after[5], norm, bad = NAN;
    set_grads(1);
    ck_assert_int_eq(test_device->write(test_device, vector->grad, &bad, sizeof bad), MT_OK);
    ck_assert_int_eq(mt_tensor_read(vector, before), MT_OK);
    ck_assert_int_eq(mt_adam_step(adam, 0.1, 1.0, &norm), MT_ERROR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "vector"));
    ck_assert_int_eq(mt_tensor_read(vector, after), MT_OK);
    ck_assert_mem_eq(before, after, sizeof before);
    ck_assert_int_eq(adam->step, 0);
    mt_adam_destroy(adam);
}
END_TEST

/* Whether an update from these gradients changes the parameters. */
static bool moves(mt_adam *adam, int step)
{
    double before[N], after[N];
    set_grads(step);
    ck_assert_int_eq(mt_tensor_read(matrix, before), MT_OK);
    ck_assert_int_eq(mt_adam_set_lr(adam, 0.1), MT_OK);
    ck_assert_int_eq(mt_adam_update(adam, 1.0), MT_OK);
    ck_assert_int_eq(mt_tensor_read(matrix, after), MT_OK);
    bool moved = false;
    for (int i = 0; i < N; i++) {
        moved = moved || before[i] != after[i];
    }
    return moved;
}

START_TEST(test_a_loss_that_is_not_finite_is_not_followed)
{
    static const double losses[] = {NAN, INFINITY, -INFINITY};
    static const float narrow = NAN;
    mt_adam *adam = make_adam(mt_adam_config_default());
    for (int halts = 0; halts < 2; halts++) {
        adam->halts = halts == 1;
        for (int i = 0; i < 4; i++) {
            mt_tensor *loss = i < 3 ? mt_tape_input(test_tape, MT_F64, SHAPE(1), &losses[i], false)
                                    : mt_tape_input(test_tape, MT_F32, SHAPE(1), &narrow, false);
            double norm;
            ck_assert_int_eq(mt_adam_watch(adam, loss), MT_OK);
            ck_assert(!moves(adam, 1));
            ck_assert_int_eq(mt_adam_read_norm(adam, 1.0, &norm), MT_ERROR_NUMERIC);
            ck_assert(moves(adam, 2) != adam->halts);
            ck_assert_int_eq(mt_adam_go_on(adam), MT_OK);
            ck_assert(moves(adam, 3));
        }
    }
    mt_adam_destroy(adam);
}
END_TEST

/* Gradients of float32 whose norm is `norm`. */
static mt_status step_of_norm(double norm, double clip, double grad_scale, float *parameter)
{
    mt_parameters *narrow;
    mt_adam *adam;
    mt_adam_config config = mt_adam_config_default();
    config.clip = clip;
    float grad = (float)norm;
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &narrow), MT_OK);
    mt_tensor *one = mt_parameters_add(narrow, "", "one", SHAPE(1), mt_initial_constant(0.5));
    ck_assert_int_eq(mt_parameters_allocate(narrow, 1), MT_OK);
    ck_assert_int_eq(mt_adam_create(narrow, config, &adam), MT_OK);
    ck_assert_int_eq(test_device->write(test_device, one->grad, &grad, sizeof grad), MT_OK);
    one->has_grad = true;
    mt_status status = mt_adam_step(adam, 0.1, grad_scale, &norm);
    float second;
    ck_assert_int_eq(test_device->read_back(test_device, &second, adam->v, sizeof second), MT_OK);
    ck_assert(isfinite(second));
    ck_assert_int_eq(mt_tensor_read(one, parameter), MT_OK);
    mt_adam_destroy(adam);
    mt_parameters_destroy(narrow);
    return status;
}

START_TEST(test_gradients_whose_squares_overflow_change_nothing)
{
    float parameter;
    ck_assert_int_eq(step_of_norm(1.8e19, 0.0, 1.0, &parameter), MT_OK);
    ck_assert_float_ne(parameter, 0.5f);
    ck_assert_int_eq(step_of_norm(1.9e19, 0.0, 1.0, &parameter), MT_ERROR_NUMERIC);
    ck_assert_str_eq(mt_error_message(),
                     "adam: the gradient's norm is 1.9e+19, whose square is beyond f32");
    ck_assert_float_eq(parameter, 0.5f);
    ck_assert_int_eq(step_of_norm(1.9e19, 0.0, 0.5, &parameter), MT_OK);
    ck_assert_int_eq(step_of_norm(1.9e19, 1.0, 1.0, &parameter), MT_OK);
    ck_assert_float_ne(parameter, 0.5f);
    ck_assert_int_eq(step_of_norm(1.9e19, 1e30, 1.0, &parameter), MT_ERROR_NUMERIC);
}
END_TEST

START_TEST(test_settings_out_of_range_are_refused)
{
    mt_adam *adam;
    mt_adam_config config = mt_adam_config_default();
    config.beta2 = 1.0;
    ck_assert_int_eq(mt_adam_create(parameters, config, &adam), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "beta2 is 1"));
    config = mt_adam_config_default();
    config.clip = NAN;
    ck_assert_int_eq(mt_adam_create(parameters, config, &adam), MT_ERROR_INVALID);
}
END_TEST

/* The matrix at twice the rate, decay included; the vector stays. */
START_TEST(test_parameters_have_rates_of_their_own)
{
    double plain[N], twice[N], flat[5];
    mt_adam_config config = mt_adam_config_default();
    config.weight_decay = 0.1;
    for (int own = 0; own < 2; own++) {
        mt_parameters *set = NULL;
        ck_assert_int_eq(mt_parameters_create(test_device, MT_F64, &set), MT_OK);
        mt_tensor *one = mt_parameters_add(set, "a.", "vector", SHAPE(5), mt_initial_constant(0.5));
        mt_tensor *two =
            mt_parameters_add(set, "a.", "matrix", SHAPE(3, 7), mt_initial_constant(0.25));
        ck_assert_int_eq(mt_parameters_allocate(set, 3), MT_OK);
        if (own == 1) {
            ck_assert_int_eq(mt_parameters_set_rate(set, "*.mat*", 2.0), MT_OK);
            ck_assert_int_eq(mt_parameters_set_rate(set, "a.vector", 0.0), MT_OK);
        }
        mt_adam *adam;
        double grad[N];
        for (int i = 0; i < N; i++) {
            grad[i] = 1.0 + i;
        }
        ck_assert_int_eq(mt_adam_create(set, config, &adam), MT_OK);
        ck_assert_int_eq(adam->range_count, own == 1 ? 2 : 0);
        ck_assert_int_eq(test_device->write(test_device, two->grad, grad, sizeof grad), MT_OK);
        ck_assert_int_eq(test_device->write(test_device, one->grad, grad, sizeof flat), MT_OK);
        one->has_grad = two->has_grad = true;
        ck_assert_int_eq(mt_adam_step(adam, 0.01, 1.0, NULL), MT_OK);
        ck_assert_int_eq(mt_tensor_read(two, own == 1 ? twice : plain), MT_OK);
        ck_assert_int_eq(mt_tensor_read(one, flat), MT_OK);
        mt_adam_destroy(adam);
        mt_parameters_destroy(set);
    }
    for (int i = 0; i < N; i++) {
        ck_assert_double_eq_tol(twice[i] - 0.25, 2.0 * (plain[i] - 0.25), 1e-15);
    }
    for (int i = 0; i < 5; i++) {
        ck_assert_double_eq(flat[i], 0.5);
    }
}
END_TEST

START_TEST(test_one_rate_of_all_is_followed)
{
    double before[N], after[N];
    ck_assert_int_eq(mt_parameters_set_rate(parameters, "*", 0.0), MT_OK);
    mt_adam *adam = make_adam(mt_adam_config_default());
    ck_assert_int_eq(adam->range_count, 1);
    set_grads(1);
    ck_assert_int_eq(mt_tensor_read(matrix, before), MT_OK);
    ck_assert_int_eq(mt_adam_step(adam, 0.1, 1.0, NULL), MT_OK);
    ck_assert_int_eq(mt_tensor_read(matrix, after), MT_OK);
    ck_assert_mem_eq(before, after, sizeof before);
    mt_adam_destroy(adam);
}
END_TEST

START_TEST(test_rates_of_parameters_out_of_range_are_refused)
{
    static const struct {
        const char *pattern;
        double factor;
        const char *says;
    } wrong[] = {{"matrix", -1.0, "matrix has the rate -1, not"},
                 {"*", NAN, "* has the rate nan, not"},
                 {"*", INFINITY, "* has the rate inf, not"},
                 {"matri", 2.0, "none of 2 has a name like matri"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(mt_parameters_set_rate(parameters, wrong[i].pattern, wrong[i].factor),
                         MT_ERROR_INVALID);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), wrong[i].says));
    }
    ck_assert_int_eq(mt_parameters_set_rate(NULL, "*", 1.0), MT_ERROR_INVALID);
    ck_assert_double_eq(parameters->items[0]->rate, 1.0);
}
END_TEST

START_TEST(test_rates_out_of_range_change_nothing)
{
    mt_adam *adam = make_adam(mt_adam_config_default());
    double before[N], after[N];
    static const struct {
        double lr, grad_scale;
        const char *part;
    } wrong[] = {{NAN, 1.0, "lr is nan"},
                 {-1.0, 1.0, "lr is -1"},
                 {INFINITY, 1.0, "lr is inf"},
                 {0.1, 0.0, "grad_scale is 0"},
                 {0.1, NAN, "grad_scale is nan"}};
    ck_assert_int_eq(mt_tensor_read(matrix, before), MT_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        set_grads(1);
        ck_assert_int_eq(mt_adam_step(adam, wrong[i].lr, wrong[i].grad_scale, NULL),
                         MT_ERROR_INVALID);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), wrong[i].part));
    }
    ck_assert_int_eq(mt_tensor_read(matrix, after), MT_OK);
    ck_assert_mem_eq(before, after, sizeof before);
    ck_assert_int_eq(adam->step, 0);
    mt_adam_destroy(adam);
}
END_TEST

START_TEST(test_parameters_refuse_a_name_twice)
{
    mt_parameters *set;
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &set), MT_OK);
    ck_assert_ptr_nonnull(
        mt_parameters_add(set, "a.", "weight", SHAPE(2), mt_initial_constant(1.0)));
    ck_assert_ptr_null(mt_parameters_add(set, "a.", "weight", SHAPE(2), mt_initial_constant(1.0)));
    ck_assert_int_eq(mt_parameters_allocate(set, 1), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "a.weight"));
    mt_parameters_destroy(set);
}
END_TEST

static mt_status add_named(const char *name)
{
    mt_parameters *set;
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &set), MT_OK);
    mt_parameters_add(set, "", name, SHAPE(2), mt_initial_constant(1.0));
    mt_status status = mt_parameters_allocate(set, 1);
    mt_parameters_destroy(set);
    return status;
}

START_TEST(test_names_that_no_file_could_hold_are_refused)
{
    char longest[MT_NAME_MAX], longer[MT_NAME_MAX + 1];
    memset(longest, 'a', sizeof longest);
    memset(longer, 'a', sizeof longer);
    longest[MT_NAME_MAX - 1] = longer[MT_NAME_MAX] = '\0';
    const struct {
        const char *name, *says;
    } wrong[] = {{"", "'' is no name"},
                 {".", "'.' is no name"},
                 {"a/b", "'a/b' is no name"},
                 {longer, "exceeds"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(add_named(wrong[i].name), MT_ERROR_INVALID);
        ck_assert_msg(strstr(mt_error_message(), wrong[i].says) != NULL, "%s", mt_error_message());
    }
    ck_assert_int_eq(add_named(longest), MT_OK);
}
END_TEST

START_TEST(test_sizes_that_nothing_has_are_refused)
{
    const int64_t huge = INT64_C(1) << 32;
    const struct {
        int64_t shape[2];
        const char *says;
    } wrong[] = {{{3, 0}, "a cannot have a dimension of 0"},
                 {{-1, 3}, "a cannot have a dimension of -1"},
                 {{huge, huge}, "a cannot have a dimension of 4294967296"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mt_parameters *set;
        ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &set), MT_OK);
        ck_assert_ptr_null(
            mt_parameters_add(set, "", "a", 2, wrong[i].shape, mt_initial_constant(1.0)));
        ck_assert_int_eq(mt_parameters_allocate(set, 1), MT_ERROR_INVALID);
        ck_assert_msg(strstr(mt_error_message(), wrong[i].says) != NULL, "%s", mt_error_message());
        mt_parameters_destroy(set);
    }
}
END_TEST

static Suite *adam_suite(void)
{
    return SUITE_WITH(
        "adam", setup, teardown, test_adam_is_the_formula,
        test_moments_are_zeros_until_all_are_written,
        test_moments_that_all_are_written_are_zero_between_parameters,
        test_moments_that_come_with_a_step_count, test_weight_decay_spares_vectors,
        test_clipping_scales_to_the_norm,
        test_gradients_that_are_not_finite_change_nothing_and_are_named,
        test_a_loss_that_is_not_finite_is_not_followed,
        test_gradients_whose_squares_overflow_change_nothing,
        test_settings_out_of_range_are_refused, test_parameters_have_rates_of_their_own,
        test_rates_of_parameters_out_of_range_are_refused, test_one_rate_of_all_is_followed,
        test_rates_out_of_range_change_nothing, test_parameters_refuse_a_name_twice,
        test_names_that_no_file_could_hold_are_refused, test_sizes_that_nothing_has_are_refused);
}

MT_TEST_MAIN(adam_suite)
