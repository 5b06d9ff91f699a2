/* Token lists and how texts become ids. */
#include <mixtape/token_list.h>

#include "tests/io/io_test.h"

static const char *const espnet[] = {"<blank>", "<unk>", "<space>", "a", "ä", "▁the", "<sos/eos>"};
enum { COUNT = sizeof espnet / sizeof *espnet };

START_TEST(test_file_gives_the_lines_numbers_as_ids)
{
    static const char *const files[] = {
        "<blank>\n<unk>\n<space>\na\nä\n▁the\n<sos/eos>\n",
        "<blank>\n<unk>\n<space>\na\nä\n▁the\n<sos/eos>",
        "<blank>\r\n<unk>\r\n<space>\r\na\r\nä\r\n▁the\r\n<sos/eos>\r\n",
        "<blank>\n<unk> \n<space>\t\na\nä  \n▁the\n<sos/eos>\n",
        "\xEF\xBB\xBF<blank>\n<unk>\n<space>\na\nä\n▁the\n<sos/eos>\n"};
    mt_token_list *list;
    ASSERT_OK(mt_token_list_load(write_text("tokens.txt", files[_i]), &list));
    ck_assert_int_eq(list->count, COUNT);
    for (int32_t i = 0; i < COUNT; i++) {
        ck_assert_str_eq(list->tokens[i], espnet[i]);
        ck_assert_int_eq(mt_token_find(list, espnet[i], strlen(espnet[i])), i);
    }
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_a_blank_alone_is_a_token)
{
    mt_token_list *list;
    ASSERT_OK(mt_token_list_load(write_text("tokens.txt", "a\n \nb\n"), &list));
    ck_assert_int_eq(mt_token_find(list, " ", 1), 1);
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_find_takes_whole_tokens_alone)
{
    mt_token_list *list = make_tokens(4, (const char *const[]){"abc", "ab", "b", "\x7f"});
    ck_assert_int_eq(mt_token_find(list, "abc", 3), 0);
    ck_assert_int_eq(mt_token_find(list, "abcd", 2), 1);
    ck_assert_int_eq(mt_token_find(list, "a", 1), -1);
    ck_assert_int_eq(mt_token_find(list, "abcd", 4), -1);
    ck_assert_int_eq(mt_token_find(list, "", 0), -1);
    ck_assert_int_eq(mt_token_find(list, "b\0", 2), -1);
    ck_assert_int_eq(mt_token_find(list, "\0", 1), -1);
    ck_assert_int_eq(mt_token_find(list, "\xff", 1), -1);
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_find_works_in_long_lists)
{
    enum { MANY = 50000 };
    static char texts[MANY][8];
    static const char *tokens[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "t%d", (i * 7919) % MANY);
        tokens[i] = texts[i];
    }
    mt_token_list *list = make_tokens(MANY, tokens);
    for (int32_t i = 0; i < MANY; i++) {
        ck_assert_int_eq(mt_token_find(list, texts[i], strlen(texts[i])), i);
    }
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_a_token_that_is_there_twice_is_refused_with_both_ids)
{
    mt_token_list *list;
    ASSERT_FAILS(mt_token_list_load(write_text("tokens.txt", "x\ny\nz\ny\n"), &list),
                 MT_ERROR_FORMAT, "tokens.txt", "'y'", "1 and 3");
    ck_assert_ptr_null(list);
    ASSERT_FAILS(mt_token_list_create(3, (const char *const[]){"x", "x", "y"}, &list),
                 MT_ERROR_INVALID, "'x'", "0 and 1");
    ck_assert_ptr_null(list);
    ASSERT_FAILS(mt_token_list_create(2, (const char *const[]){"x", ""}, &list), MT_ERROR_INVALID,
                 "token 1 is empty");
}
END_TEST

static const struct {
    const char *text;
    size_t size;
    const char *says;
} wrong[] = {
    {"", 0, "empty"},
    {"\n", 1, "line 1 is empty"},
    {"a\n\nb\n", 5, "line 2 is empty"},
    {"a\n\r\nb\n", 6, "line 2 is empty"},
    {"a\nb\n\n", 5, "line 3 is empty"},
    {"a\n\xff\n", 4, "line 2 is not UTF-8"},
    {"a\nb\n\xc3", 5, "line 3 is not UTF-8"},
    {"a\n\xed\xa0\x80\n", 6, "line 2 is not UTF-8"}, /* a surrogate */
    {"a\nb\0c\n", 6, "a zero byte at 3"},
};

START_TEST(test_wrong_files_are_refused_with_the_line)
{
    mt_token_list *list;
    ASSERT_FAILS(
        mt_token_list_load(write_bytes("tokens.txt", wrong[_i].text, wrong[_i].size), &list),
        MT_ERROR_FORMAT, "tokens.txt", wrong[_i].says);
    ck_assert_ptr_null(list);
}
END_TEST

START_TEST(test_what_is_no_file_is_refused)
{
    mt_token_list *list;
    ASSERT_FAILS(mt_token_list_load(in_folder("nothing"), &list), MT_ERROR_IO, "nothing",
                 "No such file");
    ASSERT_FAILS(mt_token_list_load(test_folder, &list), MT_ERROR_IO, test_folder, "not a regular");
    ck_assert_int_eq(mkfifo(in_folder("pipe"), 0600), 0);
    ASSERT_FAILS(mt_token_list_load(in_folder("pipe"), &list), MT_ERROR_IO, "pipe",
                 "not a regular");
}
END_TEST

static void assert_encodes(const mt_token_list *list, mt_token_unit unit, const char *text,
                           int64_t count, const int32_t *expected)
{
    int32_t *ids;
    int64_t found;
    ASSERT_OK(mt_token_encode(list, unit, text, &ids, &found));
    ck_assert_int_eq(found, count);
    ck_assert(count == 0 || memcmp(ids, expected, (size_t)count * sizeof *ids) == 0);
    free(ids);
}

#define IDS(...)                                                                                   \
    sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (const int32_t[])                          \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

START_TEST(test_characters_have_a_space_between_words)
{
    mt_token_list *list = make_tokens(COUNT, espnet);
    assert_encodes(list, MT_TOKEN_CHAR, "aä a", IDS(3, 4, 2, 3));
    assert_encodes(list, MT_TOKEN_CHAR, " \t aä \t a  ", IDS(3, 4, 2, 1, 2, 3));
    assert_encodes(list, MT_TOKEN_CHAR, "a漢a", IDS(3, 1, 3)); /* unknown, three bytes long */
    assert_encodes(list, MT_TOKEN_CHAR, "", 0, NULL);
    assert_encodes(list, MT_TOKEN_CHAR, "   ", 0, NULL);
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_a_symbol_in_brackets_is_one_token_where_the_list_has_it)
{
    mt_token_list *list = make_tokens(
        8, (const char *const[]){"<blank>", "<unk>", "<noise>", "[b]", "<space>", "a", "<", ">"});
    assert_encodes(list, MT_TOKEN_CHAR, "a<noise>a [b]", IDS(5, 2, 5, 4, 3));
    assert_encodes(list, MT_TOKEN_CHAR, "<a> <noise", IDS(6, 5, 7, 4, 6, 1, 1, 1, 1, 1));
    assert_encodes(list, MT_TOKEN_CHAR, "<unk>", IDS(1));
    assert_encodes(list, MT_TOKEN_CHAR, "<blank>", IDS(6, 1, 1, 5, 1, 1, 7));
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_named_symbols_are_kept_whole_the_longest_first)
{
    mt_token_list *list = make_tokens(
        8, (const char *const[]){"<blank>", "<unk>", "<n>", "a", "<space>", "ab", "a b", "<"});
    assert_encodes(list, MT_TOKEN_CHAR, "ab<n>", IDS(3, 1, 2));
    ASSERT_OK(mt_token_list_keep_whole(
        list, 4, (const char *const[]){"ab", "a b", "abcd", "none in the list"}));
    assert_encodes(list, MT_TOKEN_CHAR, "aba b a", IDS(5, 6, 4, 3));
    assert_encodes(list, MT_TOKEN_CHAR, "abcda none in the list", IDS(1, 3, 4, 1));
    assert_encodes(list, MT_TOKEN_CHAR, "<n>", IDS(7, 1, 1)); /* which is not named */
    ASSERT_OK(mt_token_list_keep_whole(list, 0, NULL));
    assert_encodes(list, MT_TOKEN_CHAR, "ab<n>", IDS(3, 1, 2));
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_every_blank_separates_words_and_ascii_s_is_a_space)
{
    static const char *const blanks[] = {"\t",     "\v",     "\x1c",   "\x1f",   "\xC2\x85",
                                         "\u00a0", "\u1680", "\u2000", "\u200a", "\u2028",
                                         "\u202f", "\u205f", "\u3000"};
    mt_token_list *list = make_tokens(COUNT, espnet);
    char text[64];
    for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++) {
        snprintf(text, sizeof text, "%sa%s%sä%s", blanks[i], blanks[i], blanks[i], blanks[i]);
        assert_encodes(list, MT_TOKEN_WORD, text, IDS(3, 4));
        assert_encodes(list, MT_TOKEN_CHAR, text, IDS(3, 1, 1, 4)); /* it is not in the list */
    }
    assert_encodes(list, MT_TOKEN_CHAR, "a  ä", IDS(3, 2, 2, 4));
    assert_encodes(list, MT_TOKEN_WORD, "a\u200bä", IDS(1)); /* of no width, and no blank */
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_words_are_what_stands_between_blanks)
{
    mt_token_list *list = make_tokens(COUNT, espnet);
    assert_encodes(list, MT_TOKEN_WORD, "▁the a\tä", IDS(5, 3, 4));
    assert_encodes(list, MT_TOKEN_WORD, "  the <space> a ", IDS(1, 2, 3));
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_a_token_that_is_nowhere_is_refused_by_name)
{
    mt_token_list *list = make_tokens(2, (const char *const[]){"a", "b"});
    int32_t *ids;
    int64_t count;
    ASSERT_FAILS(mt_token_encode(list, MT_TOKEN_CHAR, "abc", &ids, &count), MT_ERROR_FORMAT, "'c'",
                 "<unk>");
    ck_assert_ptr_null(ids);
    ASSERT_FAILS(mt_token_encode(list, MT_TOKEN_CHAR, "a b", &ids, &count), MT_ERROR_FORMAT,
                 "'<space>'");
    ASSERT_FAILS(mt_token_encode(list, MT_TOKEN_WORD, "a abc", &ids, &count), MT_ERROR_FORMAT,
                 "'abc'");
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_text_that_is_not_utf8_is_refused_with_the_byte)
{
    mt_token_list *list = make_tokens(COUNT, espnet);
    int32_t *ids;
    int64_t count;
    for (int unit = MT_TOKEN_CHAR; unit <= MT_TOKEN_WORD; unit++) {
        ASSERT_FAILS(mt_token_encode(list, (mt_token_unit)unit, "a \xc3(", &ids, &count),
                     MT_ERROR_FORMAT, "byte 2", "UTF-8");
        ck_assert_ptr_null(ids);
    }
    mt_token_list_destroy(list);
}
END_TEST

static Suite *token_list_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/token_list", io_setup, io_teardown, &tcase);
    tcase_add_loop_test(tcase, test_file_gives_the_lines_numbers_as_ids, 0, 5);
    tcase_add_test(tcase, test_a_blank_alone_is_a_token);
    tcase_add_test(tcase, test_find_takes_whole_tokens_alone);
    tcase_add_test(tcase, test_find_works_in_long_lists);
    tcase_add_test(tcase, test_a_token_that_is_there_twice_is_refused_with_both_ids);
    tcase_add_loop_test(tcase, test_wrong_files_are_refused_with_the_line, 0,
                        (int)(sizeof wrong / sizeof *wrong));
    tcase_add_test(tcase, test_what_is_no_file_is_refused);
    tcase_add_test(tcase, test_characters_have_a_space_between_words);
    tcase_add_test(tcase, test_a_symbol_in_brackets_is_one_token_where_the_list_has_it);
    tcase_add_test(tcase, test_named_symbols_are_kept_whole_the_longest_first);
    tcase_add_test(tcase, test_every_blank_separates_words_and_ascii_s_is_a_space);
    tcase_add_test(tcase, test_words_are_what_stands_between_blanks);
    tcase_add_test(tcase, test_a_token_that_is_nowhere_is_refused_by_name);
    tcase_add_test(tcase, test_text_that_is_not_utf8_is_refused_with_the_byte);
    return suite;
}

MT_TEST_MAIN(token_list_suite)
