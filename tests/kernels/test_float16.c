/* float16: what it keeps of a float32, by the functions and by what WKV reads and writes. Of one
 * step WKV makes outputs that are its inputs, to the last bit. */
#include "kernels/float16.h"

#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

enum { NUMBERS = 1 << 16 };

/* The bits of each, by the definition. */
static double by_definition(unsigned bits)
{
    int exponent = (int)(bits >> 10 & 31u);
    double fraction = (double)(bits & 1023u), sign = bits >> 15 != 0 ? -1.0 : 1.0;
    if (exponent == 31) {
        return fraction == 0.0 ? sign * (double)INFINITY : (double)NAN;
    }
    return exponent == 0 ? sign * ldexp(fraction, -24)
                         : sign * ldexp(1024.0 + fraction, exponent - 25);
}

static bool same(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

START_TEST(test_each_is_widened_and_narrowed_to_itself)
{
    static double doubles[NUMBERS];
    static mt_f16 every[NUMBERS];
    for (unsigned i = 0; i < NUMBERS; i++) {
        every[i].bits = (uint16_t)i;
    }
    memcpy(doubles, every, sizeof every);
    mt_reals_widen(MT_F16, NUMBERS, doubles);
    for (unsigned i = 0; i < NUMBERS; i++) {
        float value = mt_f16_value(every[i]);
        unsigned back = mt_f16_rounded(value).bits, quiet = isnan(value) ? 0x200u : 0u;
        if (!same((double)value, by_definition(i)) || !same(doubles[i], by_definition(i)) ||
            back != (i | quiet)) {
            ck_abort_msg("%04x is widened to %a and narrowed to %04x", i, (double)value, back);
        }
    }
}
END_TEST

/* ---- what lies between ---- */

/* Float32 with each upper half of those that are about as large as float16, and of those that are
 * beyond on either side some. Behind these halves: what lies next to a float16, and to the middle
 * of two. */
static const uint16_t behind[] = {0,      1,      0x0FFF, 0x1000, 0x1001, 0x1FFF, 0x2FFF,
                                  0x3000, 0x3001, 0x7000, 0xB000, 0xF000, 0xFFFF};
enum { BEHIND = sizeof behind / sizeof *behind, LEAST = 0x3280, MOST = 0x4800 };

/* There are at most NUMBERS * BEHIND; returns how many. */
static int64_t make_numbers(float *numbers)
{
    int64_t count = 0;
    for (uint32_t upper = 0; upper < NUMBERS; upper++) {
        uint32_t magnitude = upper & 0x7FFFu;
        if ((magnitude < LEAST || magnitude > MOST) && magnitude % 0x80 != 0x7F) {
            continue;
        }
        for (int i = 0; i < BEHIND; i++) {
            numbers[count++] = mt_f16_of_bits(upper << 16 | behind[i]);
        }
    }
    return count;
}

static float numbers[NUMBERS * BEHIND];

START_TEST(test_a_float32_is_rounded_to_the_nearest_of_two_the_even_one)
{
    int64_t count = make_numbers(numbers);
    for (int64_t i = 0; i < count; i++) {
        float found = mt_f16_value(mt_f16_rounded(numbers[i]));
        if (!same((double)found, nearest_of(MT_F16, (double)numbers[i]))) {
            ck_abort_msg("%a is narrowed to %a", (double)numbers[i], (double)found);
        }
    }
}
END_TEST

/* The rounding itself, by figures. */
START_TEST(test_figures_that_are_rounded)
{
    static const struct {
        double x, y;
    } figures[] = {
        {1.0 + 0x1p-11, 1.0},
        {1.0 + 0x3p-11, 1.0 + 0x1p-9},
        {-1.0 - 0x1.002p-11, -1.0 - 0x1p-10},
        {0.1, 0.0999755859375},
        {65504.0, 65504.0},
        {65519.99, 65504.0},
        {65520.0, INFINITY},
        {-1e30, -INFINITY},
        {-INFINITY, -INFINITY},
        {0x1.FFCp-15, 0x1p-14},
        {0x1.FFBp-15, 0x1.FF8p-15},
        {0x1.FF4p-15, 0x1.FF0p-15},
        {0x1p-24, 0x1p-24},
        {0x1p-25, 0.0},
        {-0x1.8p-24, -0x1p-23},
        {0x1.1p-25, 0x1p-24},
        {-1e-40, -0.0},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        double found = (double)mt_f16_value(mt_f16_rounded((float)figures[i].x));
        ck_assert_msg(same(found, figures[i].y) &&
                          same(nearest_of(MT_F16, (double)(float)figures[i].x), figures[i].y),
                      "%a is narrowed to %a", figures[i].x, found);
    }
}
END_TEST

/* ---- by WKV ---- */

/* Arrays of the same number everywhere. */
static void *all(kernel_build *build, mt_dtype dtype, int64_t n, double value)
{
    return upload_as(build, dtype, draw(build, n, value, value, 1), n);
}

/* One step of C channels, in which a key outweighs the state before it, or the other way round. */
static mt_wkv_forward_args one_step(kernel_build *build, int64_t C)
{
    return (mt_wkv_forward_args){
        .B = 1,
        .T = 1,
        .C = C,
        .w = all(build, MT_F32, C, 0.0),
        .u = all(build, MT_F32, C, 0.0),
        .k = all(build, MT_F16, C, 0.0),
        .v = all(build, MT_F16, C, 0.0),
        .y = blank_as(build, MT_F16, C),
        .state_out = blank_as(build, MT_F32, 3 * C),
        .saved = blank_bytes(build, build->kernels->wkv_saved_size(build->device, 1, 1, C))};
}

static mt_wkv_backward_args back_of(kernel_build *build, const mt_wkv_forward_args *forward)
{
    int64_t C = forward->C;
    return (mt_wkv_backward_args){.B = 1,
                                  .T = 1,
                                  .C = C,
                                  .w = forward->w,
                                  .u = forward->u,
                                  .k = forward->k,
                                  .v = forward->v,
                                  .saved = forward->saved,
                                  .dk = blank_as(build, MT_F16, C),
                                  .dv = blank_as(build, MT_F16, C)};
}

/* Zeros may lose their sign, by which they are added to others. */
static void assert_same(kernel_build *build, const char *what, const void *array,
                        const double *expected, int64_t n)
{
    const double *found = values_of(build, array, n);
    for (int64_t i = 0; i < n; i++) {
        if (found[i] != expected[i] && !(isnan(found[i]) && isnan(expected[i]))) {
            ck_abort_msg("%s: %s[%lld] is %a, expected %a", build->name, what, (long long)i,
                         found[i], expected[i]);
        }
    }
}

/* Some more channels than registers hold. */
enum { CHANNELS = NUMBERS + 5 };

static void check_reading(kernel_build *build)
{
    if (takes_too_long(build, CHANNELS)) {
        return;
    }
    double *every = host_doubles(build, CHANNELS), *keys = host_doubles(build, CHANNELS);
    for (unsigned i = 0; i < CHANNELS; i++) {
        every[i] = by_definition(i % NUMBERS);
        keys[i] = isfinite(every[i]) ? every[i] : 0.0;
    }
    mt_wkv_forward_args forward = one_step(build, CHANNELS);
    forward.v = upload(build, every, CHANNELS);
    mt_wkv_backward_args backward = back_of(build, &forward);
    backward.dy = upload(build, every, CHANNELS);
    assert_ok(build->kernels->wkv_forward(build->device, &forward));
    assert_ok(build->kernels->wkv_backward(build->device, &backward));
    assert_same(build, "y of v", forward.y, every, CHANNELS);
    assert_same(build, "dv of dy", backward.dv, every, CHANNELS);
    mt_wkv_forward_args of_keys = one_step(build, CHANNELS);
    of_keys.k = upload(build, keys, CHANNELS);
    assert_ok(build->kernels->wkv_forward(build->device, &of_keys));
    assert_same(build, "max of k", (float *)of_keys.state_out + (size_t)2 * CHANNELS, keys,
                CHANNELS);
}

START_TEST(test_each_is_read_and_written_as_it_is)
{
    for_each_build_of(MT_F16, MT_F16, check_reading);
}
END_TEST

static void check_rounding(kernel_build *build)
{
    int64_t count = make_numbers(numbers);
    if (takes_too_long(build, count)) {
        return;
    }
    double *state = host_doubles(build, 3 * count), *nearest = host_doubles(build, count);
    for (int64_t i = 0; i < count; i++) {
        state[i] = (double)numbers[i];
        state[count + i] = 1.0;
        nearest[i] = nearest_of(MT_F16, state[i]);
    }
    mt_wkv_forward_args forward = one_step(build, count);
    forward.k = all(build, MT_F16, count, -60000.0);
    forward.state_in = upload_as(build, MT_F32, state, 3 * count);
    assert_ok(build->kernels->wkv_forward(build->device, &forward));
    assert_same(build, "y of num", forward.y, nearest, count);

    /* dv is the gradient of num behind the step, and dk that of den. */
    mt_wkv_forward_args again = one_step(build, count);
    assert_ok(build->kernels->wkv_forward(build->device, &again));
    mt_wkv_backward_args backward = back_of(build, &again);
    memset(state + count, 0, (size_t)count * sizeof *state);
    backward.dstate_out = upload_as(build, MT_F32, state, 3 * count);
    assert_ok(build->kernels->wkv_backward(build->device, &backward));
    assert_same(build, "dv of dnum", backward.dv, nearest, count);
    memcpy(state + count, state, (size_t)count * sizeof *state);
    memset(state, 0, (size_t)count * sizeof *state);
    backward.dstate_out = upload_as(build, MT_F32, state, 3 * count);
    assert_ok(build->kernels->wkv_backward(build->device, &backward));
    assert_same(build, "dk of dden", backward.dk, nearest, count);
}

START_TEST(test_what_is_written_is_rounded_to_the_nearest)
{
    for_each_build_of(MT_F16, MT_F16, check_rounding);
}
END_TEST

static Suite *float16_suite(void)
{
    return SUITE("float16", test_each_is_widened_and_narrowed_to_itself,
                 test_a_float32_is_rounded_to_the_nearest_of_two_the_even_one,
                 test_figures_that_are_rounded, test_each_is_read_and_written_as_it_is,
                 test_what_is_written_is_rounded_to_the_nearest);
}

MT_TEST_MAIN(float16_suite)
