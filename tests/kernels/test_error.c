/* Messages of failures. */
#include <mixtape/error.h>

#include "kernels/null.h"
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
    static const struct {
        const char *name, *told;
    } names[] = {
        {"a\nb\tc\x1b[2Jd\x7f", "a\\x0Ab\\x09c\\x1B[2Jd\\x7F"},
        {"ä漢😀\\", "ä漢😀\\"},
        {"\xc2\x9b"
         "31m",
         "\\u009B31m"}, /* C1 as a character, */
        {"\x9b"
         "31m",
         "\\x9B31m"}, /* and as a byte */
        {"a\xe2\x80\xae"
         "b",
         "a\\u202Eb"},                       /* from right to left */
        {"\xe2\x80\xa8", "\\u2028"},         /* a separator of lines */
        {"\xf3\xa0\x81\x81", "\\U000E0041"}, /* a tag, which nobody sees */
        {"\xe2\x82(\xff\xed\xa0\x80", "\\xE2\\x82(\\xFF\\xED\\xA0\\x80"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mt_fail(MT_ERROR_FORMAT, "%s", names[i].name);
        ck_assert_str_eq(mt_error_message(), names[i].told);
        mt_fail(MT_ERROR_FORMAT, "%s", mt_error_message());
        ck_assert_str_eq(mt_error_message(), names[i].told);
    }
}
END_TEST

START_TEST(test_a_message_is_cut_between_what_it_tells)
{
    char name[3000];
    memset(name, '\x1b', sizeof name);
    name[sizeof name - 1] = '\0';
    mt_fail(MT_ERROR_FORMAT, "%s", name);
    ck_assert_uint_eq(strlen(mt_error_message()), 4604);
    ck_assert_str_eq(mt_error_message() + 4600, "\\x1B");
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

START_TEST(test_a_null_is_told_with_what_failed_before)
{
    mt_fail(MT_ERROR_MEMORY, "x");
    ck_assert_int_eq(mt_fail_null("f"), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "f: it got NULL, after: x");
}
END_TEST

static Suite *error_suite(void)
{
    return SUITE("error", test_fail_returns_the_status_and_keeps_the_message,
                 test_message_may_quote_the_message_before_it, test_long_message_is_cut,
                 test_a_message_is_one_line_whatever_it_quotes,
                 test_a_message_is_cut_between_what_it_tells, test_each_thread_has_its_own_message,
                 test_a_null_is_told_with_what_failed_before);
}

MT_TEST_MAIN(error_suite)
