/* Numbers that no array may hold. */
#include "io/source.h"

#include <mixtape/device.h>

#include "tests/check_main.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* More than one thread looks through, by parts of 16384 or 8192. */
enum { WIDTH = 3, ROWS = 20000, NUMBERS = ROWS * WIDTH };

static const int64_t places[] = {0,     1,     4095,  4096,  8191,       8192,
                                 16383, 16384, 49151, 49152, NUMBERS - 1};
enum { PLACES = sizeof places / sizeof *places };

/* The same numbers in either type, all of which are allowed. */
typedef struct numbers {
    float f32[NUMBERS];
    double f64[NUMBERS];
} numbers;

static numbers *make_numbers(void)
{
    static numbers made;
    for (int64_t i = 0; i < NUMBERS; i++) {
        made.f32[i] = (float)(i % 7);
        made.f64[i] = (double)(i % 7);
    }
    return &made;
}

static mt_array array_of(mt_dtype dtype, bool never_negative)
{
    return (mt_array){
        .dtype = dtype, .rank = 2, .shape = {ROWS, WIDTH}, .never_negative = never_negative};
}

/* The place of the wrong number, which it also tells. Threads that read them find the same. */
static int64_t find(numbers *in, mt_dtype dtype, bool never_negative, double *value)
{
    static numbers read;
    char named[64] = "";
    mt_array array = array_of(dtype, never_negative);
    array.name = (char *)"n";
    array.data = dtype == MT_F32 ? (void *)in->f32 : (void *)in->f64;
    int64_t place = mt_array_first_wrong(&array, array.data, NUMBERS);
    ck_assert_int_eq(
        mt_array_read(&array, 0, ROWS, dtype == MT_F32 ? (void *)read.f32 : read.f64, NULL),
        place < 0 ? MT_OK : MT_ERROR_NUMERIC);
    if (place >= 0) {
        *value = mt_real_at(dtype, array.data, place);
        snprintf(named, sizeof named, "element %" PRId64 " is %g,", place, *value);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), named));
    }
    return place;
}

START_TEST(test_the_first_wrong_number_is_found_wherever_it_is)
{
    const double wrong[] = {INFINITY, -INFINITY, NAN, -1.0};
    for (int which = 0; which < 4; which++) {
        double value = 0.0;
        numbers *in = make_numbers();
        for (int i = _i; i < PLACES; i++) { /* the first of several */
            in->f32[places[i]] = (float)wrong[which];
            in->f64[places[i]] = wrong[which];
        }
        bool never_negative = which == 3;
        for (mt_dtype dtype = MT_F32; dtype <= MT_F64; dtype++) {
            ck_assert_int_eq(find(in, dtype, never_negative, &value), places[_i]);
            ck_assert(isnan(wrong[which]) ? isnan(value) : value == wrong[which]);
        }
    }
}
END_TEST

START_TEST(test_every_finite_number_is_right_and_negative_ones_where_they_may_be)
{
    double value = 0.0;
    numbers *in = make_numbers();
    const double f32[] = {FLT_MAX, FLT_TRUE_MIN, 0.0}, f64[] = {DBL_MAX, DBL_TRUE_MIN, 0.0};
    for (int which = 0; which < 3; which++) {
        in->f32[places[_i]] = (float)f32[which];
        in->f64[places[_i]] = f64[which];
        ck_assert_int_eq(find(in, MT_F32, true, &value), -1);
        ck_assert_int_eq(find(in, MT_F64, true, &value), -1);
        in->f32[places[_i]] = -(float)f32[which]; /* a zero has its sign */
        in->f64[places[_i]] = -f64[which];
        ck_assert_int_eq(find(in, MT_F32, false, &value), -1);
        ck_assert_int_eq(find(in, MT_F64, false, &value), -1);
        ck_assert_int_eq(find(in, MT_F32, true, &value), f32[which] > 0 ? places[_i] : -1);
        ck_assert_int_eq(find(in, MT_F64, true, &value), f64[which] > 0 ? places[_i] : -1);
    }
}
END_TEST

START_TEST(test_the_place_counts_from_the_first_row_of_all)
{
    numbers *in = make_numbers();
    float read[2 * WIDTH];
    mt_array array = array_of(MT_F32, false);
    array.name = (char *)"n";
    array.data = in->f32;
    in->f32[11 * WIDTH + 2] = NAN;
    ck_assert_int_eq(mt_array_read(&array, 10, 1, read, NULL), MT_OK);
    ck_assert_int_eq(mt_array_read(&array, 10, 2, read, NULL), MT_ERROR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "element 35 is nan,"));
}
END_TEST

static Suite *arrays_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/arrays", NULL, NULL, &tcase);
    mt_cpu_set_threads(3);
    tcase_add_loop_test(tcase, test_the_first_wrong_number_is_found_wherever_it_is, 0, PLACES);
    tcase_add_loop_test(
        tcase, test_every_finite_number_is_right_and_negative_ones_where_they_may_be, 0, PLACES);
    tcase_add_test(tcase, test_the_place_counts_from_the_first_row_of_all);
    return suite;
}

MT_TEST_MAIN(arrays_suite)
