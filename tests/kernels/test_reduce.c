/* Sums and their inverses against sums in double. */
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

static const struct {
    int64_t N, C;
} shapes[] = {{1, 1},   {1, 33},  {3, 17},  {17, 3},   {31, 16},   {32, 64},
              {33, 65}, {100, 1}, {67, 70}, {700, 65}, {3, 27001}, {2, 131077}};

/* Several matrices of the last one's columns would show nothing new, and take long. */
enum { SHAPES = sizeof shapes / sizeof *shapes, SHAPES_OF_MATRICES = SHAPES - 1 };

static void check_rows(kernel_build *build)
{
    for (int shape = 0; shape < SHAPES; shape++) {
        int64_t N = shapes[shape].N, C = shapes[shape].C;
        if (takes_too_long(build, C)) {
            continue;
        }
        void *x = uniform(build, N * C, -1.0, 1.0, 1), *row = uniform_wide(build, C, -1.0, 1.0, 2);
        void *sum = blank_wide(build, C), *y = blank(build, N * C);
        assert_ok(build->kernels->sum_rows(build->device, 1, N, C, x, 0, sum, 0));
        assert_ok(build->kernels->broadcast_rows(build->device, N, C, row, y));
        const double *in = values_of(build, x, N * C), *from = values_of(build, row, C);
        double *expected_sum = host_doubles(build, C), *expected = host_doubles(build, N * C);
        for (int64_t i = 0; i < N * C; i++) {
            expected_sum[i % C] += in[i];
            expected[i] = from[i % C];
        }
        assert_close(build, "sum_rows", sum, expected_sum, C, 64.0);
        assert_close(build, "broadcast_rows", y, expected, N * C, 0.0);
    }
}

START_TEST(test_rows_are_summed_and_broadcast)
{
    for_each_build(check_rows);
}
END_TEST

/* More matrices than one pass takes, with gaps and without. */
static void check_matrices(kernel_build *build)
{
    enum { BATCH = 5 };
    for (int shape = 0; shape < SHAPES_OF_MATRICES; shape++) {
        int64_t N = shapes[shape].N, C = shapes[shape].C, gap = shape % 3;
        if (takes_too_long(build, BATCH * C)) {
            continue;
        }
        int64_t x_step = N * C + gap, y_step = C + gap;
        void *x = uniform(build, BATCH * x_step, -1.0, 1.0, 1);
        void *sums = uniform_wide(build, BATCH * y_step, -1.0, 1.0, 2);
        const double *in = values_of(build, x, BATCH * x_step);
        double *expected = values_of(build, sums, BATCH * y_step);
        for (int b = 0; b < BATCH; b++) {
            double *sum = expected + b * y_step;
            memset(sum, 0, (size_t)C * sizeof *sum);
            for (int64_t i = 0; i < N * C; i++) {
                sum[i % C] += in[b * x_step + i];
            }
        }
        assert_ok(build->kernels->sum_rows(build->device, BATCH, N, C, x, gap > 0 ? x_step : 0,
                                           sums, gap > 0 ? y_step : 0));
        assert_close(build, "sums of matrices", sums, expected, BATCH * y_step, 512.0);
    }
}

START_TEST(test_rows_of_several_matrices_are_summed)
{
    for_each_build(check_matrices);
}
END_TEST

static const int64_t sizes[] = {1, 3, 17, 33, 8191, 8192, 8193, 3 * MANY + 7};

enum { SIZES = sizeof sizes / sizeof *sizes };

static void check_sums(kernel_build *build)
{
    const mt_kernels *kernels = build->kernels;
    for (int size = 0; size < SIZES; size++) {
        int64_t n = sizes[size];
        void *a = uniform(build, n, -1.0, 1.0, 3), *b = uniform(build, n, -1.0, 1.0, 4);
        void *sum = blank_wide(build, 1), *mean = blank_wide(build, 1), *da = blank(build, n);
        void *dy = upload_wide(build, (double[]){0.5}, 1);
        double *squares = blank_bytes(build, sizeof(double)), squares_read;
        assert_ok(kernels->sum(build->device, n, -2.0, a, sum));
        assert_ok(kernels->sum_squares(build->device, n, a, squares));
        assert_ok(kernels->mean_square_forward(build->device, n, a, b, mean));
        assert_ok(kernels->mean_square_backward(build->device, n, a, b, dy, da));
        assert_ok(build->device->read_back(build->device, &squares_read, squares, sizeof(double)));
        const double *left = values_of(build, a, n), *right = values_of(build, b, n);
        double expected[3] = {0.0}, *expected_da = host_doubles(build, n);
        for (int64_t i = 0; i < n; i++) {
            double difference = left[i] - right[i];
            expected[0] -= 2.0 * left[i];
            expected[1] += left[i] * left[i];
            expected[2] += difference * difference / (double)n;
            expected_da[i] = 0.5 * 2.0 * difference / (double)n;
        }
        double units = build->dtype == MT_F64 ? 1000.0 : 2.0;
        assert_close(build, "sum", sum, &expected[0], 1, units);
        assert_close(build, "mean_square", mean, &expected[2], 1, units);
        assert_close(build, "da", da, expected_da, n, 4.0);
        ck_assert_double_le(fabs(squares_read - expected[1]), 1e-12 * expected[1]);
    }
}

START_TEST(test_sums_are_accumulated_in_double)
{
    for_each_build(check_sums);
}
END_TEST

/* Where the numbers are doubles, the sum is no wider than they are. */
static void check_large_mean(kernel_build *build)
{
    enum { N = 5000 };
    bool overflows = build->dtype == MT_F64;
    double *values = host_doubles(build, N), large = overflows ? 1e308 : 3e38;
    for (int64_t i = 0; i < N; i++) {
        values[i] = large;
    }
    void *x = upload(build, values, N), *mean = blank_wide(build, 1);
    assert_ok(build->kernels->sum(build->device, N, 1.0 / N, x, mean));
    double found = values_of(build, mean, 1)[0], expected = values_of(build, x, 1)[0];
    ck_assert_msg(overflows ? found == INFINITY
                            : fabs(found - expected) <= build->epsilon * expected,
                  "%s: the mean of %g is %g", build->name, expected, found);
}

START_TEST(test_a_mean_overflows_where_its_sum_in_double_does)
{
    for_each_build(check_large_mean);
}
END_TEST

/* What was halted stays so. */
static void check_watch(kernel_build *build)
{
    static const struct {
        double number;
        bool halts;
    } watched[] = {{3.0, false},      {-3.0, false}, {0.0, false}, {3.001, true},
                   {-INFINITY, true}, {NAN, true},   {1e30, true}};
    for (size_t i = 0; i < sizeof watched / sizeof *watched; i++) {
        const double begins = 7.0, zero = 0.0;
        double *halt = upload_as(build, MT_F64, &begins, 1);
        void *x = upload_wide(build, &watched[i].number, 1);
        assert_ok(build->kernels->watch(build->device, 3.0, x, halt));
        assert_ok(build->kernels->watch(build->device, 3.0, upload_wide(build, &zero, 1), halt));
        double left = values_of(build, halt, 1)[0];
        ck_assert_msg(watched[i].halts ? isnan(left) : left == begins, "%s: %g leaves %g",
                      build->name, watched[i].number, left);
    }
}

START_TEST(test_a_number_beyond_the_most_halts_for_good)
{
    for_each_build(check_watch);
}
END_TEST

static Suite *reduce_suite(void)
{
    return SUITE("reduce", test_rows_are_summed_and_broadcast,
                 test_rows_of_several_matrices_are_summed, test_sums_are_accumulated_in_double,
                 test_a_mean_overflows_where_its_sum_in_double_does,
                 test_a_number_beyond_the_most_halts_for_good);
}

MT_TEST_MAIN(reduce_suite)
