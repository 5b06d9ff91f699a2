/* JSON that is checked and not kept. */
#include "io/json_check.h"
#include "tests/io/io_test.h"

static mt_status check(const char *text)
{
    return mt_json_check_member("a.json", text, strlen(text), "model");
}

static const char *const right[] = {
    "{\"model\":{}}",
    " \t\r\n{ \"a\" : [ ] , \"model\" : { \"b\" : { } } } \n",
    "{\"model\": {\"a\": [0, -1, 1.5, 1e9, 2E-3, 0.25e+7, true, false, null, \"\"]}}",
    "{\"model\": {\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\": \"\xC3\xA9\"}}",
    "{\"model\": {}, \"z\": [[[1], 2], {\"a\": [3]}]}",
    "{\"model\": 1, \"model\": {\"\\u0000\": 1e999}}",
};

START_TEST(test_an_object_with_the_member_is_taken)
{
    ASSERT_OK(check(right[_i]));
}
END_TEST

static const char *const wrong[] = {
    "",
    "{",
    "[]",
    "3",
    "{\"model\": {}",
    "{\"model\": {}}}",
    "{\"model\": {}}],",
    "{\"model\": {}} x",
    "{\"model\": {},}",
    "{\"model\": {\"a\" 1}}",
    "{\"model\": {\"a\":}}",
    "{\"model\": {a: 1}}",
    "{\"model\": {}, \"a\": [1,]}",
    "{\"model\": {}, \"a\": [1 2]}",
    "{\"model\": {}, \"a\": [1}}",
    "{\"model\": {}, \"a\": 01}",
    "{\"model\": {}, \"a\": -}",
    "{\"model\": {}, \"a\": 1.}",
    "{\"model\": {}, \"a\": 1e}",
    "{\"model\": {}, \"a\": .5}",
    "{\"model\": {}, \"a\": True}",
    "{\"model\": {}, \"a\": \"\\x\"}",
    "{\"model\": {}, \"a\": \"\\u12g4\"}",
    "{\"model\": {}, \"a\": \"\n\"}",
    "{\"model\": {}, \"a\": \"",
    "{\"model\": {}, \"a\": \"\\",
    "{\"model\": {}, \"a\": \"\xFF\"}",
};

START_TEST(test_what_is_no_object_of_json_is_refused)
{
    ASSERT_FAILS(check(wrong[_i]), MT_ERROR_FORMAT, "a.json: it is no JSON object: ", "at byte ");
}
END_TEST

static const char *const lacking[] = {
    "{}", "{\"model\": []}", "{\"models\": {}}", "{\"a\": {\"model\": {}}}", "{\"mode\": {}}",
};

START_TEST(test_an_object_without_the_member_is_refused)
{
    ASSERT_FAILS(check(lacking[_i]), MT_ERROR_FORMAT, "a.json: it has no model");
}
END_TEST

START_TEST(test_the_place_is_told_and_a_zero_byte_ends_no_text)
{
    ASSERT_FAILS(check("{\"model\": nil}"), MT_ERROR_FORMAT, "wrong at byte 10 of 14");
    ASSERT_FAILS(mt_json_check_member("a.json", "{\"model\":{}}\0 ", 14, "model"), MT_ERROR_FORMAT,
                 "no text at byte 12 of 14");
}
END_TEST

START_TEST(test_nesting_has_a_limit)
{
    enum { MOST = 2048 };
    char text[2 * MOST + 64] = "{\"model\": {}, \"a\": ";
    size_t begin = strlen(text);
    memset(text + begin, '[', MOST - 1);
    memset(text + begin + MOST - 1, ']', MOST - 1);
    text[begin + 2 * (MOST - 1)] = '}';
    ASSERT_OK(check(text));
    memset(text + begin, '[', MOST);
    memset(text + begin + MOST, ']', MOST);
    text[begin + (size_t)2 * MOST] = '}';
    ASSERT_FAILS(check(text), MT_ERROR_FORMAT, "wrong at byte");
}
END_TEST

static Suite *json_check_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/json_check", NULL, NULL, &tcase);
    tcase_add_loop_test(tcase, test_an_object_with_the_member_is_taken, 0,
                        sizeof right / sizeof *right);
    tcase_add_loop_test(tcase, test_what_is_no_object_of_json_is_refused, 0,
                        sizeof wrong / sizeof *wrong);
    tcase_add_loop_test(tcase, test_an_object_without_the_member_is_refused, 0,
                        sizeof lacking / sizeof *lacking);
    tcase_add_test(tcase, test_the_place_is_told_and_a_zero_byte_ends_no_text);
    tcase_add_test(tcase, test_nesting_has_a_limit);
    return suite;
}

MT_TEST_MAIN(json_check_suite)
