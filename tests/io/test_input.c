/* What a person gives to be read: plain, through a pipe, or compressed. */
#include "io/input.h"

#include "tests/io/io_test.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/wait.h>

/* "abcabcabc" 4000 times, by Python's gzip. */
static const unsigned char packed[] = {
    0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xED, 0xC2, 0x41, 0x11, 0x00,
    0x00, 0x0C, 0x02, 0xA0, 0xAC, 0x6A, 0xFF, 0x0E, 0xAB, 0xB1, 0x07, 0x1C, 0xE9, 0xA2, 0xAA,
    0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA,
    0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA,
    0xAA, 0xAA, 0xAA, 0xFE, 0x78, 0x71, 0x6C, 0x74, 0xEA, 0xA0, 0x8C, 0x00, 0x00};
enum { PACKED = sizeof packed, UNPACKED = 36000 };

/* Claims that the file holds the unpacked text `times` times. */
static void claim_unpacked(const char *path, size_t times)
{
    char *bytes;
    size_t size;
    ASSERT_OK(mt_input_read(path, SIZE_MAX, &bytes, &size));
    ck_assert_uint_eq(size, times * UNPACKED);
    ck_assert_int_eq(bytes[size], '\0');
    for (size_t i = 0; i < size; i++) {
        ck_assert_int_eq(bytes[i], "abc"[i % 3]);
    }
    free(bytes);
}

START_TEST(test_gzip_is_told_by_its_bytes_and_has_several_members)
{
    unsigned char content[3 * PACKED + 512] = {0};
    claim_unpacked(write_bytes("text", packed, PACKED), 1);
    memcpy(content, packed, PACKED);
    memcpy(content + PACKED, packed, PACKED);
    claim_unpacked(write_bytes("text", content, (size_t)2 * PACKED), 2);
    claim_unpacked(write_bytes("text", content, sizeof content), 2); /* zeros behind it */
    memcpy(content + 2 * PACKED, "rest", 4);
    char *bytes;
    size_t size;
    ASSERT_FAILS(
        mt_input_read(write_bytes("text", content, sizeof content), SIZE_MAX, &bytes, &size),
        MT_ERROR_FORMAT, "text: something else", "at byte 146", "72000 unpacked");
}
END_TEST

START_TEST(test_gzip_that_is_cut_or_damaged_is_refused_with_the_place)
{
    char *bytes, place[32];
    size_t size;
    for (size_t cut = 3; cut < PACKED; cut++) {
        snprintf(place, sizeof place, "cut off at byte %zu", cut);
        ASSERT_FAILS(mt_input_read(write_bytes("text", packed, cut), SIZE_MAX, &bytes, &size),
                     MT_ERROR_FORMAT, "text: ", place);
    }
    unsigned char content[PACKED];
    for (size_t wrong = PACKED - 8; wrong < PACKED; wrong++) { /* the sum, and the length */
        memcpy(content, packed, PACKED);
        content[wrong] ^= 1;
        ASSERT_FAILS(mt_input_read(write_bytes("text", content, PACKED), SIZE_MAX, &bytes, &size),
                     MT_ERROR_FORMAT, "text: damaged at byte ");
    }
}
END_TEST

START_TEST(test_what_is_unpacked_is_bounded_and_what_is_plain_is_not)
{
    char *bytes, plain[1000];
    size_t size;
    memset(plain, 'a', sizeof plain);
    const char *path = write_bytes("text", packed, PACKED);
    ASSERT_FAILS(mt_input_read(path, UNPACKED - 1, &bytes, &size), MT_ERROR_INVALID,
                 "text: ", "more than 35999 bytes");
    ASSERT_OK(mt_input_read(path, UNPACKED, &bytes, &size));
    free(bytes);
    ASSERT_FAILS(mt_input_read(path, 10, &bytes, &size), MT_ERROR_INVALID, "more than 10 bytes");
    ASSERT_OK(mt_input_read(write_bytes("text", plain, sizeof plain), 10, &bytes, &size));
    ck_assert_uint_eq(size, sizeof plain);
    free(bytes);
}
END_TEST

/* Reads a pipe into which a child process writes so many bytes, for ever where they are none. */
static mt_status read_piped(size_t count, size_t most, char **bytes, size_t *size)
{
    const char *path = in_folder("pipe");
    (void)remove(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert(mt_input_is_stream(path));
    pid_t child = fork();
    if (child == 0) {
        int file = open(path, O_WRONLY);
        for (size_t i = 0; count == 0 || i < count; i++) {
            if (write(file, "x", 1) != 1) {
                break;
            }
        }
        _exit(0);
    }
    ck_assert_int_gt(child, 0);
    mt_status status = mt_input_read(path, most, bytes, size);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    return status;
}

START_TEST(test_a_pipe_is_read_to_its_end_and_bounded)
{
    char *bytes;
    size_t size;
    ASSERT_OK(read_piped(100000, 100000, &bytes, &size));
    ck_assert_uint_eq(size, 100000);
    free(bytes);
    ASSERT_FAILS(read_piped(0, 70000, &bytes, &size), MT_ERROR_INVALID,
                 "pipe: ", "more than 70000 bytes");
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    const char *is, *cure;
} others[] = {
    {"\xFD\x37\x7A\x58\x5A\0\0", 7, "xz", "xz -dc"},
    {"\x28\xB5\x2F\xFD rest", 9, "zstd", "zstd -dc"},
    {"BZh91AY&SYrest", 14, "bzip2", "bzip2 -dc"},
    {"\x04\x22\x4D\x18", 4, "lz4", "lz4 -dc"},
    {"\x1F\x9D\x90", 3, "compress", "gzip -dc"},
    {"PK\x03\x04", 4, "zip", "unzip -p"},
    {"7z\xBC\xAF\x27\x1C", 6, "7z", "7z x"},
};

START_TEST(test_other_packers_are_named_with_what_unpacks_them)
{
    char *bytes;
    size_t size;
    ASSERT_FAILS(mt_input_read(write_bytes("text", others[_i].bytes, others[_i].size), SIZE_MAX,
                               &bytes, &size),
                 MT_ERROR_FORMAT, "text: ", others[_i].is, others[_i].cure);
    /* What is shorter is no such thing. */
    ASSERT_OK(mt_input_read(write_bytes("text", others[_i].bytes, 1), SIZE_MAX, &bytes, &size));
    free(bytes);
}
END_TEST

START_TEST(test_what_is_no_text_in_utf8_is_named)
{
    char tar[512] = "a name";
    strcpy(tar + 257, "ustar");
    ASSERT_FAILS(mt_input_check_text("\xFF\xFE"
                                     "a",
                                     4),
                 MT_ERROR_FORMAT, "UTF-16", "iconv -f UTF-16");
    ASSERT_FAILS(mt_input_check_text("\xFE\xFF\0a", 4), MT_ERROR_FORMAT, "UTF-16");
    ASSERT_FAILS(mt_input_check_text("\xFF\xFE\0\0", 4), MT_ERROR_FORMAT, "UTF-32");
    ASSERT_FAILS(mt_input_check_text(tar, sizeof tar), MT_ERROR_FORMAT, "tar archive", "tar -xf");
    ASSERT_FAILS(mt_input_check_lines("text", "version https://git-lfs.github.com", 34),
                 MT_ERROR_FORMAT, "text: ", "Git LFS", "git lfs pull");
    ASSERT_FAILS(mt_input_check_lines("text", "a\0b", 3), MT_ERROR_FORMAT,
                 "text: a zero byte at 1");
    ASSERT_OK(mt_input_check_lines("text", "\xEF\xBB\xBF text", 8));
    ASSERT_OK(mt_input_check_text("", 0));
    ASSERT_FAILS(mt_input_check_unpacked("\x1F\x8B\x08", 3), MT_ERROR_FORMAT, "gzip -dc");
    ASSERT_FAILS(mt_input_check_unpacked("\xFD\x37zXZ", 5), MT_ERROR_FORMAT, "xz -dc");
    ASSERT_OK(mt_input_check_unpacked("text", 4));
}
END_TEST

START_TEST(test_what_cannot_be_read_is_refused)
{
    char *bytes;
    size_t size;
    ASSERT_FAILS(mt_input_read(in_folder("none"), SIZE_MAX, &bytes, &size), MT_ERROR_IO,
                 "none: ", "No such file");
    ASSERT_FAILS(mt_input_read(test_folder, SIZE_MAX, &bytes, &size), MT_ERROR_IO,
                 "not a regular file, nor a pipe");
    ASSERT_FAILS(mt_input_read("/dev/zero", SIZE_MAX, &bytes, &size), MT_ERROR_IO,
                 "not a regular file, nor a pipe");
    ck_assert(mt_input_is_stream("-"));
    ck_assert(!mt_input_is_stream(test_folder));
    ck_assert(!mt_input_is_stream(in_folder("none")));
    ck_assert_uint_gt(mt_input_most(), 1 << 20);
    ASSERT_OK(mt_input_read(write_bytes("text", "", 0), SIZE_MAX, &bytes, &size));
    ck_assert_uint_eq(size, 0);
    free(bytes);
}
END_TEST

static Suite *input_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/input", io_setup, io_teardown, &tcase);
    tcase_add_test(tcase, test_gzip_is_told_by_its_bytes_and_has_several_members);
    tcase_add_test(tcase, test_gzip_that_is_cut_or_damaged_is_refused_with_the_place);
    tcase_add_test(tcase, test_what_is_unpacked_is_bounded_and_what_is_plain_is_not);
    tcase_add_test(tcase, test_a_pipe_is_read_to_its_end_and_bounded);
    tcase_add_loop_test(tcase, test_other_packers_are_named_with_what_unpacks_them, 0,
                        (int)(sizeof others / sizeof *others));
    tcase_add_test(tcase, test_what_is_no_text_in_utf8_is_named);
    tcase_add_test(tcase, test_what_cannot_be_read_is_refused);
    return suite;
}

MT_TEST_MAIN(input_suite)
