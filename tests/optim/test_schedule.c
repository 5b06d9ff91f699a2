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

/* The rate of RWKV-LM's train_callback, with its names: of update `step` from 0 on. */
static double rwkv_lms(double lr_init, double lr_final, int64_t w_step, int64_t total, int64_t step)
{
    double progress = (double)(step - w_step + 1) / (double)(total - w_step);
    progress = fmin(1.0, fmax(0.0, progress));
    double lr = lr_final == 0.0 ? lr_init + (lr_final - lr_init) * progress
                                : lr_init * exp(log(lr_final / lr_init) * progress);
    return step < w_step ? lr * (0.2 + 0.8 * (double)step / (double)w_step) : lr;
}

START_TEST(test_rwkv_lms_schedule_is_its_formula)
{
    static const double finals[] = {1e-5, 0.0, 6e-4};
    static const int64_t warmups[] = {0, 1, 7};
    for (int i = 0; i < 9; i++) {
        const mt_schedule schedule = {.kind = MT_SCHEDULE_RWKV_LM,
                                      .lr = 6e-4,
                                      .final = finals[i / 3] / 6e-4,
                                      .warmup = warmups[i % 3],
                                      .steps = 40};
        ck_assert_int_eq(mt_schedule_check(&schedule), MT_OK);
        for (int64_t step = 0; step < 50; step++) {
            double expected = rwkv_lms(6e-4, finals[i / 3], warmups[i % 3], 40, step);
            ck_assert_double_eq_tol(mt_schedule_lr(&schedule, step + 1), expected, 1e-18);
        }
    }
    const mt_schedule warm = {
        .kind = MT_SCHEDULE_RWKV_LM, .lr = 1.0, .final = 0.5, .warmup = 4, .steps = 4};
    ck_assert_double_eq(mt_schedule_lr(&warm, 1), 0.2);
    ck_assert_double_eq_tol(mt_schedule_lr(&warm, 4), 0.8, 1e-15);
    ck_assert_double_eq(mt_schedule_lr(&warm, 5), 0.5);
}
END_TEST

START_TEST(test_a_schedule_may_end_one_step_after_its_warm_up)
{
    const mt_schedule schedule = {
        .kind = MT_LINEAR, .lr = 2.0, .final = 0.1, .warmup = 10, .steps = 11};
    ck_assert_double_eq(mt_schedule_lr(&schedule, 10), 2.0);
    ck_assert_double_eq_tol(mt_schedule_lr(&schedule, 11), 0.2, 1e-12);
}
END_TEST

START_TEST(test_values_out_of_range_are_refused_by_name)
{
    const mt_schedule sound = {.kind = MT_LINEAR, .lr = 1.0, .final = 1.0, .warmup = 0, .steps = 1};
    mt_schedule wrong[8];
    static const char *const says[] = {"rate 0,",   "rate -1,",   "rate inf,", "share -0.1,",
                                       "share 1.1", "share nan,", "of -1 ",    "0 steps"};
    ck_assert_int_eq(mt_schedule_check(&sound), MT_OK);
    for (int i = 0; i < 8; i++) {
        wrong[i] = sound;
    }
    wrong[0].lr = 0.0;
    wrong[1].lr = -1.0;
    wrong[2].lr = INFINITY;
    wrong[3].final = -0.1;
    wrong[4].final = 1.1;
    wrong[5].final = NAN;
    wrong[6].warmup = -1;
    wrong[7].steps = 0;
    for (int i = 0; i < 16; i++) {
        wrong[i % 8].kind = i < 8 ? MT_LINEAR : MT_COSINE;
        ck_assert_int_eq(mt_schedule_check(&wrong[i % 8]), MT_ERROR_INVALID);
        ck_assert_msg(strstr(mt_error_message(), says[i % 8]) != NULL, "%s", mt_error_message());
    }
}
END_TEST

START_TEST(test_names_are_those_of_the_kinds)
{
    for (int kind = MT_CONSTANT; kind <= MT_SCHEDULE_RWKV_LM; kind++) {
        mt_schedule_kind found;
        ck_assert_int_eq(mt_schedule_parse(mt_schedule_name((mt_schedule_kind)kind), &found),
                         MT_OK);
        ck_assert_int_eq((int)found, kind);
    }
    ck_assert_ptr_null(mt_schedule_name((mt_schedule_kind)(MT_SCHEDULE_RWKV_LM + 1)));
    ck_assert_ptr_null(mt_schedule_name((mt_schedule_kind)-1));
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
    ck_assert_str_eq(mt_error_message(),
                     "schedule: 'cosinus' is none of constant, linear, cosine, warmuplr, rwkv-lm");
}
END_TEST

static Suite *schedule_suite(void)
{
    return SUITE("schedule", test_every_schedule_warms_up_linearly,
                 test_schedules_end_where_they_say, test_values_out_of_range_are_refused_by_name,
                 test_rwkv_lms_schedule_is_its_formula,
                 test_a_schedule_may_end_one_step_after_its_warm_up,
                 test_names_are_those_of_the_kinds, test_schedules_out_of_range_are_refused);
}

MT_TEST_MAIN(schedule_suite)
