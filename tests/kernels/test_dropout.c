/* Dropout against its definition by Philox, element by element. */
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

static const int64_t sizes[] = {0, 1, 3, 4, 17, 33, 63, 64, 65, MANY + 5};

enum { SIZES = sizeof sizes / sizeof *sizes };

static const uint64_t *upload_step(kernel_build *build, uint64_t step)
{
    uint64_t *array = blank_bytes(build, sizeof step);
    assert_ok(build->device->write(build->device, array, &step, sizeof step));
    return array;
}

static void compare_mask(kernel_build *build, int64_t n, double p, uint64_t seed, uint64_t step,
                         int64_t first)
{
    const uint64_t place = 5;
    mt_dropout_args args = {.n = n,
                            .p = p,
                            .seed = seed,
                            .step = upload_step(build, step),
                            .place = place,
                            .x = uniform(build, n, 1.0, 2.0, 1),
                            .y = blank(build, n),
                            .first = first};
    const double *x = values_of(build, args.x, n);
    double *expected = host_doubles(build, n);
    for (int64_t i = 0; i < n; i++) {
        uint32_t words[4];
        int64_t number = first + i;
        mt_philox(seed, (uint64_t)(number / 4), (step << 24) + place, words);
        expected[i] = (double)words[number % 4] >= p * 4294967296.0 ? x[i] / (1.0 - p) : 0.0;
    }
    assert_ok(build->kernels->dropout(build->device, &args));
    assert_close(build, "y", args.y, expected, n, 4.0);
    args.y = (void *)(uintptr_t)args.x;
    assert_ok(build->kernels->dropout(build->device, &args));
    assert_close(build, "y in place", args.y, expected, n, 4.0);
}

static void check_mask(kernel_build *build)
{
    for (int size = 0; size < SIZES; size++) {
        compare_mask(build, sizes[size], 0.1, 7, 11, 0);
        compare_mask(build, sizes[size], 0.5, 0xFEDCBA9876543210u, 0x123456789Au, 0);
    }
    compare_mask(build, 1000, 0.0, 1, 2, 0);
    compare_mask(build, 1000, 0.999, 1, 2, 0);
}

START_TEST(test_mask_is_the_philox_word_of_each_element)
{
    for_each_build(check_mask);
}
END_TEST

static void check_first(kernel_build *build)
{
    static const int64_t firsts[] = {1, 2, 3, 4, 63, 64, 67, 1000, (INT64_C(1) << 40) + 1};
    for (int size = 0; size < SIZES; size++) {
        for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
            compare_mask(build, sizes[size], 0.3, 7, 11, firsts[i]);
        }
    }
}

START_TEST(test_a_part_of_an_array_has_its_part_of_the_mask)
{
    for_each_build(check_first);
}
END_TEST

static void check_share(kernel_build *build)
{
    const int64_t n = 100000;
    double *ones = host_doubles(build, n);
    for (int64_t i = 0; i < n; i++) {
        ones[i] = 1.0;
    }
    mt_dropout_args args = {.n = n,
                            .p = 0.3,
                            .seed = 1,
                            .step = upload_step(build, 1),
                            .x = upload(build, ones, n),
                            .y = blank(build, n)};
    assert_ok(build->kernels->dropout(build->device, &args));
    const double *y = values_of(build, args.y, n);
    double dropped = 0.0;
    for (int64_t i = 0; i < n; i++) {
        dropped += y[i] == 0.0;
    }
    ck_assert_double_lt(fabs(dropped / (double)n - 0.3), 5.0 * sqrt(0.3 * 0.7 / (double)n));
}

START_TEST(test_the_share_dropped_is_p)
{
    for_each_build(check_share);
}
END_TEST

/* A dropped element is zero, whatever it was. */
static void check_not_finite(kernel_build *build)
{
    enum { N = 64 };
    double values[N];
    for (int i = 0; i < N; i++) {
        values[i] = i % 2 == 0 ? INFINITY : -INFINITY;
    }
    mt_dropout_args args = {.n = N,
                            .p = 0.5,
                            .seed = 3,
                            .step = upload_step(build, 4),
                            .x = upload(build, values, N),
                            .y = blank(build, N)};
    assert_ok(build->kernels->dropout(build->device, &args));
    const double *y = values_of(build, args.y, N);
    int zeros = 0;
    for (int i = 0; i < N; i++) {
        ck_assert(y[i] == 0.0 || y[i] == values[i]);
        zeros += y[i] == 0.0;
    }
    ck_assert(zeros > 8 && zeros < 56);
}

START_TEST(test_dropped_infinities_are_zero)
{
    for_each_build(check_not_finite);
}
END_TEST

static Suite *dropout_suite(void)
{
    return SUITE("dropout", test_mask_is_the_philox_word_of_each_element,
                 test_a_part_of_an_array_has_its_part_of_the_mask, test_the_share_dropped_is_p,
                 test_dropped_infinities_are_zero);
}

MT_TEST_MAIN(dropout_suite)
