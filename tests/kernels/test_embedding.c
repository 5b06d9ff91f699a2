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
                                          .table = uniform(build, V * C, -1.0, 1.0, 2),
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
                                       .dtable = blank(build, V * C)};
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
                                          .table = uniform(build, 10, -1.0, 1.0, 1),
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
                 test_index_out_of_range_is_refused_with_row_value_and_bound);
}

MT_TEST_MAIN(embedding_suite)
