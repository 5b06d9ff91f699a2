/* Schedules at their corners. */
#include <mixtape/schedule.h>

#include "tests/check_main.h"

#include <math.h>
#include <string.h>

static double rate(mt_schedule_kind kind, int64_t step)
{
    mt_schedule schedule = {.kind = kind, .lr = 2.0, .final = 0.1, .warmup = 10, .steps = 110};
    ck_assert_int_eq(mt_schedule_check(&schedule), MT_OK);
    return mt_schedule_lr(&schedule, step);
}

START_TEST(test_every_schedule_warms_up_linearly)
{
    for (int kind = MT_CONSTANT; kind <= MT_WARMUP_LR; kind++) {
        ck_assert_double_eq_tol(rate((mt_schedule_kind)kind, 1), 0.2, 1e-12);
        ck_assert_double_eq_tol(rate((mt_schedule_kind)kind, 10), 2.0, 1e-12);
    }
}
END_TEST

START_TEST(test_schedules_end_where_they_say)
{
    ck_assert_double_eq(rate(MT_CONSTANT, 110), 2.0);
    ck_assert_double_eq_tol(rate(MT_LINEAR, 60), 1.1, 1e-12);
    ck_assert_double_eq_tol(rate(MT_LINEAR, 110), 0.2, 1e-12);
    ck_assert_double_eq_tol(rate(MT_COSINE, 60), 1.1, 1e-12);
    ck_assert_double_eq_tol(rate(MT_COSINE, 110), 0.2, 1e-12);
    ck_assert_double_eq_tol(rate(MT_COSINE, 1000), 0.2, 1e-12);
    ck_assert_double_eq_tol(rate(MT_WARMUP_LR, 40), 1.0, 1e-12);
}
END_TEST

START_TEST(test_schedules_out_of_range_are_refused)
{
    mt_schedule schedule = {.kind = MT_WARMUP_LR, .lr = 1.0, .final = 0.0, .warmup = 0, .steps = 1};
    ck_assert_int_eq(mt_schedule_check(&schedule), MT_ERROR_INVALID);
    schedule.kind = MT_CONSTANT;
    ck_assert_int_eq(mt_schedule_check(&schedule), MT_OK);
    schedule.steps = 0; /* only what ends has to know when */
    ck_assert_int_eq(mt_schedule_check(&schedule), MT_OK);
    schedule.kind = MT_LINEAR;
    ck_assert_int_eq(mt_schedule_check(&schedule), MT_ERROR_INVALID);
    schedule.kind = MT_CONSTANT;
    schedule.lr = NAN;
    ck_assert_int_eq(mt_schedule_check(&schedule), MT_ERROR_INVALID);
    mt_schedule_kind kind;
    ck_assert_int_eq(mt_schedule_parse("cosine", &kind), MT_OK);
    ck_assert_int_eq(kind, MT_COSINE);
    ck_assert_int_eq(mt_schedule_parse("cosinus", &kind), MT_ERROR_INVALID);
    ck_assert(strstr(mt_error_message(), "'cosinus'") != NULL &&
              strstr(mt_error_message(), "warmuplr") != NULL);
}
END_TEST

static Suite *schedule_suite(void)
{
    return SUITE("schedule", test_every_schedule_warms_up_linearly,
                 test_schedules_end_where_they_say, test_schedules_out_of_range_are_refused);
}

MT_TEST_MAIN(schedule_suite)
