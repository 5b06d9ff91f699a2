/* The four norms: forward against ESPnet's formulas, backward against central differences of those
 * formulas, both in double. */
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

/* For the threads: sizes that central differences would take too long over. */
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

/* One row, as espnet2/asr_transducer/normalization.py has it. */
static void reference_row(const norm_case *c, const double *x, const double *weight,
                          const double *bias, double *y)
{
    double mean = 0.0, squares = 0.0, variance = 0.0, partial = 0.0;
    for (int64_t i = 0; i < c->C; i++) {
        mean += x[i] / (double)c->C;
        squares += x[i] * x[i];
        partial += i < c->P ? x[i] * x[i] : 0.0;
    }
    for (int64_t i = 0; i < c->C; i++) {
        variance += (x[i] - mean) * (x[i] - mean) / (double)c->C;
    }
    for (int64_t i = 0; i < c->C; i++) {
        switch (c->kind) {
        case MT_LAYER_NORM:
            y[i] = (x[i] - mean) / sqrt(variance + c->eps) * weight[i] + bias[i];
            break;
        case MT_RMS_NORM:
            y[i] = weight[i] * x[i] / (sqrt(partial / (double)c->P) + c->eps);
            break;
        case MT_SCALE_NORM:
            y[i] = weight[0] * x[i] / fmax(sqrt(squares), c->eps);
            break;
        case MT_BASIC_NORM:
            y[i] = x[i] / sqrt(squares / (double)c->C + exp(weight[0]));
            break;
        }
    }
}

typedef struct norm_data {
    mt_norm_forward_args forward;
    mt_norm_backward_args backward;
    double *x, *weight, *bias, *dy;
} norm_data;

static norm_data make_data(kernel_build *build, const norm_case *c)
{
    int64_t n = c->N * c->C;
    norm_data data = {.forward = {.kind = c->kind, .N = c->N, .C = c->C, .P = c->P, .eps = c->eps}};
    mt_norm_forward_args *forward = &data.forward;
    forward->x = uniform(build, n, -1.0, 1.5, 1);
    forward->weight = uniform(build, weights(c), -1.0, 1.0, 2);
    forward->bias = uniform(build, c->C, -1.0, 1.0, 3);
    forward->y = blank(build, n);
    forward->mean = blank(build, c->N);
    forward->scale = blank(build, c->N);
    void *dy = uniform(build, n, -1.0, 1.0, 4);
    data.backward =
        (mt_norm_backward_args){.kind = c->kind,
                                .N = c->N,
                                .C = c->C,
                                .P = c->P,
                                .eps = c->eps,
                                .x = forward->x,
                                .weight = forward->weight,
                                .mean = forward->mean,
                                .scale = forward->scale,
                                .dy = dy,
                                .dx = blank(build, n),
                                .dweight = blank(build, weights(c)),
                                .dbias = c->kind == MT_LAYER_NORM ? blank(build, c->C) : NULL};
    data.x = values_of(build, forward->x, n);
    data.weight = values_of(build, forward->weight, weights(c));
    data.bias = values_of(build, forward->bias, c->C);
    data.dy = values_of(build, dy, n);
    return data;
}

static void check_forward(kernel_build *build)
{
    for (int i = 0; i < CASES + LARGE_CASES; i++) {
        const norm_case *c = i < CASES ? &cases[i] : &large_cases[i - CASES];
        norm_data data = make_data(build, c);
        double *expected = host_doubles(build, c->N * c->C);
        for (int64_t n = 0; n < c->N; n++) {
            reference_row(c, data.x + n * c->C, data.weight, data.bias, expected + n * c->C);
        }
        assert_ok(build->kernels->norm_forward(build->device, &data.forward));
        assert_close(build, "y", data.forward.y, expected, c->N * c->C, 32.0);
    }
}

START_TEST(test_forward_is_espnets_formula)
{
    for_each_build(check_forward);
}
END_TEST

/* The sum of dy y over one row. */
static double row_objective(const norm_case *c, const norm_data *data, int64_t n)
{
    double sum = 0.0, *y = calloc((size_t)c->C, sizeof *y);
    ck_assert_ptr_nonnull(y);
    reference_row(c, data->x + n * c->C, data->weight, data->bias, y);
    for (int64_t i = 0; i < c->C; i++) {
        sum += data->dy[n * c->C + i] * y[i];
    }
    free(y);
    return sum;
}

static double objective(const norm_case *c, const norm_data *data)
{
    double sum = 0.0;
    for (int64_t n = 0; n < c->N; n++) {
        sum += row_objective(c, data, n);
    }
    return sum;
}

/* d objective / d *value, by central differences; row < 0: of all rows. */
static double difference(const norm_case *c, const norm_data *data, double *value, int64_t row)
{
    const double h = 1e-5, at = *value;
    double sides[2];
    for (int side = 0; side < 2; side++) {
        *value = side == 0 ? at + h : at - h;
        sides[side] = row < 0 ? objective(c, data) : row_objective(c, data, row);
    }
    *value = at;
    return (sides[0] - sides[1]) / (2.0 * h);
}

static void compare_differences(kernel_build *build, const norm_case *c)
{
    norm_data data = make_data(build, c);
    double *dx = host_doubles(build, c->N * c->C), *dbias = host_doubles(build, c->C);
    double *dweight = host_doubles(build, weights(c));
    assert_ok(build->kernels->norm_forward(build->device, &data.forward));
    assert_ok(build->kernels->norm_backward(build->device, &data.backward));
    for (int64_t i = 0; i < c->N * c->C; i++) {
        dx[i] = difference(c, &data, &data.x[i], i / c->C);
    }
    for (int64_t i = 0; i < weights(c); i++) {
        dweight[i] = difference(c, &data, &data.weight[i], -1);
    }
    for (int64_t i = 0; i < c->C && data.backward.dbias != NULL; i++) {
        dbias[i] = difference(c, &data, &data.bias[i], -1);
    }
    double units = build->dtype == MT_F64 ? 1e-6 / DBL_EPSILON : 256.0;
    assert_close(build, "dx", data.backward.dx, dx, c->N * c->C, units);
    assert_close(build, "dweight", data.backward.dweight, dweight, weights(c), units);
    if (data.backward.dbias != NULL) {
        assert_close(build, "dbias", data.backward.dbias, dbias, c->C, units);
    }
}

static void check_backward(kernel_build *build)
{
    for (int i = 0; i < CASES; i++) {
        compare_differences(build, &cases[i]);
    }
}

START_TEST(test_backward_is_the_central_difference)
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
        norm_data data = make_data(build, c);
        mt_norm_backward_args alone = data.backward;
        assert_ok(build->kernels->norm_forward(build->device, &data.forward));
        assert_ok(build->kernels->norm_backward(build->device, &data.backward));
        alone.dx = blank(build, c->N * c->C);
        alone.dweight = alone.dbias = NULL;
        assert_ok(build->kernels->norm_backward(build->device, &alone));
        const double *dx = values_of(build, data.backward.dx, c->N * c->C);
        assert_close(build, "dx alone", alone.dx, dx, c->N * c->C, 0.0);
        alone.dx = NULL;
        alone.dweight = blank(build, weights(c));
        assert_ok(build->kernels->norm_backward(build->device, &alone));
        const double *dweight = values_of(build, data.backward.dweight, weights(c));
        assert_close(build, "dweight alone", alone.dweight, dweight, weights(c), 0.0);
        alone.dweight = NULL;
        assert_ok(build->kernels->norm_backward(build->device, &alone));
        if (c->kind == MT_LAYER_NORM) {
            alone.dbias = blank(build, c->C);
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
        norm_data data = make_data(build, &c);
        double *rows = host_doubles(build, 66);
        for (int i = 33; i < 66; i++) {
            rows[i] = kinds[kind] == MT_LAYER_NORM ? (double)(float)0.1 : 0.0;
        }
        data.forward.x = data.backward.x = upload(build, rows, 66);
        assert_ok(build->kernels->norm_forward(build->device, &data.forward));
        assert_ok(build->kernels->norm_backward(build->device, &data.backward));
        double *expected = host_doubles(build, 66);
        for (int i = 0; i < 66; i++) {
            expected[i] = kinds[kind] == MT_LAYER_NORM ? data.bias[i % 33] : 0.0;
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
    norm_data data = make_data(build, &c);
    double *rows = host_doubles(build, 3 * 257), *expected = host_doubles(build, 3 * 257);
    for (int i = 0; i < 3 * 257; i++) {
        rows[i] = 1024.0 + (double)(i * 37 % 64) / 64.0;
    }
    data.forward.x = upload(build, rows, 3 * 257);
    for (int n = 0; n < 3; n++) {
        reference_row(&c, rows + n * 257, data.weight, data.bias, expected + n * 257);
    }
    assert_ok(build->kernels->norm_forward(build->device, &data.forward));
    /* The mean's own rounding over the standard deviation; the reference's, too, in float64. */
    double units = build->dtype == MT_F64 ? 65536.0 : 4096.0;
    assert_close(build, "y", data.forward.y, expected, 3 * 257, units);
}

START_TEST(test_layer_norm_of_values_far_from_zero)
{
    for_each_build(check_offset);
}
END_TEST

static Suite *norm_suite(void)
{
    return SUITE("norm", test_forward_is_espnets_formula, test_backward_is_the_central_difference,
                 test_outputs_alone_have_the_same_bits, test_constant_rows_are_normed_to_the_bias,
                 test_layer_norm_of_values_far_from_zero);
}

MT_TEST_MAIN(norm_suite)
