/* Orthogonal initial values: against the product of reflections written plainly, by what makes them
 * orthogonal, and by their distribution. */
#include <mixtape/device.h>
#include <mixtape/parameter.h>

#include "tests/check_main.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t shapes[][2] = {{1, 1},   {1, 5},   {5, 1},   {2, 2},     {3, 3},    {33, 40},
                                    {40, 33}, {64, 65}, {65, 64}, {200, 131}, {97, 201}, {32, 32}};

enum { SHAPES = sizeof shapes / sizeof *shapes };

static double *reserve(int64_t n)
{
    double *values = calloc((size_t)n, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

static double *draw(int64_t height, int64_t width, double gain, uint64_t seed)
{
    double *values = reserve(height * width);
    mt_initial initial = mt_initial_orthogonal(width, gain);
    mt_random random = mt_random_make(seed, 1);
    initial.fill(&initial, &random, height * width, values);
    return values;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

/* The count columns of length elements, each in one piece; tall matrices have them as columns. */
static double *columns_of(const double *values, int64_t height, int64_t width, int64_t *count)
{
    bool is_tall = height >= width;
    int64_t length = is_tall ? height : width;
    double *columns = reserve(height * width);
    *count = is_tall ? width : height;
    for (int64_t c = 0; c < *count; c++) {
        for (int64_t i = 0; i < length; i++) {
            columns[c * length + i] = is_tall ? values[i * width + c] : values[c * width + i];
        }
    }
    return columns;
}

/* x - 2 v (v x) / (v v) */
static void reflect(const double *v, double *x, int64_t n)
{
    double share = 2.0 * dot(v, x, n) / dot(v, v, n);
    for (int64_t i = 0; i < n; i++) {
        x[i] -= share * v[i];
    }
}

/* Columns of what the product of the reflections is, of the same Gaussian numbers. */
static double *expected_columns(int64_t height, int64_t width, double gain, uint64_t seed)
{
    bool is_tall = height >= width;
    int64_t count, length = is_tall ? height : width;
    double *drawn = reserve(height * width);
    mt_random random = mt_random_make(seed, 1);
    for (int64_t i = 0; i < height * width; i++) {
        int64_t row = i / width, column = i % width;
        bool is_drawn = is_tall ? row >= column : column >= row;
        drawn[i] = is_drawn ? mt_random_normal(&random) : 0.0;
    }
    double *v = columns_of(drawn, height, width, &count), *made = reserve(count * length);
    for (int64_t c = 0; c < count; c++) {
        double *x = v + c * length, norm = sqrt(dot(x, x, length));
        for (int64_t i = 0; i < length; i++) {
            made[c * length + i] = gain * x[i] / norm;
        }
        x[c] += copysign(norm, x[c]);
        for (int64_t before = c - 1; before >= 0; before--) {
            reflect(v + before * length, made + c * length, length);
        }
    }
    free(v);
    free(drawn);
    return made;
}

START_TEST(test_it_is_the_product_of_reflections)
{
    for (int i = 0; i < SHAPES; i++) {
        int64_t height = shapes[i][0], width = shapes[i][1], count;
        double *values = draw(height, width, 1.5, 3);
        double *found = columns_of(values, height, width, &count);
        double *expected = expected_columns(height, width, 1.5, 3);
        for (int64_t k = 0; k < height * width; k++) {
            ck_assert_double_eq_tol(found[k], expected[k], 1e-13);
        }
        free(values);
        free(found);
        free(expected);
    }
}
END_TEST

START_TEST(test_columns_are_orthogonal_and_as_long_as_the_gain)
{
    for (int i = 0; i < SHAPES; i++) {
        int64_t height = shapes[i][0], width = shapes[i][1], count;
        int64_t length = height >= width ? height : width;
        double *values = draw(height, width, 0.5, 7);
        double *columns = columns_of(values, height, width, &count);
        for (int64_t a = 0; a < count; a++) {
            for (int64_t b = 0; b <= a; b++) {
                double product = dot(columns + a * length, columns + b * length, length);
                ck_assert_double_eq_tol(product, a == b ? 0.25 : 0.0, 1e-14);
            }
        }
        free(values);
        free(columns);
    }
}
END_TEST

START_TEST(test_threads_change_no_bit)
{
    enum { HEIGHT = 260, WIDTH = 230 };
    mt_cpu_set_threads(1);
    double *alone = draw(HEIGHT, WIDTH, 1.0, 5);
    for (int threads = 2; threads <= 5; threads += 3) {
        mt_cpu_set_threads(threads);
        double *together = draw(HEIGHT, WIDTH, 1.0, 5);
        ck_assert_mem_eq(together, alone, sizeof(double) * HEIGHT * WIDTH);
        free(together);
    }
    mt_cpu_set_threads(0);
    free(alone);
}
END_TEST

/* Of the uniform distribution the trace has mean 0 and variance 1, and each element's square the
 * mean 1 / 3; half of the matrices turn, half of them reflect too. */
START_TEST(test_all_orthogonal_matrices_are_as_probable)
{
    enum { DRAWS = 20000 };
    double trace = 0.0, square = 0.0, corner = 0.0, turns = 0.0;
    for (int i = 0; i < DRAWS; i++) {
        double *m = draw(3, 3, 1.0, (uint64_t)i);
        double sum = m[0] + m[4] + m[8];
        double determinant = m[0] * (m[4] * m[8] - m[5] * m[7]) -
                             m[1] * (m[3] * m[8] - m[5] * m[6]) +
                             m[2] * (m[3] * m[7] - m[4] * m[6]);
        trace += sum / DRAWS;
        square += sum * sum / DRAWS;
        corner += m[8] * m[8] / DRAWS;
        turns += determinant > 0.0 ? 1.0 / DRAWS : 0.0;
        free(m);
    }
    ck_assert_double_eq_tol(trace, 0.0, 0.03);
    ck_assert_double_eq_tol(square, 1.0, 0.04);
    ck_assert_double_eq_tol(corner, 1.0 / 3.0, 0.01);
    ck_assert_double_eq_tol(turns, 0.5, 0.015);
}
END_TEST

static Suite *orthogonal_suite(void)
{
    return SUITE("orthogonal", test_it_is_the_product_of_reflections,
                 test_columns_are_orthogonal_and_as_long_as_the_gain, test_threads_change_no_bit,
                 test_all_orthogonal_matrices_are_as_probable);
}

MT_TEST_MAIN(orthogonal_suite)
