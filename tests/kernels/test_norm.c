/* The four norms against the reference, forward and backward. */
#include "kernels/reference/reference.h"
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

typedef struct norm_case {
    mt_norm_kind kind;
    int64_t N, C, P;
    double eps;
} norm_case;

static const norm_case cases[] = {
    {MT_LAYER_NORM, 3, 1, 1, 1e-5},    {MT_LAYER_NORM, 3, 17, 17, 1e-12},
    {MT_LAYER_NORM, 33, 70, 70, 1e-5}, {MT_RMS_NORM, 1, 1, 1, 1e-5},
    {MT_RMS_NORM, 3, 17, 17, 1e-5},    {MT_RMS_NORM, 35, 33, 5, 1e-2},
    {MT_SCALE_NORM, 3, 17, 17, 1e-5},  {MT_SCALE_NORM, 33, 3, 3, 1.0},
    {MT_BASIC_NORM, 1, 3, 3, 0.0},     {MT_BASIC_NORM, 34, 33, 33, 0.0},
};

/* For the threads. */
static const norm_case large_cases[] = {{MT_LAYER_NORM, 100, 410, 410, 1e-12},
                                        {MT_RMS_NORM, 100, 410, 100, 1e-5},
                                        {MT_SCALE_NORM, 100, 410, 410, 1e-5},
                                        {MT_BASIC_NORM, 100, 410, 410, 0.0},
                                        {MT_LAYER_NORM, 1, 40001, 40001, 1e-5}};

enum {
    CASES = sizeof cases / sizeof *cases,
    LARGE_CASES = sizeof large_cases / sizeof *large_cases
};

static int64_t weights(const norm_case *c)
{
    return c->kind == MT_LAYER_NORM || c->kind == MT_RMS_NORM ? c->C : 1;
}

/* The arguments of a case, on the device, and as doubles for the reference. */
typedef struct norm_data {
    mt_norm_forward_args forward, plain_forward;
    mt_norm_backward_args backward, plain_backward;
} norm_data;

static mt_norm_backward_args backward_of(const mt_norm_forward_args *forward)
{
    return (mt_norm_backward_args){.kind = forward->kind,
                                   .N = forward->N,
                                   .C = forward->C,
                                   .P = forward->P,
                                   .eps = forward->eps,
                                   .x = forward->x,
                                   .weight = forward->weight,
                                   .mean = forward->mean,
                                   .scale = forward->scale};
}

/* x: the input on the device; NULL: random numbers. */
static norm_data make_data(kernel_build *build, const norm_case *c, const void *x)
{
    int64_t n = c->N * c->C;
    norm_data data = {.forward = {.kind = c->kind, .N = c->N, .C = c->C, .P = c->P, .eps = c->eps}};
    mt_norm_forward_args *forward = &data.forward, *plain = &data.plain_forward;
    forward->x = x != NULL ? x : uniform(build, n, -1.0, 1.5, 1);
    forward->weight = uniform_wide(build, weights(c), -1.0, 1.0, 2);
    forward->bias = uniform_wide(build, c->C, -1.0, 1.0, 3);
    forward->y = blank(build, n);
    forward->mean = blank_wide(build, c->N);
    forward->scale = blank_wide(build, c->N);
    *plain = *forward;
    plain->x = values_of(build, forward->x, n);
    plain->weight = values_of(build, forward->weight, weights(c));
    plain->bias = values_of(build, forward->bias, c->C);
    plain->y = host_doubles(build, n);
    plain->mean = host_doubles(build, c->N);
    plain->scale = host_doubles(build, c->N);
    data.backward = backward_of(forward);
    data.backward.dy = uniform(build, n, -1.0, 1.0, 4);
    data.backward.dx = blank(build, n);
    data.backward.dweight = blank_wide(build, weights(c));
    data.backward.dbias = c->kind == MT_LAYER_NORM ? blank_wide(build, c->C) : NULL;
    data.plain_backward = backward_of(plain);
    data.plain_backward.dy = values_of(build, data.backward.dy, n);
    data.plain_backward.dx = host_doubles(build, n);
    data.plain_backward.dweight = host_doubles(build, weights(c));
    data.plain_backward.dbias = host_doubles(build, c->C);
    return data;
}

/* Forward, on the device and by the reference. */
static void compare_forward(kernel_build *build, const norm_data *data, double units)
{
    mt_reference_norm_forward(&data->plain_forward);
    assert_ok(build->kernels->norm_forward(build->device, &data->forward));
    assert_close(build, "y", data->forward.y, data->plain_forward.y,
                 data->forward.N * data->forward.C, units);
}

static void check_forward(kernel_build *build)
{
    for (int i = 0; i < CASES + LARGE_CASES; i++) {
        const norm_case *c = i < CASES ? &cases[i] : &large_cases[i - CASES];
        if (!takes_too_long(build, c->C)) {
            norm_data data = make_data(build, c, NULL);
            compare_forward(build, &data, 32.0);
        }
    }
}

START_TEST(test_forward_is_the_references)
{
    for_each_build(check_forward);
}
END_TEST

static void check_backward(kernel_build *build)
{
    double units = build->dtype == MT_F64 ? 1e-6 / DBL_EPSILON : 256.0;
    for (int i = 0; i < CASES + LARGE_CASES; i++) {
        const norm_case *c = i < CASES ? &cases[i] : &large_cases[i - CASES];
        if (takes_too_long(build, c->C)) {
            continue;
        }
        norm_data data = make_data(build, c, NULL);
        const mt_norm_backward_args *args = &data.backward, *expected = &data.plain_backward;
        compare_forward(build, &data, 32.0);
        assert_ok(build->kernels->norm_backward(build->device, args));
        mt_reference_norm_backward(expected);
        assert_close(build, "dx", args->dx, expected->dx, c->N * c->C, units);
        assert_close(build, "dweight", args->dweight, expected->dweight, weights(c), units);
        if (args->dbias != NULL) {
            assert_close(build, "dbias", args->dbias, expected->dbias, c->C, units);
        }
    }
}

START_TEST(test_backward_is_the_references)
{
    for_each_build(check_backward);
}
END_TEST

/* Each output alone has the bits that it has among the others; with more elements than one thread
 * takes, the bits are compared between numbers of threads too. */
static void check_alone(kernel_build *build)
{
    for (int i = 0; i < LARGE_CASES; i++) {
        const norm_case *c = &large_cases[i];
        if (takes_too_long(build, c->C)) {
            continue;
        }
        norm_data data = make_data(build, c, NULL);
        mt_norm_backward_args alone = data.backward;
        assert_ok(build->kernels->norm_forward(build->device, &data.forward));
        assert_ok(build->kernels->norm_backward(build->device, &data.backward));
        alone.dx = blank(build, c->N * c->C);
        alone.dweight = alone.dbias = NULL;
        assert_ok(build->kernels->norm_backward(build->device, &alone));
        const double *dx = values_of(build, data.backward.dx, c->N * c->C);
        assert_close(build, "dx alone", alone.dx, dx, c->N * c->C, 0.0);
        alone.dx = NULL;
        alone.dweight = blank_wide(build, weights(c));
        assert_ok(build->kernels->norm_backward(build->device, &alone));
        const double *dweight = values_of(build, data.backward.dweight, weights(c));
        assert_close(build, "dweight alone", alone.dweight, dweight, weights(c), 0.0);
        alone.dweight = NULL;
        assert_ok(build->kernels->norm_backward(build->device, &alone));
        if (c->kind == MT_LAYER_NORM) {
            alone.dbias = blank_wide(build, c->C);
            assert_ok(build->kernels->norm_backward(build->device, &alone));
            const double *dbias = values_of(build, data.backward.dbias, c->C);
            assert_close(build, "dbias alone", alone.dbias, dbias, c->C, 0.0);
        }
    }
}

START_TEST(test_outputs_alone_have_the_same_bits)
{
    for_each_build(check_alone);
}
END_TEST

/* The embedding of the padding symbol is a row of zeros; a row of equal values has no variance. */
static void check_constant_rows(kernel_build *build)
{
    static const mt_norm_kind kinds[] = {MT_LAYER_NORM, MT_RMS_NORM, MT_SCALE_NORM, MT_BASIC_NORM};
    for (int kind = 0; kind < 4; kind++) {
        const norm_case c = {kinds[kind], 2, 33, 33, 1e-12};
        double *rows = host_doubles(build, 66);
        for (int i = 33; i < 66; i++) {
            rows[i] = kinds[kind] == MT_LAYER_NORM ? (double)(float)0.1 : 0.0;
        }
        norm_data data = make_data(build, &c, upload(build, rows, 66));
        const double *bias = data.plain_forward.bias;
        assert_ok(build->kernels->norm_forward(build->device, &data.forward));
        assert_ok(build->kernels->norm_backward(build->device, &data.backward));
        double *expected = host_doubles(build, 66);
        for (int i = 0; i < 66; i++) {
            expected[i] = kinds[kind] == MT_LAYER_NORM ? bias[i % 33] : 0.0;
        }
        assert_close(build, "y", data.forward.y, expected, 66, 0.0);
        const double *dx = values_of(build, data.backward.dx, 66);
        for (int i = 0; i < 66; i++) {
            ck_assert_msg(isfinite(dx[i]), "%s: norm %d: dx is %g", build->name, kind, dx[i]);
        }
    }
}

START_TEST(test_constant_rows_are_normed_to_the_bias)
{
    for_each_build(check_constant_rows);
}
END_TEST

/* A mean far from zero must not swallow the variance. */
static void check_offset(kernel_build *build)
{
    const norm_case c = {MT_LAYER_NORM, 3, 257, 257, 1e-12};
    double *rows = host_doubles(build, 3 * 257);
    for (int i = 0; i < 3 * 257; i++) {
        double distance = (double)(i * 37 % 64) / 64.0;
        rows[i] = 1024.0 + (build->dtype == MT_BF16 ? 32.0 * distance : distance); /* 4 numbers */
    }
    norm_data data = make_data(build, &c, upload(build, rows, 3 * 257));
    /* The mean's own rounding over the standard deviation; the reference's, too, in float64. */
    compare_forward(build, &data, build->dtype == MT_F64 ? 65536.0 : 4096.0);
}

START_TEST(test_layer_norm_of_values_far_from_zero)
{
    for_each_build(check_offset);
}
END_TEST

static Suite *norm_suite(void)
{
    return SUITE("norm", test_forward_is_the_references, test_backward_is_the_references,
                 test_outputs_alone_have_the_same_bits, test_constant_rows_are_normed_to_the_bias,
                 test_layer_norm_of_values_far_from_zero);
}

MT_TEST_MAIN(norm_suite)
