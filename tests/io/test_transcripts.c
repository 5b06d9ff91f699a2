/* Kaldi's and ESPnet's text files. */
#include <mixtape/transcripts.h>

#include "tests/io/io_test.h"

static mt_token_list *tokens, *strict;

static void setup(void)
{
    io_setup();
    tokens = make_tokens(5, (const char *const[]){"<blank>", "<unk>", "<space>", "a", "b"});
    strict = make_tokens(3, (const char *const[]){"<blank>", "a", "b"});
}

static void teardown(void)
{
    mt_token_list_destroy(tokens);
    mt_token_list_destroy(strict);
    io_teardown();
}

START_TEST(test_lines_are_utterances_in_their_order)
{
    static const char *const files[] = {
        "utt-2 ab\nutt-1\tb a\n", "utt-2 ab\nutt-1\tb a", "utt-2 ab\r\nutt-1\tb a\r\n",
        "utt-2   ab  \nutt-1\u3000b a\u00a0\n", "\xEF\xBB\xBFutt-2 ab\nutt-1 b a\n"};
    static const int32_t first[] = {3, 4}, second[] = {4, 2, 3};
    mt_transcripts *transcripts;
    ASSERT_OK(
        mt_transcripts_load(write_text("text", files[_i]), tokens, MT_TOKEN_CHAR, &transcripts));
    ck_assert_int_eq(transcripts->count, 2);
    ck_assert_str_eq(transcripts->items[0].utterance, "utt-2");
    ck_assert_str_eq(transcripts->items[1].utterance, "utt-1");
    ck_assert_int_eq(transcripts->items[0].length, 2);
    ck_assert_int_eq(transcripts->items[1].length, 3);
    ck_assert_mem_eq(transcripts->items[0].labels, first, sizeof first);
    ck_assert_mem_eq(transcripts->items[1].labels, second, sizeof second);
    mt_transcripts_destroy(transcripts);
}
END_TEST

START_TEST(test_utterances_without_text_are_left_out)
{
    mt_transcripts *transcripts;
    ASSERT_OK(mt_transcripts_load(write_text("text", "u1\nu2 a\nu3  \nu4 b\nu5"), tokens,
                                  MT_TOKEN_WORD, &transcripts));
    ck_assert_int_eq(transcripts->count, 2);
    ck_assert_str_eq(transcripts->items[0].utterance, "u2");
    ck_assert_str_eq(transcripts->items[1].utterance, "u4");
    mt_transcripts_destroy(transcripts);
}
END_TEST

static const struct {
    const char *text;
    size_t size;
    const char *says, *figures;
} wrong[] = {
    {"", 0, "no transcript", "text"},
    {"u1\nu2\n", 6, "no transcript", "text"},
    {"u1 a\n\nu2 b\n", 11, "line 2", "no utterance id"},
    {"u1 a\n u2 b\n", 11, "line 2", "no utterance id"},
    {"u1 a\nu2 a\xff\n", 11, "line 2", "UTF-8"},
    {"u1 a\nu2 ac\n", 11, "line 2: utterance u2", "'c'"},
    {"u1 a\nu2 a b\n", 12, "line 2: utterance u2", "'<space>'"},
    {"u1 a\nu2 b\nu1 b\n", 15, "'u1'", "twice"},
    {"u1 a\n\0", 6, "zero byte", "5"},
};

START_TEST(test_wrong_files_are_refused_with_line_utterance_and_token)
{
    mt_transcripts *transcripts;
    ASSERT_FAILS(mt_transcripts_load(write_bytes("text", wrong[_i].text, wrong[_i].size), strict,
                                     MT_TOKEN_CHAR, &transcripts),
                 MT_ERROR_FORMAT, "text", wrong[_i].says, wrong[_i].figures);
    ck_assert_ptr_null(transcripts);
}
END_TEST

START_TEST(test_binary_files_are_refused)
{
    unsigned char bytes[4096];
    mt_random random = mt_random_make(3, 0);
    for (int trial = 0; trial < 50; trial++) {
        for (size_t i = 0; i < sizeof bytes; i++) { /* without zero bytes, which are found first */
            bytes[i] = (unsigned char)(1 + (int)(mt_random_uniform(&random) * 255.0));
        }
        mt_transcripts *transcripts;
        ASSERT_FAILS(mt_transcripts_load(write_bytes("binary", bytes, sizeof bytes), tokens,
                                         MT_TOKEN_WORD, &transcripts),
                     MT_ERROR_FORMAT, "binary: line ");
    }
}
END_TEST

START_TEST(test_a_missing_file_is_refused)
{
    mt_transcripts *transcripts;
    ASSERT_FAILS(mt_transcripts_load(in_folder("nothing"), tokens, MT_TOKEN_CHAR, &transcripts),
                 MT_ERROR_IO, "nothing", "No such file");
    ck_assert_ptr_null(transcripts);
}
END_TEST

static Suite *transcripts_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/transcripts", setup, teardown, &tcase);
    tcase_add_loop_test(tcase, test_lines_are_utterances_in_their_order, 0, 5);
    tcase_add_test(tcase, test_utterances_without_text_are_left_out);
    tcase_add_loop_test(tcase, test_wrong_files_are_refused_with_line_utterance_and_token, 0,
                        (int)(sizeof wrong / sizeof *wrong));
    tcase_add_test(tcase, test_binary_files_are_refused);
    tcase_add_test(tcase, test_a_missing_file_is_refused);
    return suite;
}

MT_TEST_MAIN(transcripts_suite)
