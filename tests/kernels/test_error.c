/* Messages of failures. */
#include <mixtape/dtype.h>
#include <mixtape/error.h>

#include "tests/check_main.h"

#include <pthread.h>
#include <string.h>

START_TEST(test_fail_returns_the_status_and_keeps_the_message)
{
    ck_assert_int_eq(mt_fail(MT_ERROR_IO, "file %s: %d bytes", "a.h5", 17), MT_ERROR_IO);
    ck_assert_str_eq(mt_error_message(), "file a.h5: 17 bytes");
}
END_TEST

START_TEST(test_message_may_quote_the_message_before_it)
{
    mt_fail(MT_ERROR_IO, "disk full");
    mt_fail(MT_ERROR_IO, "saving: %s", mt_error_message());
    ck_assert_str_eq(mt_error_message(), "saving: disk full");
}
END_TEST

START_TEST(test_long_message_is_cut)
{
    char name[8000];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    mt_fail(MT_ERROR_INVALID, "%s", name);
    ck_assert_uint_eq(strlen(mt_error_message()), 4607);
    mt_fail(MT_ERROR_IO, "%.4095s: the longest path leaves room for the reason", name);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "the reason"));
}
END_TEST

START_TEST(test_a_message_is_one_line_whatever_it_quotes)
{
    mt_fail(MT_ERROR_FORMAT, "name '%s'", "a\nb\tc\x1b[2Jd\x7f \xc3\xa4");
    ck_assert_str_eq(mt_error_message(), "name 'a?b?c?[2Jd? \xc3\xa4'");
}
END_TEST

static void *fail_elsewhere(void *message)
{
    mt_fail(MT_ERROR_INVALID, "%s", (const char *)message);
    return NULL;
}

START_TEST(test_each_thread_has_its_own_message)
{
    pthread_t thread;
    char message[] = "another thread's";
    mt_fail(MT_ERROR_INVALID, "the caller's");
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, message), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_str_eq(mt_error_message(), "the caller's");
}
END_TEST

START_TEST(test_dtypes_have_sizes_and_names)
{
    ck_assert_uint_eq(mt_dtype_size(MT_F32), 4);
    ck_assert_uint_eq(mt_dtype_size(MT_F64), 8);
    ck_assert_uint_eq(mt_dtype_size(MT_I32), 4);
    ck_assert_str_eq(mt_dtype_name(MT_F32), "f32");
    ck_assert_str_eq(mt_dtype_name(MT_F64), "f64");
    ck_assert_str_eq(mt_dtype_name(MT_I32), "i32");
}
END_TEST

static Suite *error_suite(void)
{
    return SUITE("error", test_fail_returns_the_status_and_keeps_the_message,
                 test_message_may_quote_the_message_before_it, test_long_message_is_cut,
                 test_a_message_is_one_line_whatever_it_quotes,
                 test_each_thread_has_its_own_message, test_dtypes_have_sizes_and_names);
}

MT_TEST_MAIN(error_suite)
