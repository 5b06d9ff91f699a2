/* Softmax against its formula in double. */
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

static void softmax(const double *x, int64_t V, double *y)
{
    double largest = x[0], sum = 0.0;
    for (int64_t v = 0; v < V; v++) {
        largest = fmax(largest, x[v]);
    }
    for (int64_t v = 0; v < V; v++) {
        sum += exp(x[v] - largest);
    }
    for (int64_t v = 0; v < V; v++) {
        y[v] = exp(x[v] - largest) / sum;
    }
}

static void check_rows(kernel_build *build)
{
    static const int64_t shapes[][2] = {{1, 1}, {3, 1}, {5, 3}, {2, 33}, {7, 300}, {40, 1030}};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        int64_t N = shapes[shape][0], V = shapes[shape][1], n = N * V;
        void *x = uniform(build, n, -20.0, 20.0, 1), *dy = uniform(build, n, -1.0, 1.0, 2),
             *y = blank(build, n), *dx = blank(build, n);
        assert_ok(build->kernels->softmax_forward(build->device, N, V, x, y));
        assert_ok(build->kernels->softmax_backward(build->device, N, V, y, dy, dx));
        const double *in = values_of(build, x, n), *out = values_of(build, y, n),
                     *grad = values_of(build, dy, n);
        double *expected = host_doubles(build, n), *expected_dx = host_doubles(build, n);
        for (int64_t row = 0; row < N; row++) {
            double sum = 0.0;
            softmax(in + row * V, V, expected + row * V);
            for (int64_t i = row * V; i < (row + 1) * V; i++) {
                sum += out[i] * grad[i];
            }
            for (int64_t i = row * V; i < (row + 1) * V; i++) {
                expected_dx[i] = out[i] * (grad[i] - sum);
            }
        }
        assert_close(build, "softmax", y, expected, n, 8.0);
        assert_close(build, "softmax dx", dx, expected_dx, n, 8.0);
    }
}

START_TEST(test_rows_are_shares_of_one)
{
    for_each_build(check_rows);
}
END_TEST

/* What is masked by minus infinity has no share at all, also where a row begins with it; a NaN
 * shows in its whole row. */
static void check_extremes(kernel_build *build)
{
    enum { N = 4, V = 3 };
    const double values[N * V] = {-INFINITY, 1.0,   1.0,   1e4, -1e4, -INFINITY,
                                  -1e30,     -1e30, -1e30, 0.0, NAN,  0.0};
    const double expected[N * V] = {0.0, 0.5, 0.5, 1.0, 0.0, 0.0, 1 / 3.0, 1 / 3.0, 1 / 3.0};
    void *x = upload(build, values, N * V), *y = blank(build, N * V);
    assert_ok(build->kernels->softmax_forward(build->device, N, V, x, y));
    const double *out = values_of(build, y, N * V);
    for (int i = 0; i < N * V; i++) {
        bool right =
            i >= 9 ? isnan(out[i])
                   : is_within(build->dtype, out[i], expected[i], build->epsilon * expected[i]);
        ck_assert_msg(right, "%s: y[%d] is %g", build->name, i, out[i]);
    }
}

START_TEST(test_minus_infinity_has_no_share)
{
    for_each_build(check_extremes);
}
END_TEST

static Suite *softmax_suite(void)
{
    return SUITE("softmax", test_rows_are_shares_of_one, test_minus_infinity_has_no_share);
}

MT_TEST_MAIN(softmax_suite)
