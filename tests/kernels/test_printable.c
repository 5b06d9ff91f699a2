/* What a terminal may be given of any text. */
#include "kernels/printable.h"
#include "tests/check_main.h"

#include <string.h>

static const struct {
    const char *text, *copy;
} texts[] = {{"plain \xC3\xA9 \xF0\x9F\x98\x80", "plain \xC3\xA9 \xF0\x9F\x98\x80"},
             {"\x1B[2J\n", "\\x1B[2J\\x0A"},
             {"\xC2\x85", "\\u0085"},             /* a control character beyond ASCII */
             {"\xE2\x80\xAE", "\\u202E"},         /* turns the direction around */
             {"\xE2\x80\xA8", "\\u2028"},         /* separates lines */
             {"\xF3\xA0\x80\x81", "\\U000E0001"}, /* the longest */
             {"a\xFFz", "a\\xFFz"},
             {"\xE2\x80", "\\xE2\\x80"}};

START_TEST(test_characters_that_hide_or_move_are_written_out)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char printed[64], second[64];
        size_t length = strlen(texts[i].text);
        size_t written = mt_printable(texts[i].text, length, printed, sizeof printed);
        ck_assert_str_eq(printed, texts[i].copy);
        ck_assert_uint_eq(written, strlen(printed));
        ck_assert_uint_le(written, MT_PRINTABLE_MOST * length);
        mt_printable(printed, written, second, sizeof second);
        ck_assert_str_eq(second, printed);
    }
}
END_TEST

START_TEST(test_a_copy_is_cut_between_characters)
{
    char copy[8];
    ck_assert_uint_eq(mt_printable("abc\xC3\xA9", 5, copy, 6), 5);
    ck_assert_str_eq(copy, "abc\xC3\xA9");
    ck_assert_uint_eq(mt_printable("abc\xC3\xA9", 5, copy, 5), 3);
    ck_assert_str_eq(copy, "abc");
    ck_assert_uint_eq(mt_printable("\x1B", 1, copy, 4), 0);
    ck_assert_str_eq(copy, "");
}
END_TEST

static Suite *printable_suite(void)
{
    return SUITE("printable", test_characters_that_hide_or_move_are_written_out,
                 test_a_copy_is_cut_between_characters);
}

MT_TEST_MAIN(printable_suite)
