/* The shift of time and its mixes against the reference, and with arrays left out. */
#include "kernels/reference/reference.h"
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

enum { MOST = MT_TIME_MIX_MAX };

typedef enum mix_array { NONE, X, CARRIED, MIX, Y } mix_array;

typedef struct mix_case {
    int64_t B, T, C;
    int count;
    bool carried;
    mix_array apart; /* begins where no access to several reals may */
} mix_case;

static const mix_case cases[] = {
    {1, 1, 1, 1, false},          {1, 1, 3, 3, true},       {2, 3, 17, 2, true},
    {3, 33, 16, 3, true},         {2, 65, 33, 3, false},    {5, 1, 7, 2, false},
    {3, 40, 400, 3, true},        {4, 32, 330, 1, false},   {2, 3, 64, 3, true, X},
    {2, 3, 64, 2, true, CARRIED}, {2, 3, 64, 3, true, MIX}, {2, 3, 64, 2, true, Y},
};

enum { CASES = sizeof cases / sizeof *cases };

/* The arguments of a case, on the device, and as doubles for the reference. */
typedef struct mix_data {
    mt_time_mix_forward_args forward, plain_forward;
    mt_time_mix_backward_args backward, plain_backward;
} mix_data;

/* An array of a kind, which has a number more than it needs. */
static void *placed(const kernel_build *build, const mix_case *c, mix_array kind, void *array)
{
    return c->apart == kind ? without_first_real(build, array) : array;
}

static mix_data make_data(kernel_build *build, const mix_case *c, unsigned without_dy,
                          unsigned without_output)
{
    mix_data data = {
        .forward = {.B = c->B, .T = c->T, .C = c->C, .count = c->count},
        .backward = {.B = c->B, .T = c->T, .C = c->C, .count = c->count},
    };
    mt_time_mix_forward_args *forward = &data.forward, *plain_forward = &data.plain_forward;
    mt_time_mix_backward_args *backward = &data.backward, *plain_backward = &data.plain_backward;
    int64_t n = c->B * c->T * c->C, rows = c->B * c->C;
    forward->x = backward->x = placed(build, c, X, uniform(build, n + 1, -1.0, 1.0, 1));
    if (c->carried) {
        void *carried = uniform(build, rows + 1, -1.0, 1.0, 2);
        forward->carried = backward->carried = placed(build, c, CARRIED, carried);
    }
    backward->dx = without_output & 1 ? NULL : blank(build, n);
    backward->dcarried = without_output & 2 ? NULL : blank(build, rows);
    *plain_forward = *forward;
    *plain_backward = *backward;
    plain_forward->x = plain_backward->x = values_of(build, forward->x, n);
    if (c->carried) {
        plain_forward->carried = plain_backward->carried = values_of(build, forward->carried, rows);
    }
    plain_backward->dx = host_doubles(build, n);
    plain_backward->dcarried = host_doubles(build, rows);
    for (int i = 0; i < c->count; i++) {
        void *mix = uniform_wide(build, c->C + 1, -0.2, 1.2, (uint64_t)i + 3);
        forward->mix[i] = backward->mix[i] = placed(build, c, MIX, mix);
        plain_forward->mix[i] = plain_backward->mix[i] = values_of(build, forward->mix[i], c->C);
        forward->y[i] = placed(build, c, Y, blank(build, n + 1));
        plain_forward->y[i] = host_doubles(build, n);
        if (!(without_dy >> i & 1)) {
            backward->dy[i] = uniform(build, n, -1.0, 1.0, (uint64_t)i + 6);
            plain_backward->dy[i] = values_of(build, backward->dy[i], n);
        }
        backward->dmix[i] = without_output >> (2 + i) & 1 ? NULL : blank_wide(build, c->C);
        plain_backward->dmix[i] = host_doubles(build, c->C);
    }
    return data;
}

static void check_forward(kernel_build *build)
{
    for (int i = 0; i < CASES; i++) {
        const mix_case *c = &cases[i];
        mix_data data = make_data(build, c, 0, 0);
        assert_ok(build->kernels->time_mix_forward(build->device, &data.forward));
        mt_reference_time_mix_forward(&data.plain_forward);
        for (int m = 0; m < c->count; m++) {
            assert_close(build, "y", data.forward.y[m], data.plain_forward.y[m], c->B * c->T * c->C,
                         8.0);
        }
    }
}

START_TEST(test_forward_is_the_references)
{
    for_each_build(check_forward);
}
END_TEST

static void compare_backward(kernel_build *build, const mix_case *c, unsigned without_dy,
                             unsigned without_output)
{
    mix_data data = make_data(build, c, without_dy, without_output);
    const mt_time_mix_backward_args *args = &data.backward, *expected = &data.plain_backward;
    assert_ok(build->kernels->time_mix_backward(build->device, args));
    mt_reference_time_mix_backward(expected);
    if (args->dx != NULL) {
        assert_close(build, "dx", args->dx, expected->dx, c->B * c->T * c->C, 16.0);
    }
    if (args->dcarried != NULL) {
        assert_close(build, "dcarried", args->dcarried, expected->dcarried, c->B * c->C, 16.0);
    }
    for (int m = 0; m < c->count; m++) {
        if (args->dmix[m] != NULL) {
            assert_close(build, "dmix", args->dmix[m], expected->dmix[m], c->C, 64.0);
        }
    }
}

static void check_backward(kernel_build *build)
{
    for (int i = 0; i < CASES; i++) {
        compare_backward(build, &cases[i], 0, 0);
    }
}

START_TEST(test_backward_is_the_references)
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
    return SUITE("time_mix", test_forward_is_the_references, test_backward_is_the_references,
                 test_absent_gradients_count_as_zero_and_absent_outputs_are_skipped);
}

MT_TEST_MAIN(time_mix_suite)
