/* The shift of time and its mixes against their formulas in double. */
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

enum { MOST = MT_TIME_MIX_MAX };

typedef struct mix_case {
    int64_t B, T, C;
    int count;
    bool carried;
} mix_case;

static const mix_case cases[] = {
    {1, 1, 1, 1, false},   {1, 1, 3, 3, true},  {2, 3, 17, 2, true},   {3, 33, 16, 3, true},
    {2, 65, 33, 3, false}, {5, 1, 7, 2, false}, {3, 40, 400, 3, true}, {4, 32, 330, 1, false},
};

enum { CASES = sizeof cases / sizeof *cases };

/* The arrays of a case, on the device and as doubles. */
typedef struct mix_data {
    int64_t rows;
    void *x, *carried, *mix[MOST], *dy[MOST];
    const double *x_values, *carried_values, *mix_values[MOST], *dy_values[MOST];
} mix_data;

static mix_data make_data(kernel_build *build, const mix_case *c)
{
    mix_data data = {.rows = c->B * c->T};
    int64_t n = data.rows * c->C;
    data.x = uniform(build, n, -1.0, 1.0, 1);
    data.x_values = values_of(build, data.x, n);
    data.carried = c->carried ? uniform(build, c->B * c->C, -1.0, 1.0, 2) : NULL;
    data.carried_values =
        c->carried ? values_of(build, data.carried, c->B * c->C) : host_doubles(build, c->B * c->C);
    for (int i = 0; i < c->count; i++) {
        data.mix[i] = uniform(build, c->C, -0.2, 1.2, (uint64_t)(3 + i));
        data.dy[i] = uniform(build, n, -1.0, 1.0, (uint64_t)(6 + i));
        data.mix_values[i] = values_of(build, data.mix[i], c->C);
        data.dy_values[i] = values_of(build, data.dy[i], n);
    }
    return data;
}

static double before(const mix_case *c, const mix_data *data, int64_t row, int64_t channel)
{
    return row % c->T > 0 ? data->x_values[(row - 1) * c->C + channel]
                          : data->carried_values[row / c->T * c->C + channel];
}

static void check_forward(kernel_build *build)
{
    for (int i = 0; i < CASES; i++) {
        const mix_case *c = &cases[i];
        mix_data data = make_data(build, c);
        int64_t n = data.rows * c->C;
        mt_time_mix_forward_args args = {.B = c->B,
                                         .T = c->T,
                                         .C = c->C,
                                         .count = c->count,
                                         .x = data.x,
                                         .carried = data.carried};
        for (int m = 0; m < c->count; m++) {
            args.mix[m] = data.mix[m];
            args.y[m] = blank(build, n);
        }
        assert_ok(build->kernels->time_mix_forward(build->device, &args));
        for (int m = 0; m < c->count; m++) {
            double *expected = host_doubles(build, n);
            for (int64_t e = 0; e < n; e++) {
                double mix = data.mix_values[m][e % c->C];
                expected[e] =
                    data.x_values[e] * mix + before(c, &data, e / c->C, e % c->C) * (1.0 - mix);
            }
            assert_close(build, "y", args.y[m], expected, n, 8.0);
        }
    }
}

START_TEST(test_forward_mixes_each_step_with_the_one_before)
{
    for_each_build(check_forward);
}
END_TEST

/* What forward is linear in makes backward exact: each y's gradient goes to x, x' and m by the
 * products of forward, one term at a time. */
typedef struct mix_grads {
    double *dx, *dcarried, *dmix[MOST];
} mix_grads;

static mix_grads reference(kernel_build *build, const mix_case *c, const mix_data *data,
                           unsigned without_dy)
{
    mix_grads grads = {.dx = host_doubles(build, data->rows * c->C),
                       .dcarried = host_doubles(build, c->B * c->C)};
    for (int m = 0; m < c->count; m++) {
        grads.dmix[m] = host_doubles(build, c->C);
        if (without_dy >> m & 1) {
            continue;
        }
        for (int64_t row = 0; row < data->rows; row++) {
            double *to_before =
                row % c->T > 0 ? grads.dx + (row - 1) * c->C : grads.dcarried + row / c->T * c->C;
            for (int64_t channel = 0; channel < c->C; channel++) {
                int64_t e = row * c->C + channel;
                double dy = data->dy_values[m][e], mix = data->mix_values[m][channel];
                grads.dx[e] += dy * mix;
                to_before[channel] += dy * (1.0 - mix);
                grads.dmix[m][channel] += dy * (data->x_values[e] - before(c, data, row, channel));
            }
        }
    }
    return grads;
}

static void compare_backward(kernel_build *build, const mix_case *c, unsigned without_dy,
                             unsigned without_output)
{
    mix_data data = make_data(build, c);
    mix_grads expected = reference(build, c, &data, without_dy);
    int64_t n = data.rows * c->C;
    mt_time_mix_backward_args args = {
        .B = c->B, .T = c->T, .C = c->C, .count = c->count, .x = data.x, .carried = data.carried};
    args.dx = without_output & 1 ? NULL : blank(build, n);
    args.dcarried = without_output & 2 ? NULL : blank(build, c->B * c->C);
    for (int m = 0; m < c->count; m++) {
        args.mix[m] = data.mix[m];
        args.dy[m] = without_dy >> m & 1 ? NULL : data.dy[m];
        args.dmix[m] = without_output >> (2 + m) & 1 ? NULL : blank(build, c->C);
    }
    assert_ok(build->kernels->time_mix_backward(build->device, &args));
    if (args.dx != NULL) {
        assert_close(build, "dx", args.dx, expected.dx, n, 16.0);
    }
    if (args.dcarried != NULL) {
        assert_close(build, "dcarried", args.dcarried, expected.dcarried, c->B * c->C, 16.0);
    }
    for (int m = 0; m < c->count; m++) {
        if (args.dmix[m] != NULL) {
            assert_close(build, "dmix", args.dmix[m], expected.dmix[m], c->C, 64.0);
        }
    }
}

static void check_backward(kernel_build *build)
{
    for (int i = 0; i < CASES; i++) {
        compare_backward(build, &cases[i], 0, 0);
    }
}

START_TEST(test_backward_is_the_transpose_of_forward)
{
    for_each_build(check_backward);
}
END_TEST

static void check_absent(kernel_build *build)
{
    const mix_case *c = &cases[3];
    for (unsigned absent = 0; absent < 8; absent++) {
        compare_backward(build, c, absent, 0);
    }
    for (unsigned absent = 0; absent < 32; absent++) {
        compare_backward(build, c, absent % 7 == 3 ? 2 : 0, absent);
    }
}

START_TEST(test_absent_gradients_count_as_zero_and_absent_outputs_are_skipped)
{
    for_each_build(check_absent);
}
END_TEST

static Suite *time_mix_suite(void)
{
    return SUITE("time_mix", test_forward_mixes_each_step_with_the_one_before,
                 test_backward_is_the_transpose_of_forward,
                 test_absent_gradients_count_as_zero_and_absent_outputs_are_skipped);
}

MT_TEST_MAIN(time_mix_suite)
