/* Numbers that are moved must be where they belong, and nothing else. */
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

/* Slices: rows of both arrays further apart than they are long. */
static void check_copy(kernel_build *build)
{
    static const struct {
        int64_t rows, columns, from_stride, to_stride;
    } copies[] = {{1, 1, 1, 1},    {3, 17, 17, 20},      {33, 5, 9, 5},
                  {5000, 1, 3, 2}, {300, 200, 210, 201}, {1, 50000, 50000, 50001}};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        int64_t rows = copies[i].rows, columns = copies[i].columns;
        int64_t from_stride = copies[i].from_stride, to_stride = copies[i].to_stride;
        void *from = uniform(build, rows * from_stride, -1.0, 1.0, 5);
        void *to = uniform(build, rows * to_stride, -1.0, 1.0, 6);
        const double *source = values_of(build, from, rows * from_stride);
        double *expected = values_of(build, to, rows * to_stride);
        for (int64_t row = 0; row < rows; row++) {
            memcpy(expected + row * to_stride, source + row * from_stride,
                   (size_t)columns * sizeof(double));
        }
        assert_ok(build->kernels->copy_rows(build->device, rows, columns, from, from_stride, to,
                                            to_stride));
        assert_close(build, "copy_rows", to, expected, rows * to_stride, 0.0);
    }
}

START_TEST(test_copy_rows_leaves_what_lies_between_rows)
{
    for_each_build(check_copy);
}
END_TEST

/* Wide and tall, with and without anything before, between and behind the axes. */
static void check_axes(kernel_build *build)
{
    static const int64_t shapes[][5] = {{1, 1, 1, 1, 1},     {1, 3, 1, 5, 1},  {2, 33, 1, 70, 1},
                                        {2, 3, 4, 5, 1},     {1, 17, 1, 3, 9}, {3, 2, 5, 33, 7},
                                        {1, 300, 1, 200, 1}, {1, 1, 7, 40, 1}};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        int64_t A = shapes[shape][0], P = shapes[shape][1], M = shapes[shape][2],
                Q = shapes[shape][3], N = shapes[shape][4], n = A * P * M * Q * N;
        void *x = uniform(build, n, -1.0, 1.0, 5), *y = blank(build, n);
        const double *from = values_of(build, x, n);
        double *expected = host_doubles(build, n);
        for (int64_t i = 0; i < n; i++) {
            int64_t at = i % N, q = i / N % Q, m = i / N / Q % M, p = i / N / Q / M % P,
                    a = i / N / Q / M / P;
            expected[(((a * Q + q) * M + m) * P + p) * N + at] = from[i];
        }
        assert_ok(build->kernels->swap_axes(build->device, A, P, M, Q, N, x, y));
        assert_close(build, "swap_axes", y, expected, n, 0.0);
    }
}

START_TEST(test_axes_change_places)
{
    for_each_build(check_axes);
}
END_TEST

/* What is halted stays, and its neighbours, too. */
static void check_commit(kernel_build *build)
{
    static const int64_t sizes[] = {1, 17, 5000};
    static const double halts[] = {0.0, (double)NAN};
    for (int i = 0; i < 3 * 2; i++) {
        int64_t n = sizes[i / 2];
        void *x = uniform_wide(build, n + 1, -1.0, 1.0, 5);
        void *y = uniform_wide(build, n + 1, -1.0, 1.0, 6);
        double *expected = values_of(build, y, n + 1);
        double *halt = upload_as(build, MT_F64, &halts[i % 2], 1);
        if (i % 2 == 0) {
            memcpy(expected, values_of(build, x, n), (size_t)n * sizeof *expected);
        }
        assert_ok(build->kernels->commit(build->device, n, halt, x, y));
        assert_close(build, "commit", y, expected, n + 1, 0.0);
    }
}

START_TEST(test_numbers_are_taken_over_unless_halted)
{
    for_each_build(check_commit);
}
END_TEST

static Suite *rearrange_suite(void)
{
    return SUITE("rearrange", test_copy_rows_leaves_what_lies_between_rows, test_axes_change_places,
                 test_numbers_are_taken_over_unless_halted);
}

MT_TEST_MAIN(rearrange_suite)
