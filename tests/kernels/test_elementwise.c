/* Element-wise kernels against their formulas in double. */
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

static const int64_t sizes[] = {0, 1, 3, 17, 33, MANY + 5};

enum { SIZES = sizeof sizes / sizeof *sizes };

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

typedef double (*formula)(const double *inputs);

/* Asserts y[i] = of(a[i], b[i], c[i]). */
static void compare(kernel_build *build, const char *what, const void *y, int64_t n, formula of,
                    const void *a, const void *b, const void *c)
{
    const void *arrays[] = {a, b, c};
    const double *inputs[3];
    double *expected = host_doubles(build, n);
    for (int i = 0; i < 3; i++) {
        inputs[i] = arrays[i] != NULL ? values_of(build, arrays[i], n) : host_doubles(build, n);
    }
    for (int64_t i = 0; i < n; i++) {
        expected[i] = of((double[]){inputs[0][i], inputs[1][i], inputs[2][i]});
    }
    assert_close(build, what, y, expected, n, 8.0);
}

static double of_add(const double *in)
{
    return in[0] + in[1];
}

static double of_subtract(const double *in)
{
    return in[0] - in[1];
}

static double of_multiply(const double *in)
{
    return in[0] * in[1];
}

static double of_divide(const double *in)
{
    return in[0] / in[1];
}

static double of_scale(const double *in)
{
    return -0.75 * in[0];
}

static double of_fill(const double *in)
{
    (void)in;
    return 0.3; /* no sum of few powers of two */
}

static void check_arithmetic(kernel_build *build)
{
    const mt_kernels *kernels = build->kernels;
    for (int size = 0; size < SIZES; size++) {
        int64_t n = sizes[size];
        void *a = uniform(build, n, -2.0, 2.0, 1), *b = uniform(build, n, -2.0, 2.0, 2);
        void *y = blank(build, n);
        assert_ok(kernels->fill(build->device, n, 0.3, y));
        compare(build, "fill", y, n, of_fill, NULL, NULL, NULL);
        assert_ok(kernels->add(build->device, n, a, b, y));
        compare(build, "add", y, n, of_add, a, b, NULL);
        assert_ok(kernels->subtract(build->device, n, a, b, y));
        compare(build, "subtract", y, n, of_subtract, a, b, NULL);
        assert_ok(kernels->multiply(build->device, n, a, b, y));
        compare(build, "multiply", y, n, of_multiply, a, b, NULL);
        void *divisor = uniform(build, n, 0.5, 2.0, 3);
        assert_ok(kernels->divide(build->device, n, a, divisor, y));
        compare(build, "divide", y, n, of_divide, a, divisor, NULL);
        assert_ok(kernels->scale(build->device, n, -0.75, a, y));
        compare(build, "scale", y, n, of_scale, a, NULL, NULL);
        const double alpha = -0.75;
        y = blank(build, n);
        assert_ok(kernels->scale_by(build->device, n, upload_wide(build, &alpha, 1), a, y));
        compare(build, "scale_by", y, n, of_scale, a, NULL, NULL);
    }
}

START_TEST(test_arithmetic_is_exact_to_rounding)
{
    for_each_build(check_arithmetic);
}
END_TEST

typedef mt_status (*binary_kernel)(mt_device *, int64_t, const void *, const void *, void *);

/* The output may be either input. */
static void check_in_place(kernel_build *build)
{
    const int64_t n = MANY + 5;
    const binary_kernel binary[] = {build->kernels->add, build->kernels->subtract,
                                    build->kernels->multiply, build->kernels->divide};
    const formula formulas[] = {of_add, of_subtract, of_multiply, of_divide};
    for (int i = 0; i < 4; i++) {
        void *a = uniform(build, n, -2.0, 2.0, 1), *b = uniform(build, n, 0.5, 2.0, 2);
        void *y = uniform(build, n, -2.0, 2.0, 1), *z = uniform(build, n, 0.5, 2.0, 2);
        assert_ok(binary[i](build->device, n, y, b, y));
        compare(build, "y is a", y, n, formulas[i], a, b, NULL);
        assert_ok(binary[i](build->device, n, a, z, z));
        compare(build, "y is b", z, n, formulas[i], a, b, NULL);
    }
    void *x = uniform(build, n, -2.0, 2.0, 1), *y = uniform(build, n, -2.0, 2.0, 1);
    assert_ok(build->kernels->scale(build->device, n, -0.75, y, y));
    compare(build, "y is x", y, n, of_scale, x, NULL, NULL);
}

START_TEST(test_arithmetic_may_be_in_place)
{
    for_each_build(check_in_place);
}
END_TEST

/* Each array alone begins where no access to several reals may, and some of them together. */
static void check_places(kernel_build *build)
{
    const int64_t n = 64;
    for (int apart = 0; apart < 8; apart++) {
        void *arrays[3];
        for (int i = 0; i < 3; i++) {
            arrays[i] = uniform(build, n + 1, -2.0, 2.0, (uint64_t)i);
            arrays[i] = apart >> i & 1 ? without_first_real(build, arrays[i]) : arrays[i];
        }
        assert_ok(build->kernels->add(build->device, n, arrays[0], arrays[1], arrays[2]));
        compare(build, "add", arrays[2], n, of_add, arrays[0], arrays[1], NULL);
    }
}

START_TEST(test_arrays_may_begin_at_any_real)
{
    for_each_build(check_places);
}
END_TEST

static double of_sigmoid(const double *in)
{
    return sigmoid(in[0]);
}

static double of_sigmoid_backward(const double *in)
{
    return in[1] * in[0] * (1.0 - in[0]);
}

static double of_squared_relu(const double *in)
{
    return in[0] > 0.0 ? in[0] * in[0] : 0.0;
}

static double of_squared_relu_backward(const double *in)
{
    return 2.0 * sqrt(in[0]) * in[1]; /* from the output */
}

static double of_gate(const double *in)
{
    return sigmoid(in[0]) * in[1];
}

static double of_gate_dr(const double *in)
{
    double s = sigmoid(in[0]);
    return in[2] * in[1] * s * (1.0 - s);
}

static double of_gate_dx(const double *in)
{
    return in[2] * sigmoid(in[0]);
}

static void check_activations(kernel_build *build)
{
    const mt_kernels *kernels = build->kernels;
    mt_device *device = build->device;
    for (int size = 0; size < SIZES; size++) {
        int64_t n = sizes[size];
        void *r = uniform(build, n, -6.0, 6.0, 3), *x = uniform(build, n, -2.0, 2.0, 4),
             *dy = uniform(build, n, -1.0, 1.0, 5);
        void *y = blank(build, n), *dr = blank(build, n), *dx = blank(build, n);
        assert_ok(kernels->sigmoid_forward(device, n, r, y));
        compare(build, "sigmoid", y, n, of_sigmoid, r, NULL, NULL);
        assert_ok(kernels->sigmoid_backward(device, n, y, dy, dx));
        compare(build, "sigmoid dx", dx, n, of_sigmoid_backward, y, dy, NULL);
        assert_ok(kernels->squared_relu_forward(device, n, 1, x, NULL, y));
        compare(build, "squared_relu", y, n, of_squared_relu, x, NULL, NULL);
        assert_ok(kernels->squared_relu_backward(device, n, y, dy, dx));
        compare(build, "squared_relu dx", dx, n, of_squared_relu_backward, y, dy, NULL);
        assert_ok(kernels->sigmoid_gate_forward(device, n, r, x, y));
        compare(build, "gate", y, n, of_gate, r, x, NULL);
        assert_ok(kernels->sigmoid_gate_backward(device, n, r, x, dy, dr, dx));
        compare(build, "gate dr", dr, n, of_gate_dr, r, x, dy);
        compare(build, "gate dx", dx, n, of_gate_dx, r, x, dy);
        void *dr_alone = blank(build, n), *dx_alone = blank(build, n);
        assert_ok(kernels->sigmoid_gate_backward(device, n, r, x, dy, dr_alone, NULL));
        assert_ok(kernels->sigmoid_gate_backward(device, n, r, x, dy, NULL, dx_alone));
        assert_ok(kernels->sigmoid_gate_backward(device, n, r, x, dy, NULL, NULL));
        compare(build, "gate dr alone", dr_alone, n, of_gate_dr, r, x, dy);
        compare(build, "gate dx alone", dx_alone, n, of_gate_dx, r, x, dy);
    }
}

START_TEST(test_activations_and_their_derivatives)
{
    for_each_build(check_activations);
}
END_TEST

static double of_exp(const double *in)
{
    return exp(in[0]);
}

static double of_log(const double *in)
{
    return log(in[0]);
}

static double of_tanh(const double *in)
{
    return tanh(in[0]);
}

static double of_tanh_backward(const double *in)
{
    return in[1] * (1.0 - in[0] * in[0]);
}

static double of_relu(const double *in)
{
    return in[0] > 0.0 ? in[0] : 0.0;
}

static double of_relu_backward(const double *in)
{
    return in[0] > 0.0 ? in[1] : 0.0;
}

static double share_below(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

static double of_gelu(const double *in)
{
    return in[0] * share_below(in[0]);
}

static double of_gelu_backward(const double *in)
{
    double density = exp(-0.5 * in[0] * in[0]) / sqrt(2.0 * acos(-1.0));
    return in[1] * (share_below(in[0]) + in[0] * density);
}

static void check_functions(kernel_build *build)
{
    const mt_kernels *kernels = build->kernels;
    mt_device *device = build->device;
    for (int size = 0; size < SIZES; size++) {
        int64_t n = sizes[size];
        void *x = uniform(build, n, -6.0, 6.0, 7), *above = uniform(build, n, 1e-3, 50.0, 8),
             *dy = uniform(build, n, -1.0, 1.0, 9), *y = blank(build, n), *dx = blank(build, n);
        assert_ok(kernels->exp_forward(device, n, x, y));
        compare(build, "exp", y, n, of_exp, x, NULL, NULL);
        assert_ok(kernels->log_forward(device, n, above, y));
        compare(build, "log", y, n, of_log, above, NULL, NULL);
        assert_ok(kernels->tanh_forward(device, n, x, y));
        compare(build, "tanh", y, n, of_tanh, x, NULL, NULL);
        assert_ok(kernels->tanh_backward(device, n, y, dy, dx));
        compare(build, "tanh dx", dx, n, of_tanh_backward, y, dy, NULL);
        assert_ok(kernels->relu_forward(device, n, x, y));
        compare(build, "relu", y, n, of_relu, x, NULL, NULL);
        assert_ok(kernels->relu_backward(device, n, y, dy, dx));
        compare(build, "relu dx", dx, n, of_relu_backward, y, dy, NULL);
        assert_ok(kernels->gelu_forward(device, n, x, y));
        compare(build, "gelu", y, n, of_gelu, x, NULL, NULL);
        assert_ok(kernels->gelu_backward(device, n, x, dy, dx));
        compare(build, "gelu dx", dx, n, of_gelu_backward, x, dy, NULL);
    }
}

START_TEST(test_functions_and_their_derivatives)
{
    for_each_build(check_functions);
}
END_TEST

/* Relative to the result, which may be small: near 0 for tanh, far below it for gelu. */
static void check_small_results(kernel_build *build)
{
    enum { N = 4000 };
    double values[N];
    for (int i = 0; i < N; i++) {
        values[i] = (i % 2 == 0 ? 1.0 : -1.0) * exp(-30.0 + 32.0 * i / N);
    }
    void *x = upload(build, values, N), *t = blank(build, N), *g = blank(build, N);
    assert_ok(build->kernels->tanh_forward(build->device, N, x, t));
    assert_ok(build->kernels->gelu_forward(build->device, N, x, g));
    const double *in = values_of(build, x, N), *hyperbolic = values_of(build, t, N),
                 *gelu = values_of(build, g, N);
    for (int i = 0; i < N; i++) {
        double expected[] = {tanh(in[i]), in[i] * share_below(in[i])};
        double units = 4.0 + 2.0 * in[i] * in[i]; /* a rounded argument of a Gaussian */
        double bounds[] = {4.0 * build->epsilon * fabs(expected[0]),
                           units * build->epsilon * fabs(expected[1])};
        if (!is_within(build->dtype, hyperbolic[i], expected[0], bounds[0]) ||
            !is_within(build->dtype, gelu[i], expected[1], bounds[1])) {
            ck_abort_msg("%s: of %.17g tanh is %.17g, gelu %.17g; expected %.17g, %.17g",
                         build->name, in[i], hyperbolic[i], gelu[i], expected[0], expected[1]);
        }
    }
}

START_TEST(test_small_results_have_all_their_digits)
{
    for_each_build(check_small_results);
}
END_TEST

/* With a bias for each column, which may begin at any real, in place; the gradient from the output
 * is that from the input, unless the output was rounded to bfloat16. */
static void check_biased_squared_relu(kernel_build *build)
{
    static const int64_t shapes[][2] = {
        {0, 4}, {1, 1}, {5, 3}, {7, 64}, {401, 100}, {MANY / 1024 + 1, 1028}, {9, 128}};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        int64_t N = shapes[shape][0], C = shapes[shape][1];
        void *x = uniform(build, N * C, -2.0, 2.0, 4),
             *bias = uniform_wide(build, C + 1, -1.0, 1.0, 5);
        bias = shape % 2 == 1 ? without_first_real(build, bias) : bias;
        double *in = values_of(build, x, N * C), *expected = host_doubles(build, N * C),
               *added = values_of(build, bias, C), *slope = host_doubles(build, N * C);
        for (int64_t i = 0; i < N * C; i++) {
            double sum = in[i] + added[i % C];
            expected[i] = of_squared_relu(&sum);
            slope[i] = sum > 0.0 ? 2.0 * sum : 0.0;
        }
        assert_ok(build->kernels->squared_relu_forward(build->device, N, C, x, bias, x));
        assert_close(build, "biased squared_relu", x, expected, N * C, 8.0);
        const double *out = values_of(build, x, N * C);
        for (int64_t i = 0; i < N * C && build->dtype == MT_BF16; i++) {
            slope[i] = 2.0 * sqrt(out[i]);
        }
        void *ones = blank(build, N * C), *dx = blank(build, N * C);
        assert_ok(build->kernels->fill(build->device, N * C, 1.0, ones));
        assert_ok(build->kernels->squared_relu_backward(build->device, N * C, x, ones, dx));
        assert_close(build, "biased squared_relu dx", dx, slope, N * C, 8.0);
    }
}

START_TEST(test_a_bias_is_added_before_the_square)
{
    for_each_build(check_biased_squared_relu);
}
END_TEST

/* The exponential over its whole range, where the result is a normal number. */
static void check_exponential(kernel_build *build)
{
    const int64_t n = 20001;
    double range = build->dtype == MT_F64 ? 707.0 : 87.0;
    void *x = uniform(build, n, -range, range, 6), *y = blank(build, n);
    assert_ok(build->kernels->negative_exp_forward(build->device, n, x, y));
    const double *in = values_of(build, x, n), *out = values_of(build, y, n);
    for (int64_t i = 0; i < n; i++) {
        double expected = -exp(in[i]);
        if (!is_within(build->dtype, out[i], expected, 2.0 * build->epsilon * fabs(expected))) {
            ck_abort_msg("%s: -exp(%.17g) is %.17g, expected %.17g", build->name, in[i], out[i],
                         expected);
        }
    }
}

START_TEST(test_exponential_is_right_to_two_units_in_the_last_place)
{
    for_each_build(check_exponential);
}
END_TEST

static void check_extremes(kernel_build *build)
{
    const double values[] = {0.0,  -0.0,     -200.0,    -1e4, 1e4,     -1e30,
                             1e30, INFINITY, -INFINITY, NAN,  -1000.0, 1000.0};
    enum { N = sizeof values / sizeof *values };
    void *x = upload(build, values, N), *e = blank(build, N), *s = blank(build, N),
         *t = blank(build, N), *r = blank(build, N);
    assert_ok(build->kernels->negative_exp_forward(build->device, N, x, e));
    assert_ok(build->kernels->sigmoid_forward(build->device, N, x, s));
    assert_ok(build->kernels->tanh_forward(build->device, N, x, t));
    assert_ok(build->kernels->relu_forward(build->device, N, x, r));
    const double *in = values_of(build, x, N), *exponential = values_of(build, e, N),
                 *gate = values_of(build, s, N), *hyperbolic = values_of(build, t, N),
                 *positive = values_of(build, r, N);
    for (int i = 0; i < N; i++) {
        if (isnan(in[i])) {
            ck_assert(isnan(exponential[i]) && isnan(gate[i]));
            ck_assert(isnan(hyperbolic[i]) && isnan(positive[i]));
        } else {
            ck_assert_msg(is_within(build->dtype, exponential[i], -exp(in[i]), 1e-30),
                          "%s: -exp(%g) is %g", build->name, in[i], exponential[i]);
            ck_assert_msg(is_within(build->dtype, gate[i], sigmoid(in[i]), build->epsilon),
                          "%s: sigmoid(%g) is %g", build->name, in[i], gate[i]);
            ck_assert_msg(is_within(build->dtype, hyperbolic[i], tanh(in[i]), build->epsilon),
                          "%s: tanh(%g) is %g", build->name, in[i], hyperbolic[i]);
            ck_assert_msg(positive[i] == (in[i] > 0.0 ? in[i] : 0.0), "%s: max(%g, 0) is %g",
                          build->name, in[i], positive[i]);
        }
    }
}

START_TEST(test_functions_of_extremes)
{
    for_each_build(check_extremes);
}
END_TEST

static Suite *elementwise_suite(void)
{
    return SUITE("elementwise", test_arithmetic_is_exact_to_rounding,
                 test_arithmetic_may_be_in_place, test_arrays_may_begin_at_any_real,
                 test_activations_and_their_derivatives, test_a_bias_is_added_before_the_square,
                 test_exponential_is_right_to_two_units_in_the_last_place,
                 test_functions_of_extremes, test_functions_and_their_derivatives,
                 test_small_results_have_all_their_digits);
}

MT_TEST_MAIN(elementwise_suite)
