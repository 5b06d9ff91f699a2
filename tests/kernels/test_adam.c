/* Adam against the reference, over several steps. */
#include "kernels/reference/reference.h"
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

static const int64_t sizes[] = {0, 1, 3, 17, 33, MANY + 5};

enum { SIZES = sizeof sizes / sizeof *sizes, STEPS = 5, MOST_RANGES = 8 };

static mt_adam_args make_args(kernel_build *build, int64_t n)
{
    double *zeros = host_doubles(build, n);
    return (mt_adam_args){.n = n,
                          .beta1 = 0.9,
                          .beta2 = 0.99,
                          .eps = 1e-6,
                          .grad_scale = 1.0,
                          .rates = blank_bytes(build, sizeof(mt_adam_rates)),
                          .parameter = uniform_wide(build, n, -1.0, 1.0, 1),
                          .grad = uniform_wide(build, n, -1.0, 1.0, 2),
                          .m = upload_wide(build, zeros, n),
                          .v = upload_wide(build, zeros, n),
                          .narrow = blank_as(build, MT_BF16, n)};
}

/* The step-th update's. */
static mt_adam_rates rates_of(const mt_adam_args *args, int step)
{
    return (mt_adam_rates){0.01, 1.0 - pow(args->beta1, (double)step),
                           1.0 - pow(args->beta2, (double)step)};
}

/* One update, the step-th. */
static mt_status update(kernel_build *build, const mt_adam_args *args, int step)
{
    mt_adam_rates rates = rates_of(args, step);
    assert_ok(
        build->device->write(build->device, (void *)(uintptr_t)args->rates, &rates, sizeof rates));
    return build->kernels->adam(build->device, args);
}

static double *upload_norm(kernel_build *build, double norm_squared)
{
    double *array = blank_bytes(build, sizeof norm_squared);
    assert_ok(build->device->write(build->device, array, &norm_squared, sizeof norm_squared));
    return array;
}

/* norm_squared: that of args, on the host, or NULL. */
static void compare_steps(kernel_build *build, const mt_adam_args *args, const double *norm_squared)
{
    int64_t n = args->n;
    mt_adam_rates rates;
    mt_adam_range ranges[MOST_RANGES];
    mt_adam_args expected = *args;
    if (args->range_count > 0) {
        assert_ok(build->device->read_back(build->device, ranges, args->ranges,
                                           (size_t)args->range_count * sizeof *ranges));
        expected.ranges = ranges;
    }
    expected.norm_squared = norm_squared;
    expected.rates = &rates;
    expected.parameter = values_of(build, args->parameter, n);
    expected.grad = values_of(build, args->grad, n);
    expected.m = host_doubles(build, n);
    expected.v = host_doubles(build, n);
    for (int step = 1; step <= STEPS; step++) {
        rates = rates_of(args, step);
        mt_reference_adam(&expected);
        assert_ok(update(build, args, step));
    }
    assert_close(build, "parameter", args->parameter, expected.parameter, n, 16.0);
    assert_close(build, "m", args->m, expected.m, n, 16.0);
    assert_close(build, "v", args->v, expected.v, n, 16.0);
    if (args->narrow != NULL) {
        double *parameter = values_of(build, args->parameter, n);
        for (int64_t i = 0; i < n; i++) {
            parameter[i] = (double)(float)parameter[i]; /* a float64 is rounded to that first */
        }
        assert_close(build, "narrow", args->narrow, parameter, n, 0.0);
    }
}

/* All but the first of the numbers, which no vector's load would take where they begin. */
static mt_adam_args without_first(const kernel_build *build, mt_adam_args args)
{
    size_t size = mt_dtype_size(mt_dtype_wide(build->dtype));
    args.n--;
    args.parameter = (char *)args.parameter + size;
    args.grad = (const char *)args.grad + size;
    args.m = (char *)args.m + size;
    args.v = (char *)args.v + size;
    args.narrow++;
    return args;
}

static void check_steps(kernel_build *build)
{
    for (int size = 0; size < SIZES; size++) {
        mt_adam_args plain = make_args(build, sizes[size]);
        plain.narrow = NULL;
        compare_steps(build, &plain, NULL);
        mt_adam_args apart = without_first(build, make_args(build, sizes[size] + 1));
        compare_steps(build, &apart, NULL);
        mt_adam_args narrow_apart = make_args(build, sizes[size] + 1);
        narrow_apart.n--;
        narrow_apart.narrow++;
        compare_steps(build, &narrow_apart, NULL);
        for (int part = 0; part < 4; part++) { /* of the parameters that decay: none to all */
            mt_adam_args args = make_args(build, sizes[size]);
            args.decayed = args.n * part / 3;
            args.weight_decay = 0.1;
            args.grad_scale = 0.25;
            compare_steps(build, &args, NULL);
        }
    }
}

START_TEST(test_steps_are_the_references)
{
    for_each_build(check_steps);
}
END_TEST

/* Ranges of other rates, on the device for args and on the host for what is expected. */
static void compare_ranges(kernel_build *build, mt_adam_args *args, const mt_adam_range *ranges,
                           int64_t count)
{
    mt_adam_range *array = blank_bytes(build, (size_t)count * sizeof *ranges);
    assert_ok(build->device->write(build->device, array, ranges, (size_t)count * sizeof *ranges));
    args->ranges = array;
    args->range_count = count;
    compare_steps(build, args, NULL);
}

static void check_ranges(kernel_build *build)
{
    enum { LAST = MANY + 5 };
    static const mt_adam_range ranges[] = {
        {16, 2.0}, {48, 0.0}, {64, 1.0}, {4096, 3.0}, {LAST, 0.5}};
    for (int part = 0; part < 3; part++) { /* of the parameters that decay */
        mt_adam_args args = make_args(build, LAST);
        args.decayed = args.n * part / 2;
        args.weight_decay = 0.1;
        compare_ranges(build, &args, ranges, 5);
        mt_adam_args apart = without_first(build, make_args(build, 50)); /* where none is aligned */
        compare_ranges(build, &apart, (mt_adam_range[]){{5, 0.5}, {49, 2.0}}, 2);
    }
}

START_TEST(test_ranges_have_rates_of_their_own)
{
    for_each_build(check_ranges);
}
END_TEST

static void check_factor_of_one(kernel_build *build)
{
    enum { COUNT = 4100 };
    size_t bytes = COUNT * mt_dtype_size(mt_dtype_wide(build->dtype));
    static const mt_adam_range ranges[] = {{32, 1.0}, {2080, 2.0}, {COUNT, 1.0}};
    char *found[2] = {malloc(bytes), malloc(bytes)};
    for (int with = 0; with < 2; with++) {
        mt_adam_args args = make_args(build, COUNT);
        args.decayed = 2064;
        args.weight_decay = 0.1;
        mt_adam_range *array = blank_bytes(build, sizeof ranges);
        assert_ok(build->device->write(build->device, array, ranges, sizeof ranges));
        args.ranges = with == 1 ? array : NULL;
        args.range_count = with == 1 ? 3 : 0;
        for (int step = 1; step <= STEPS; step++) {
            assert_ok(update(build, &args, step));
        }
        assert_ok(build->device->read_back(build->device, found[with], args.parameter, bytes));
    }
    size_t size = bytes / COUNT;
    ck_assert_mem_eq(found[0], found[1], 32 * size);
    ck_assert_mem_ne(found[0] + 32 * size, found[1] + 32 * size, 16 * size);
    ck_assert_mem_eq(found[0] + 2080 * size, found[1] + 2080 * size, bytes - 2080 * size);
    free(found[0]);
    free(found[1]);
}

START_TEST(test_a_factor_of_one_has_the_bits_of_none)
{
    for_each_build(check_factor_of_one);
}
END_TEST

/* The norm of grad_scale grad is 0.5 * 6 = 3: above 1.5 it is clipped to half, below 4 not. */
static void check_clip(kernel_build *build)
{
    static const double clips[] = {1.5, 4.0, 0.0}, norm_squared = 36.0;
    for (int i = 0; i < 3; i++) {
        mt_adam_args args = make_args(build, 33);
        args.grad_scale = 0.5;
        args.clip = clips[i];
        args.norm_squared = upload_norm(build, norm_squared);
        compare_steps(build, &args, &norm_squared);
    }
}

START_TEST(test_gradients_beyond_clip_are_scaled_to_it)
{
    for_each_build(check_clip);
}
END_TEST

static void check_not_finite(kernel_build *build)
{
    static const double norms[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++) {
        mt_adam_args args = make_args(build, 33);
        double *p = values_of(build, args.parameter, 33), *zeros = host_doubles(build, 33);
        args.norm_squared = upload_norm(build, norms[i]);
        args.weight_decay = 0.1;
        args.decayed = 33;
        assert_ok(update(build, &args, 1));
        assert_close(build, "parameter", args.parameter, p, 33, 0.0);
        assert_close(build, "m", args.m, zeros, 33, 0.0);
        assert_close(build, "v", args.v, zeros, 33, 0.0);
        const double *narrow = values_of(build, args.narrow, 33);
        for (int j = 0; j < 33; j++) {
            ck_assert(isnan(narrow[j])); /* as blank memory is */
        }
    }
}

START_TEST(test_a_norm_that_is_not_finite_changes_nothing)
{
    for_each_build(check_not_finite);
}
END_TEST

/* A parameter that gets no more gradients: its moments reach zero, not the subnormal numbers. */
static void check_decay(kernel_build *build)
{
    double tiny = build->dtype == MT_F64 ? 3e-308 : 1.3e-38;
    const double moments[] = {tiny, -tiny, tiny}, zeros[3] = {0.0};
    mt_adam_args args = make_args(build, 3);
    args.grad = upload_wide(build, zeros, 3);
    args.m = upload_wide(build, moments, 3);
    args.v = upload_wide(build, (double[]){tiny, tiny, tiny}, 3);
    for (int step = 1000; step < 1030; step++) {
        assert_ok(update(build, &args, step));
    }
    const double *m = values_of(build, args.m, 3), *v = values_of(build, args.v, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq(m[i], 0.0);
        ck_assert_double_eq(v[i], 0.0);
    }
}

START_TEST(test_forgotten_moments_become_zero)
{
    for_each_build(check_decay);
}
END_TEST

static Suite *adam_suite(void)
{
    return SUITE("adam", test_steps_are_the_references, test_gradients_beyond_clip_are_scaled_to_it,
                 test_ranges_have_rates_of_their_own, test_a_factor_of_one_has_the_bits_of_none,
                 test_a_norm_that_is_not_finite_changes_nothing,
                 test_forgotten_moments_become_zero);
}

MT_TEST_MAIN(adam_suite)
