/* The hardware's own exponential and division, as CUDA-on-CPU has them: wrong in the last bits, so
 * that tests of what is computed with them allow for it. */
#include "tests/check_main.h"

#include <cuda_runtime.h>

#include <limits>

static const int MOST_OFF = 2, SAMPLES = 200000;
static const float NOT_A_NUMBER = std::numeric_limits<float>::quiet_NaN();

/* Numbers of one sign are in the order of these. */
static int64_t units_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* How often results are off by -2 to 2 units of the last place. */
struct tally {
    int of[2 * MOST_OFF + 1];
};

static void count(tally *to, float found, float right)
{
    int64_t off = units_of(found) - units_of(right);
    ck_assert_msg(off >= -MOST_OFF && off <= MOST_OFF, "%.9g is %.9g, off by %d", right, found,
                  static_cast<int>(off));
    to->of[off + MOST_OFF]++;
}

/* Each about as often as any other. */
static void check_tally(const tally &found)
{
    for (int times : found.of) {
        ck_assert_int_gt(times, SAMPLES / 6);
        ck_assert_int_lt(times, SAMPLES / 4);
    }
}

START_TEST(test_exponentials_are_off_by_up_to_2_units_to_either_side)
{
    tally found = {};
    for (int i = 1; i <= SAMPLES; i++) {
        float x = -87.0f * static_cast<float>(i) / static_cast<float>(SAMPLES);
        count(&found, __expf(x), exp2f(x * 1.4426950408889634f));
        ck_assert(__expf(x) == __expf(x));
    }
    check_tally(found);
}
END_TEST

START_TEST(test_quotients_are_off_by_up_to_2_units_to_either_side)
{
    tally found = {};
    for (int i = 1; i <= SAMPLES; i++) {
        float share = static_cast<float>(i) / static_cast<float>(SAMPLES);
        float a = (i % 2 == 0 ? 1.0f : -1.0f) * (1.0f + share), b = 1.0f + 10.0f * share * share;
        count(&found, __fdividef(a, b), a / b);
    }
    check_tally(found);
}
END_TEST

START_TEST(test_powers_of_2_and_division_by_them_are_exact)
{
    ck_assert(__expf(0.0f) == 1.0f);
    for (int i = 0; i < 1000; i++) {
        float x = 1.0f + static_cast<float>(i) / 1000.0f;
        ck_assert(__fdividef(x, 4.0f) == x / 4.0f && __fdividef(x, -0.5f) == x / -0.5f);
    }
}
END_TEST

START_TEST(test_what_is_too_small_is_0_and_what_is_no_number_stays_so)
{
    ck_assert(__expf(-88.0f) == 0.0f && __expf(-INFINITY) == 0.0f);
    ck_assert(__fdividef(FLT_MIN, 3.0f) == 0.0f && __fdividef(FLT_MIN, 2.0f) == 0.0f);
    for (uint32_t bits = 1; bits <= 100; bits++) {
        float tiny;
        memcpy(&tiny, &bits, sizeof tiny);
        ck_assert(__fdividef(tiny, 1.5f) == 0.0f);
    }
    ck_assert(isnan(__expf(NOT_A_NUMBER)) && isnan(__fdividef(NOT_A_NUMBER, 3.0f)));
    ck_assert(isnan(__fdividef(1.0f, NOT_A_NUMBER)) && __fdividef(1.0f, INFINITY) == 0.0f);
}
END_TEST

static Suite *arithmetic_suite(void)
{
    const TTest *const tests[] = {
        test_exponentials_are_off_by_up_to_2_units_to_either_side,
        test_quotients_are_off_by_up_to_2_units_to_either_side,
        test_powers_of_2_and_division_by_them_are_exact,
        test_what_is_too_small_is_0_and_what_is_no_number_stays_so,
    };
    return suite_of("arithmetic", nullptr, nullptr, 4, tests);
}

MT_TEST_MAIN(arithmetic_suite)
