/* RWKV's World lists: what is read, and which pieces a text is cut into. */
#include "io/world.h"
#include "tests/io/io_test.h"

static mt_world *read_list(const char *text)
{
    mt_world *world;
    ASSERT_OK(mt_world_read("list", text, strlen(text), &world));
    return world;
}

static void check_piece(const mt_world *world, int32_t id, const char *expected, size_t length)
{
    size_t found;
    const char *piece = mt_world_piece(world, id, &found);
    ck_assert_ptr_nonnull(piece);
    ck_assert_mem_eq(piece, expected, length);
    ck_assert_uint_eq(found, length);
    ck_assert_int_eq(mt_world_find(world, piece, length), id);
}

START_TEST(test_pieces_are_read_as_python_writes_them)
{
    mt_world *world = read_list("1 'a\\\\\\'\\\"\\n\\r\\t' 7\n"
                                "2 \"it's\" 4\r\n"
                                "\n"
                                "3 b'\\xe6\\x00\\xFF' 3\n"
                                "5 '\\x00\\xe9\\u2028\\U0001F3B5é' 12\n"
                                "7 b\"'\" 1\n"
                                "9 ' ' 1");
    check_piece(world, 1, "a\\'\"\n\r\t", 7);
    check_piece(world, 2, "it's", 4);
    check_piece(world, 3, "\xe6\x00\xff", 3);
    check_piece(world, 5, "\x00\xc3\xa9\xe2\x80\xa8\xf0\x9f\x8e\xb5\xc3\xa9", 12);
    check_piece(world, 7, "'", 1);
    check_piece(world, 9, " ", 1);
    ck_assert_int_eq(mt_world_size(world), 10);
    for (int32_t id = -1; id <= 10; id++) {
        size_t length;
        bool known = id > 0 && id != 4 && id != 6 && id != 8 && id < 10;
        ck_assert_int_eq(mt_world_piece(world, id, &length) != NULL, known);
        ck_assert_int_eq(length > 0, known);
    }
    mt_world_destroy(world);
}
END_TEST

START_TEST(test_the_longest_piece_comes_next)
{
    static const int32_t expected[] = {4, 2, 3, 3, 5, 1};
    static const char text[] = "abcdbabab\0a"; /* the zero byte is a piece, too */
    mt_world *world = read_list("1 'a' 1\n2 'b' 1\n3 'ab' 2\n4 'abcd' 4\n5 b'\\x00' 1\n");
    int32_t *ids;
    int64_t count;
    ASSERT_FAILS(mt_world_encode(world, "abc", 3, &ids, &count), MT_ERROR_INVALID,
                 "byte 0x63 at 2 begins no piece");
    ck_assert_ptr_null(ids);
    ASSERT_OK(mt_world_encode(world, text, 0, &ids, &count));
    ck_assert_int_eq(count, 0);
    free(ids);
    ASSERT_OK(mt_world_encode(world, text, sizeof text - 1, &ids, &count));
    ck_assert_int_eq(count, 6);
    ck_assert_mem_eq(ids, expected, sizeof expected);
    free(ids);
    ck_assert_int_eq(mt_world_find(world, "abc", 3), -1);
    ck_assert_int_eq(mt_world_find(world, "", 0), -1);
    ck_assert_int_eq(mt_world_find(world, "abcde", 5), -1);
    mt_world_destroy(world);
}
END_TEST

static const struct {
    const char *list, *message;
} wrong[] = {
    {"", "list: it has no pieces"},
    {"\n\n", "list: it has no pieces"},
    {"1 'a' 1\n2 a 1\n", "line 2: not an id, a piece in quotes, and its length: 2 a 1"},
    {"1 'a' 1\n2 'b 1\n", "line 2: not an id"},
    {"1 'a' 1\n2 'b' 1 \n", "line 2: not an id"},
    {"1 'a' 1\n2  'b' 1\n", "line 2: not an id"},
    {"1 'a' 1\n2 'b' \n", "line 2: not an id"},
    {"1 'a' 1\n-2 'b' 1\n", "line 2: not an id"},
    {"1 'a' 1\n2 b'\xc3\xa9' 2\n", "line 2: not an id"},
    {"1 'a' 1\n2 b'\\u0041' 1\n", "line 2: not an id"},
    {"1 'a' 1\n2 '\\ud800' 3\n", "line 2: not an id"},
    {"1 'a' 1\n2 '\\U00110000' 4\n", "line 2: not an id"},
    {"1 'a' 1\n2 '\\x1' 1\n", "line 2: not an id"},
    {"1 'a' 1\n2 '\\x\x11"
     "1' 1\n",
     "line 2: not an id"},
    {"1 'a' 1\n2 '\\q' 1\n", "line 2: not an id"},
    {"1 'a' 1\n2 '\xc3' 1\n", "line 2: not an id"},
    {"1 'a' 1\n2 'b", "line 2: not an id"},
    {"1 'a' 1\n2 'b\\", "line 2: not an id"},
    {"1 'a' 1\n1 'b' 1\n", "line 2: id 1 or its piece is there before"},
    {"1 'a' 1\n2 'a' 1\n", "line 2: id 2 or its piece is there before"},
    {"1 'a' 1\n0 'b' 1\n", "line 2: id 0, not in 1 .. 1048575"},
    {"1 'a' 1\n1048576 'b' 1\n", "line 2: id 1048576, not in 1 .. 1048575"},
    {"1 'a' 1\n2 'é' 1\n", "line 2: a piece of 2 bytes, where the line says 1"},
    {"1 'a' 1\n2 '' 0\n", "line 2: a piece of 0 bytes, where the line says 0"},
};

START_TEST(test_wrong_lists_are_refused_with_the_line)
{
    mt_world *world;
    ASSERT_FAILS(mt_world_read("list", wrong[_i].list, strlen(wrong[_i].list), &world),
                 MT_ERROR_FORMAT, wrong[_i].message);
    ck_assert_ptr_null(world);
}
END_TEST

START_TEST(test_long_lines_and_zero_bytes_are_refused)
{
    char line[10000];
    mt_world *world;
    memset(line, 'x', sizeof line);
    memcpy(line, "1 '", 3);
    memcpy(line + sizeof line - 7, "' 9990\n", 7);
    ASSERT_FAILS(mt_world_read("list", line, sizeof line, &world), MT_ERROR_FORMAT, "line 1: not");
    ck_assert(!mt_world_is_list(line, sizeof line));
    ASSERT_FAILS(mt_world_read("list", "1 'a\0' 2\n", 9, &world), MT_ERROR_FORMAT, "line 1: not");
}
END_TEST

START_TEST(test_a_list_is_told_by_its_first_line)
{
    static const char *const others[] = {"", "{\"model\": 1}", "<blank>\n", "1 2 3\n", "the 12\n"};
    ck_assert(mt_world_is_list("1 '\\x00' 1\r\nanything", 20));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert(!mt_world_is_list(others[i], strlen(others[i])));
    }
}
END_TEST

static Suite *world_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/world", io_setup, io_teardown, &tcase);
    tcase_add_test(tcase, test_pieces_are_read_as_python_writes_them);
    tcase_add_test(tcase, test_the_longest_piece_comes_next);
    tcase_add_loop_test(tcase, test_wrong_lists_are_refused_with_the_line, 0,
                        (int)(sizeof wrong / sizeof *wrong));
    tcase_add_test(tcase, test_long_lines_and_zero_bytes_are_refused);
    tcase_add_test(tcase, test_a_list_is_told_by_its_first_line);
    return suite;
}

MT_TEST_MAIN(world_suite)
