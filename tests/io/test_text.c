/* Texts as characters and as bytes. */
#include <mixtape/text.h>

#include "io/text_counts.h"
#include "io/utf8.h"
#include "tests/io/io_test.h"

START_TEST(test_characters_are_numbered_by_code_point)
{
    static const char content[] = "bä\na\xf0\x9f\x98\x80 b";
    static const int32_t ids[] = {3, 4, 0, 2, 5, 1, 3};
    mt_token_list *vocabulary = NULL;
    mt_text text;
    ASSERT_OK(mt_text_load(write_text("text", content), MT_TEXT_CHAR, &vocabulary, &text));
    ck_assert_int_eq(vocabulary->count, 6);
    ck_assert_str_eq(vocabulary->tokens[4], "ä");
    ck_assert_int_eq(text.length, 7);
    ck_assert_mem_eq(text.ids, ids, sizeof ids);
    const char *rest = content;
    for (int64_t i = 0; i < text.length; i++) {
        size_t length;
        const char *symbol = mt_text_decode(vocabulary, MT_TEXT_CHAR, text.ids[i], &length);
        ck_assert_int_eq(strncmp(rest, symbol, length), 0);
        rest += length;
    }
    ck_assert_str_eq(rest, "");
    mt_text_destroy(&text);
    mt_token_list_destroy(vocabulary);
}
END_TEST

START_TEST(test_a_byte_order_mark_is_no_character_but_three_bytes)
{
    mt_token_list *characters = NULL, *bytes = NULL;
    mt_text text;
    const char *path = write_text("text", "\xEF\xBB\xBF"
                                          "ab");
    ASSERT_OK(mt_text_load(path, MT_TEXT_CHAR, &characters, &text));
    ck_assert_int_eq(characters->count, 2);
    ck_assert_int_eq(text.length, 2);
    mt_text_destroy(&text);
    ASSERT_OK(mt_text_load(path, MT_TEXT_BYTE, &bytes, &text));
    ck_assert_int_eq(text.length, 5);
    mt_text_destroy(&text);
    mt_token_list_destroy(bytes);
    bytes = NULL;
    ASSERT_FAILS(mt_text_load(write_text("text", "\xEF\xBB\xBF"), MT_TEXT_CHAR, &bytes, &text),
                 MT_ERROR_FORMAT, "empty");
    mt_token_list_destroy(characters);
}
END_TEST

START_TEST(test_every_byte_is_a_symbol)
{
    unsigned char content[256];
    for (int i = 0; i < 256; i++) {
        content[i] = (unsigned char)(255 - i);
    }
    mt_token_list *vocabulary = NULL;
    mt_text text;
    ASSERT_OK(mt_text_load(write_bytes("bytes", content, sizeof content), MT_TEXT_BYTE, &vocabulary,
                           &text));
    ck_assert_int_eq(vocabulary->count, 256);
    ck_assert_str_eq(vocabulary->tokens[255], "<0xFF>");
    ck_assert_int_eq(text.length, 256);
    for (int i = 0; i < 256; i++) {
        size_t length;
        ck_assert_int_eq(text.ids[i], content[i]);
        const char *byte = mt_text_decode(vocabulary, MT_TEXT_BYTE, text.ids[i], &length);
        ck_assert_uint_eq(length, 1);
        ck_assert_int_eq((unsigned char)*byte, content[i]);
    }
    mt_text_destroy(&text);
    mt_token_list_destroy(vocabulary);
}
END_TEST

START_TEST(test_symbols_of_any_length_come_out_whole)
{
    static const char *const symbols[] = {"<sos/eos>", "\xe2\x96\x81transducer", "a"};
    mt_token_list *vocabulary = make_tokens(3, symbols);
    for (int32_t id = 0; id < 3; id++) {
        size_t length;
        const char *symbol = mt_text_decode(vocabulary, MT_TEXT_CHAR, id, &length);
        ck_assert_uint_eq(length, strlen(symbols[id]));
        ck_assert_mem_eq(symbol, symbols[id], length);
    }
    mt_token_list_destroy(vocabulary);
}
END_TEST

START_TEST(test_a_given_vocabulary_is_kept)
{
    mt_token_list *vocabulary = make_tokens(3, (const char *const[]){"z", "a", "ö"}), *given;
    mt_text text;
    given = vocabulary;
    ASSERT_OK(mt_text_load(write_text("text", "aözz"), MT_TEXT_CHAR, &given, &text));
    ck_assert_ptr_eq(given, vocabulary);
    ck_assert_mem_eq(text.ids, ((const int32_t[]){1, 2, 0, 0}), 4 * sizeof(int32_t));
    mt_text_destroy(&text);
    ASSERT_FAILS(mt_text_load(write_text("text", "aöü"), MT_TEXT_CHAR, &given, &text),
                 MT_ERROR_FORMAT, "text", "U+00FC", "byte 3");
    ck_assert_ptr_eq(given, vocabulary);
    mt_token_list_destroy(vocabulary);
}
END_TEST

static const struct {
    const char *text;
    size_t size;
    const char *says, *advice;
} wrong[] = {
    {"", 0, "empty", "text"},
    {"ab\xffg", 4, "byte 2 is not UTF-8", "--unit byte"},
    {"abc\xe2\x82", 5, "byte 3 is not UTF-8", "--unit byte"},      /* cut off */
    {"\xc0\x80", 2, "byte 0 is not UTF-8", "--unit byte"},         /* overlong */
    {"\xed\xa0\x80", 3, "byte 0 is not UTF-8", "--unit byte"},     /* a surrogate */
    {"\xf4\x90\x80\x80", 4, "byte 0 is not UTF-8", "--unit byte"}, /* above U+10FFFF */
    {"a\0b", 3, "zero byte", "--unit byte"},
};

START_TEST(test_what_is_not_utf8_is_refused_with_the_byte)
{
    mt_token_list *vocabulary = NULL;
    mt_text text;
    ASSERT_FAILS(mt_text_load(write_bytes("text", wrong[_i].text, wrong[_i].size), MT_TEXT_CHAR,
                              &vocabulary, &text),
                 MT_ERROR_FORMAT, "text: ", wrong[_i].says, wrong[_i].advice);
    ck_assert_ptr_null(vocabulary);
}
END_TEST

START_TEST(test_what_is_no_file_is_refused)
{
    mt_token_list *vocabulary = NULL;
    int32_t id;
    mt_text text = {.length = 1, .ids = &id};
    ASSERT_FAILS(mt_text_load(in_folder("nothing"), MT_TEXT_BYTE, &vocabulary, &text), MT_ERROR_IO,
                 "nothing", "No such file");
    ck_assert(text.length == 0 && text.ids == NULL);
    ASSERT_FAILS(mt_text_load(test_folder, MT_TEXT_BYTE, &vocabulary, &text), MT_ERROR_IO,
                 "not a regular file");
    ck_assert_ptr_null(vocabulary);
}
END_TEST

START_TEST(test_an_empty_prompt_has_no_symbols)
{
    mt_token_list *vocabulary = make_tokens(1, (const char *const[]){"a"});
    mt_text text;
    ASSERT_OK(mt_text_encode("", 0, MT_TEXT_CHAR, vocabulary, &text));
    ck_assert_int_eq(text.length, 0);
    mt_text_destroy(&text);
    ASSERT_FAILS(mt_text_encode("ab", 2, MT_TEXT_CHAR, vocabulary, &text), MT_ERROR_FORMAT,
                 "U+0062", "byte 1");
    ck_assert_ptr_null(text.ids);
    mt_token_list_destroy(vocabulary);
}
END_TEST

/* To read it as bytes would ask for another model. */
START_TEST(test_what_is_not_utf8_in_a_prompt_is_told_without_that_advice)
{
    mt_token_list *vocabulary = make_tokens(1, (const char *const[]){"a"});
    mt_text text;
    ASSERT_FAILS(mt_text_encode("a\xff", 2, MT_TEXT_CHAR, vocabulary, &text), MT_ERROR_FORMAT,
                 "byte 1 is not UTF-8");
    ck_assert_ptr_null(strstr(mt_error_message(), "--unit"));
    mt_token_list_destroy(vocabulary);
}
END_TEST

static const struct {
    const char *text;
    int64_t words, characters;
} counted_texts[] = {
    {"", 0, 0},
    {" ", 0, 1},
    {"a", 1, 1},
    {"\n a\tbc \r\n", 2, 9},
    {"wie\u00A0sch\u00F6n\u3000\u6F22\u2028x", 4, 13},
    {"a\037b\xC2\x85\143\u200Bd", 3, 7}, /* U+200B is no blank */
    {"\U0001F600 \u00C7", 2, 3},
};

START_TEST(test_words_and_characters_are_counted)
{
    const char *text = counted_texts[_i].text;
    mt_text_counts counts = mt_text_count(text, strlen(text));
    ck_assert(counts.is_text);
    ck_assert_int_eq(counts.bytes, (int64_t)strlen(text));
    ck_assert_int_eq(counts.words, counted_texts[_i].words);
    ck_assert_int_eq(counts.characters, counted_texts[_i].characters);
}
END_TEST

START_TEST(test_bytes_that_are_no_text_are_counted_as_bytes)
{
    ck_assert(!mt_text_count("a\xFF", 2).is_text);
    ck_assert(!mt_text_count("\xC3\xB6", 1).is_text); /* cut */
    ck_assert(!mt_text_count("a\xC3\xB6", 2).is_text);
    ck_assert_int_eq(mt_text_count("a \xFF"
                                   "bc",
                                   5)
                         .bytes,
                     5);
    ck_assert_int_eq(mt_text_count("a\0b", 3).words, 1);
}
END_TEST

/* Each byte of what is cut, too long for its character, or a surrogate; zero bytes stay. */
START_TEST(test_bytes_that_are_no_text_are_replaced_one_by_one)
{
#define R "\xEF\xBF\xBD"
    static const char given[] = "a\0\xC3\xB6 \xFF\xC0\x80 \xED\xA0\x80 \xE6\x9D";
    static const char wanted[] = "a\0\xC3\xB6 " R R R " " R R R " " R R;
#undef R
    size_t length;
    char *found = mt_utf8_replace(given, sizeof given - 1, &length);
    ck_assert_ptr_nonnull(found);
    ck_assert_uint_eq(length, sizeof wanted - 1);
    ck_assert_mem_eq(found, wanted, length);
    free(found);
    found = mt_utf8_replace(NULL, 0, &length);
    ck_assert_ptr_nonnull(found);
    ck_assert_uint_eq(length, 0);
    free(found);
}
END_TEST

static Suite *text_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/text", io_setup, io_teardown, &tcase);
    tcase_add_test(tcase, test_characters_are_numbered_by_code_point);
    tcase_add_test(tcase, test_a_byte_order_mark_is_no_character_but_three_bytes);
    tcase_add_test(tcase, test_every_byte_is_a_symbol);
    tcase_add_test(tcase, test_symbols_of_any_length_come_out_whole);
    tcase_add_test(tcase, test_a_given_vocabulary_is_kept);
    tcase_add_loop_test(tcase, test_what_is_not_utf8_is_refused_with_the_byte, 0,
                        (int)(sizeof wrong / sizeof *wrong));
    tcase_add_test(tcase, test_what_is_no_file_is_refused);
    tcase_add_test(tcase, test_an_empty_prompt_has_no_symbols);
    tcase_add_test(tcase, test_what_is_not_utf8_in_a_prompt_is_told_without_that_advice);
    tcase_add_loop_test(tcase, test_words_and_characters_are_counted, 0,
                        (int)(sizeof counted_texts / sizeof *counted_texts));
    tcase_add_test(tcase, test_bytes_that_are_no_text_are_counted_as_bytes);
    tcase_add_test(tcase, test_bytes_that_are_no_text_are_replaced_one_by_one);
    return suite;
}

MT_TEST_MAIN(text_suite)
