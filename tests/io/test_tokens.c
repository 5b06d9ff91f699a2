/* Token lists, transcripts and text. */
#include "io/text.h"
#include "io/transcripts.h"
#include "tests/check_main.h"
#include "tests/io/test_io.h"

static mt_token_list *load(const char *text)
{
    mt_token_list *list;
    ck_assert_msg(mt_token_list_load(TEXT_FILE("tokens.txt", text), &list) == MT_OK, "%s",
                  mt_error_message());
    return list;
}

static mt_token_list *espnet_list(void)
{
    return load("<blank>\n<unk>\n<space>\na\nb\nä\nab\n<sos/eos>\n");
}

START_TEST(test_tokens_are_found_by_their_bytes)
{
    mt_token_list *list = espnet_list();
    ck_assert_int_eq(list->count, 8);
    for (int32_t i = 0; i < list->count; i++) {
        ck_assert_int_eq(mt_token_find(list, list->tokens[i], strlen(list->tokens[i])), i);
    }
    ck_assert_int_eq(mt_token_find(list, "abc", 2), 6);
    ck_assert_int_eq(mt_token_find(list, "abc", 3), -1);
    ck_assert_int_eq(mt_token_find(list, "", 0), -1);
    mt_token_list_destroy(list);
}
END_TEST

static void assert_encoded(const mt_token_list *list, mt_token_unit unit, const char *text,
                           int64_t count, const int32_t *expected)
{
    int32_t *ids;
    int64_t found;
    ck_assert_msg(mt_token_encode(list, unit, text, &ids, &found) == MT_OK, "%s",
                  mt_error_message());
    ck_assert_int_eq(found, count);
    ck_assert_mem_eq(ids, expected, (size_t)count * sizeof *ids);
    free(ids);
}

START_TEST(test_transcripts_are_cut_into_characters_and_words)
{
    mt_token_list *list = espnet_list();
    assert_encoded(list, MT_TOKEN_CHAR, "  ab\t äx ", 5, (int32_t[]){3, 4, 2, 5, 1});
    assert_encoded(list, MT_TOKEN_WORD, " ab b  zzz", 3, (int32_t[]){6, 4, 1});
    assert_encoded(list, MT_TOKEN_CHAR, "   ", 0, (int32_t[]){0});
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_a_token_beyond_a_list_without_unk_is_refused)
{
    mt_token_list *list = load("<blank>\na\n");
    int32_t *ids;
    int64_t count;
    ck_assert_int_eq(mt_token_encode(list, MT_TOKEN_CHAR, "ab", &ids, &count), MT_ERROR_FORMAT);
    assert_message_has("'b'");
    ck_assert_ptr_null(ids);
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_wrong_token_lists_are_refused_with_file_and_line)
{
    static const struct {
        const char *text, *part;
        size_t size;
    } wrong[] = {{"", "empty", 0},
                 {"a\n\nb\n", "line 2 is empty", 5},
                 {"a\nb\na\n", "'a' is there twice, as 0 and 2", 6},
                 {"a\n\xff\n", "line 2 is not UTF-8", 4},
                 {"a\0b\n", "zero byte", 4}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mt_token_list *list;
        const char *path = file_of("wrong.txt", wrong[i].text, wrong[i].size);
        ck_assert_int_eq(mt_token_list_load(path, &list), MT_ERROR_FORMAT);
        ck_assert_ptr_null(list);
        assert_message_has(path);
        assert_message_has(wrong[i].part);
    }
    mt_token_list *list;
    ck_assert_int_eq(mt_token_list_load(in_folder("none"), &list), MT_ERROR_IO);
    assert_message_has("No such file");
}
END_TEST

START_TEST(test_transcripts_are_read_without_the_empty_ones)
{
    mt_token_list *list = espnet_list();
    mt_transcripts *transcripts;
    const char *path = TEXT_FILE("text", "u1 ab\nu2\nu3  b \r\nu4 a");
    ck_assert_msg(mt_transcripts_load(path, list, MT_TOKEN_CHAR, &transcripts) == MT_OK, "%s",
                  mt_error_message());
    ck_assert_int_eq(transcripts->count, 3);
    ck_assert_str_eq(transcripts->items[1].utterance, "u3");
    ck_assert_int_eq(transcripts->items[1].length, 1);
    ck_assert_int_eq(transcripts->items[1].labels[0], 4);
    mt_transcripts_destroy(transcripts);
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_wrong_transcripts_are_refused_with_file_and_line)
{
    mt_token_list *list = espnet_list();
    static const struct {
        const char *text, *part;
        size_t size;
    } wrong[] = {{"", "no transcript", 0},
                 {"u1\nu2\n", "no transcript", 6},
                 {"u1 a\n b\n", "line 2", 8},
                 {"u1 a\nu2 \xff\n", "line 2", 10},
                 {"u1 a\nu1 b\n", "'u1' is there twice", 10},
                 {"u1 a\0\n", "zero byte", 7}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mt_transcripts *transcripts;
        const char *path = file_of("wrong", wrong[i].text, wrong[i].size);
        ck_assert_int_eq(mt_transcripts_load(path, list, MT_TOKEN_CHAR, &transcripts),
                         MT_ERROR_FORMAT);
        ck_assert_ptr_null(transcripts);
        assert_message_has(path);
        assert_message_has(wrong[i].part);
    }
    mt_token_list_destroy(list);
}
END_TEST

START_TEST(test_characters_are_in_the_order_of_code_points)
{
    mt_token_list *vocabulary = NULL;
    mt_text text;
    ck_assert_int_eq(mt_text_load(TEXT_FILE("text", "b\nä€ab"), MT_TEXT_CHAR, &vocabulary, &text),
                     MT_OK);
    ck_assert_int_eq(vocabulary->count, 5);
    ck_assert_int_eq(text.length, 6);
    const int32_t expected[] = {2, 0, 3, 4, 1, 2};
    ck_assert_mem_eq(text.ids, expected, sizeof expected);
    char bytes[8];
    ck_assert_uint_eq(mt_text_decode(vocabulary, MT_TEXT_CHAR, 4, bytes), 3);
    ck_assert_mem_eq(bytes, "€", 3);
    mt_text_destroy(&text);
    mt_token_list_destroy(vocabulary);
}
END_TEST

START_TEST(test_bytes_are_themselves)
{
    mt_token_list *vocabulary = NULL;
    mt_text text;
    ck_assert_int_eq(
        mt_text_load(file_of("bytes", "\x00\xff\x41", 3), MT_TEXT_BYTE, &vocabulary, &text), MT_OK);
    ck_assert_int_eq(vocabulary->count, 256);
    const int32_t expected[] = {0, 255, 65};
    ck_assert_mem_eq(text.ids, expected, sizeof expected);
    mt_text_destroy(&text);
    mt_token_list_destroy(vocabulary);
}
END_TEST

START_TEST(test_wrong_texts_are_refused_with_the_offset)
{
    mt_token_list *vocabulary = NULL;
    mt_text text;
    ck_assert_int_eq(mt_text_load(TEXT_FILE("text", "ab\xff"), MT_TEXT_CHAR, &vocabulary, &text),
                     MT_ERROR_FORMAT);
    assert_message_has("byte 2 is not UTF-8");
    ck_assert_ptr_null(vocabulary);
    ck_assert_int_eq(mt_text_load(TEXT_FILE("text", ""), MT_TEXT_CHAR, &vocabulary, &text),
                     MT_ERROR_FORMAT);
    assert_message_has("empty");
    ck_assert_int_eq(mt_text_load(test_folder, MT_TEXT_CHAR, &vocabulary, &text), MT_ERROR_IO);
    ck_assert_int_eq(mt_text_load(TEXT_FILE("text", "ab"), MT_TEXT_CHAR, &vocabulary, &text),
                     MT_OK);
    mt_text_destroy(&text);
    ck_assert_int_eq(mt_text_load(TEXT_FILE("text", "abc"), MT_TEXT_CHAR, &vocabulary, &text),
                     MT_ERROR_FORMAT);
    assert_message_has("U+0063 at byte 2");
    mt_token_list_destroy(vocabulary);
}
END_TEST

static Suite *tokens_suite(void)
{
    Suite *suite = suite_create("tokens");
    TCase *tcase = tcase_create("tokens");
    tcase_add_checked_fixture(tcase, folder_setup, folder_teardown);
    tcase_add_test(tcase, test_tokens_are_found_by_their_bytes);
    tcase_add_test(tcase, test_transcripts_are_cut_into_characters_and_words);
    tcase_add_test(tcase, test_a_token_beyond_a_list_without_unk_is_refused);
    tcase_add_test(tcase, test_wrong_token_lists_are_refused_with_file_and_line);
    tcase_add_test(tcase, test_transcripts_are_read_without_the_empty_ones);
    tcase_add_test(tcase, test_wrong_transcripts_are_refused_with_file_and_line);
    tcase_add_test(tcase, test_characters_are_in_the_order_of_code_points);
    tcase_add_test(tcase, test_bytes_are_themselves);
    tcase_add_test(tcase, test_wrong_texts_are_refused_with_the_offset);
    suite_add_tcase(suite, tcase);
    return suite;
}

MT_TEST_MAIN(tokens_suite)
