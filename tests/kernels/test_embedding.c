/* Rows of a table and their gradients. */
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

static const struct {
    int64_t N, V, C;
} shapes[] = {{0, 3, 4}, {1, 1, 1}, {3, 17, 33}, {33, 5, 17}, {300, 20, 150}, {17, 1000, 65}};

enum { SHAPES = sizeof shapes / sizeof *shapes };

static int32_t *read_indices(kernel_build *build, const int32_t *array, int64_t n)
{
    int32_t *values = (int32_t *)(void *)host_doubles(build, n);
    assert_ok(build->device->read_back(build->device, values, array, (size_t)n * sizeof *values));
    return values;
}

static void check_rows(kernel_build *build)
{
    for (int shape = 0; shape < SHAPES; shape++) {
        int64_t N = shapes[shape].N, V = shapes[shape].V, C = shapes[shape].C;
        mt_embedding_forward_args args = {.N = N,
                                          .V = V,
                                          .C = C,
                                          .indices = indices(build, N, (int32_t)V, 1),
                                          .table = uniform_wide(build, V * C, -1.0, 1.0, 2),
                                          .y = blank(build, N * C)};
        const int32_t *rows = read_indices(build, args.indices, N);
        const double *table = values_of(build, args.table, V * C);
        double *expected = host_doubles(build, N * C);
        for (int64_t i = 0; i < N * C; i++) {
            expected[i] = table[rows[i / C] * C + i % C];
        }
        assert_ok(build->kernels->embedding_forward(build->device, &args));
        assert_close(build, "y", args.y, expected, N * C, 0.0);
    }
}

START_TEST(test_forward_takes_rows_of_the_table)
{
    for_each_build(check_rows);
}
END_TEST

static void compare_table(kernel_build *build, int shape, int32_t padding_index)
{
    int64_t N = shapes[shape].N, V = shapes[shape].V, C = shapes[shape].C;
    mt_embedding_backward_args args = {.N = N,
                                       .V = V,
                                       .C = C,
                                       .padding_index = padding_index,
                                       .indices = indices(build, N, (int32_t)V, 1),
                                       .dy = uniform(build, N * C, -1.0, 1.0, 3),
                                       .dtable = blank_wide(build, V * C)};
    const int32_t *rows = read_indices(build, args.indices, N);
    const double *dy = values_of(build, args.dy, N * C);
    double *expected = host_doubles(build, V * C);
    for (int64_t i = 0; i < N * C; i++) {
        if (rows[i / C] != padding_index) {
            expected[rows[i / C] * C + i % C] += dy[i];
        }
    }
    assert_ok(build->kernels->embedding_backward(build->device, &args));
    assert_close(build, "dtable", args.dtable, expected, V * C, 64.0);
}

static void check_table(kernel_build *build)
{
    for (int shape = 0; shape < SHAPES; shape++) {
        compare_table(build, shape, -1);
        compare_table(build, shape, 0);
    }
}

/* A backward into what an earlier one left: `adds`, or rows that it used are NaN by now. */
static void check_again(kernel_build *build, bool adds)
{
    enum { N = 150, V = 40, C = 33, PADDING = 2 };
    double *table = host_doubles(build, V * C), *expected = host_doubles(build, V * C);
    uint8_t zero_rows[V], marks[V];
    mt_embedding_backward_args args = {.N = N,
                                       .V = V,
                                       .C = C,
                                       .padding_index = PADDING,
                                       .indices = indices(build, N, V / 2, 1),
                                       .dy = uniform(build, N * C, -1.0, 1.0, 3),
                                       .adds = adds};
    for (int64_t v = 0; v < V; v++) {
        zero_rows[v] = v % 3 == 0 ? 1 : 0;
        for (int64_t c = 0; c < C; c++) {
            double left = adds ? (double)(v % 7) : (double)NAN;
            table[v * C + c] = zero_rows[v] != 0 ? 0.0 : left;
            expected[v * C + c] = adds ? table[v * C + c] : 0.0;
        }
        marks[v] = !adds || zero_rows[v] != 0 ? 1 : 0;
    }
    const int32_t *rows = read_indices(build, args.indices, N);
    const double *dy = values_of(build, args.dy, N * C);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t c = 0; c < C && rows[n] != PADDING; c++) {
            expected[rows[n] * C + c] += dy[n * C + c];
        }
        marks[rows[n]] = rows[n] != PADDING ? 0 : marks[rows[n]];
    }
    args.dtable = upload_wide(build, table, V * C);
    args.zero_rows = blank_bytes(build, V);
    assert_ok(build->device->write(build->device, args.zero_rows, zero_rows, V));
    assert_ok(build->kernels->embedding_backward(build->device, &args));
    assert_close(build, "dtable", args.dtable, expected, V * C, 64.0);
    assert_ok(build->device->read_back(build->device, zero_rows, args.zero_rows, V));
    for (int64_t v = 0; v < V; v++) {
        ck_assert_int_eq(zero_rows[v] != 0, marks[v] != 0);
    }
}

static void check_clears(kernel_build *build)
{
    check_again(build, false);
}

static void check_adds(kernel_build *build)
{
    check_again(build, true);
}

START_TEST(test_backward_clears_the_rows_that_are_not_zero_and_tells_which_are)
{
    for_each_build(check_clears);
}
END_TEST

START_TEST(test_backward_adds_to_the_rows_that_are_used)
{
    for_each_build(check_adds);
}
END_TEST

START_TEST(test_backward_sums_the_uses_of_each_row_but_the_padding)
{
    for_each_build(check_table);
}
END_TEST

static void check_range(kernel_build *build)
{
    static const struct {
        int32_t index;
        const char *figure;
    } wrong[] = {{5, "index 5 at 2"}, {-1, "index -1 at 2"}, {INT32_MAX, "2147483647"}};
    for (int i = 0; i < 3; i++) {
        const int32_t values[] = {0, 4, wrong[i].index};
        int32_t *array = blank_bytes(build, sizeof values);
        assert_ok(build->device->write(build->device, array, values, sizeof values));
        mt_embedding_forward_args args = {.N = 3,
                                          .V = 5,
                                          .C = 2,
                                          .indices = array,
                                          .table = uniform_wide(build, 10, -1.0, 1.0, 1),
                                          .y = blank(build, 6)};
        mt_status status = settled(build, build->kernels->embedding_forward(build->device, &args));
        assert_fails_with(status, MT_ERROR_INVALID, wrong[i].figure);
        assert_fails_with(status, MT_ERROR_INVALID, "0 .. 4");
    }
}

START_TEST(test_index_out_of_range_is_refused_with_row_value_and_bound)
{
    for_each_build(check_range);
}
END_TEST

static Suite *embedding_suite(void)
{
    return SUITE("embedding", test_forward_takes_rows_of_the_table,
                 test_backward_sums_the_uses_of_each_row_but_the_padding,
                 test_backward_clears_the_rows_that_are_not_zero_and_tells_which_are,
                 test_backward_adds_to_the_rows_that_are_used,
                 test_index_out_of_range_is_refused_with_row_value_and_bound);
}

MT_TEST_MAIN(embedding_suite)
