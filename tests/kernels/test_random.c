/* Philox 4x32-10 and the streams on top of it. */
#include <mixtape/random.h>

#include "tests/check_main.h"

#include <math.h>

/* The known answers that the authors of Philox publish (Random123, kat_vectors). */
START_TEST(test_philox_gives_the_known_answers)
{
    static const struct {
        uint64_t key, counter_lo, counter_hi;
        uint32_t words[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x85a308d3243f6a88,
         0x0370734413198a2e,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t words[4];
        mt_philox(known[i].key, known[i].counter_lo, known[i].counter_hi, words);
        for (int word = 0; word < 4; word++) {
            ck_assert_uint_eq(words[word], known[i].words[word]);
        }
    }
}
END_TEST

START_TEST(test_stream_reads_the_words_of_its_counter_in_order)
{
    mt_random random = mt_random_make(5, 9);
    for (uint64_t block = 0; block < 3; block++) {
        uint32_t words[4];
        mt_philox(5, block, 9, words);
        for (int word = 0; word < 4; word++) {
            ck_assert_uint_eq(mt_random_u32(&random), words[word]);
        }
    }
    ck_assert_uint_eq(random.position, 12);
}
END_TEST

START_TEST(test_a_copy_continues_alike)
{
    mt_random random = mt_random_make(1, 2);
    mt_random_normal(&random);
    mt_random copy = random;
    for (int i = 0; i < 100; i++) {
        double a = mt_random_normal(&random), b = mt_random_normal(&copy);
        ck_assert_double_eq(a, b);
    }
}
END_TEST

START_TEST(test_seeds_and_streams_share_no_numbers)
{
    mt_random a = mt_random_make(1, 0), b = mt_random_make(2, 0), c = mt_random_make(1, 1);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t x = mt_random_u32(&a), y = mt_random_u32(&b), z = mt_random_u32(&c);
        same += (x == y) + (y == z) + (x == z);
    }
    ck_assert_int_le(same, 1);
}
END_TEST

enum { DRAWS = 200000 };

START_TEST(test_uniform_is_uniform_in_zero_to_one)
{
    mt_random random = mt_random_make(3, 0);
    double sum = 0.0, squares = 0.0, lowest = 1.0, highest = 0.0;
    for (int i = 0; i < DRAWS; i++) {
        double x = mt_random_uniform(&random);
        sum += x;
        squares += x * x;
        lowest = fmin(lowest, x);
        highest = fmax(highest, x);
    }
    ck_assert(lowest >= 0.0 && lowest < 1e-3);
    ck_assert(highest < 1.0 && highest > 1.0 - 1e-3);
    /* Five standard errors. */
    ck_assert_double_lt(fabs(sum / DRAWS - 0.5), 5.0 * sqrt(1.0 / 12.0 / DRAWS));
    ck_assert_double_lt(fabs(squares / DRAWS - 1.0 / 3.0), 5.0 * sqrt(4.0 / 45.0 / DRAWS));
}
END_TEST

START_TEST(test_normal_has_the_moments_of_a_normal)
{
    mt_random random = mt_random_make(4, 0);
    double moments[5] = {0.0};
    for (int i = 0; i < DRAWS; i++) {
        double x = mt_random_normal(&random), power = 1.0;
        ck_assert(isfinite(x));
        for (int k = 0; k < 5; k++) {
            moments[k] += power / DRAWS;
            power *= x;
        }
    }
    /* Five standard errors: the variances of x, x^2, x^3, x^4 are 1, 2, 15, 96. */
    ck_assert_double_lt(fabs(moments[1]), 5.0 * sqrt(1.0 / DRAWS));
    ck_assert_double_lt(fabs(moments[2] - 1.0), 5.0 * sqrt(2.0 / DRAWS));
    ck_assert_double_lt(fabs(moments[3]), 5.0 * sqrt(15.0 / DRAWS));
    ck_assert_double_lt(fabs(moments[4] - 3.0), 5.0 * sqrt(96.0 / DRAWS));
}
END_TEST

START_TEST(test_below_is_unbiased)
{
    enum { BOUND = 7 };
    mt_random random = mt_random_make(6, 0);
    int counts[BOUND] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint64_t number = mt_random_below(&random, BOUND);
        ck_assert_uint_lt(number, BOUND);
        counts[number]++;
    }
    double expected = (double)DRAWS / BOUND;
    for (int i = 0; i < BOUND; i++) {
        ck_assert_double_lt(fabs(counts[i] - expected), 5.0 * sqrt(expected));
    }
    ck_assert_uint_eq(mt_random_below(&random, 1), 0);
}
END_TEST

/* Of 64-bit numbers taken modulo 3 * 2^62, the lower third would come up twice as often as it
 * should. */
START_TEST(test_below_a_huge_bound_is_unbiased)
{
    const uint64_t third = (uint64_t)1 << 62;
    mt_random random = mt_random_make(7, 0);
    int lower = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t number = mt_random_below(&random, 3 * third);
        ck_assert_uint_lt(number, 3 * third);
        lower += number < third;
    }
    ck_assert_double_lt(fabs(lower - DRAWS / 3.0), 5.0 * sqrt(DRAWS / 3.0));
}
END_TEST

static Suite *random_suite(void)
{
    return SUITE("random", test_philox_gives_the_known_answers,
                 test_stream_reads_the_words_of_its_counter_in_order, test_a_copy_continues_alike,
                 test_seeds_and_streams_share_no_numbers, test_uniform_is_uniform_in_zero_to_one,
                 test_normal_has_the_moments_of_a_normal, test_below_is_unbiased,
                 test_below_a_huge_bound_is_unbiased);
}

MT_TEST_MAIN(random_suite)
