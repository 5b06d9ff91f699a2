/* Files that are replaced. */
#include "tests/absent_threads.h"
#include "tests/io/io_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static void assert_content(const char *path, const char *expected)
{
    char *bytes;
    size_t size;
    ASSERT_OK(mt_file_read(path, &bytes, &size));
    ck_assert_str_eq(bytes, expected);
    free(bytes);
}

static void assert_is(const char *path, const char *expected, size_t size)
{
    mt_file_bytes found;
    ASSERT_OK(mt_file_read(path, &found.bytes, &found.size));
    ck_assert_uint_eq(found.size, size);
    ck_assert_mem_eq(found.bytes, expected, size);
    free(found.bytes);
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    return info.st_mode & 07777;
}

START_TEST(test_what_a_killed_writer_left_is_removed)
{
    const char *path = in_folder("a.h5");
    write_text(".a.h5.0123abcd.part", "half");
    ASSERT_OK(mt_file_replace(path, "new", 3));
    assert_content(path, "new");
    ck_assert_int_eq(files_in_folder(), 1);
}
END_TEST

START_TEST(test_pieces_are_a_file_once_it_is_ended)
{
    const char *path = write_text("a.h5", "old");
    mt_new_file *file;
    char found[8];
    for (int ended = 0; ended < 2; ended++) {
        ASSERT_OK(mt_file_begin(path, &file));
        ASSERT_OK(mt_file_put(file, 2, "new, and more", 13));
        ASSERT_OK(mt_file_put(file, 0, "a ", 2));
        ASSERT_OK(mt_file_find(file, 11, found, sizeof found));
        ck_assert_mem_eq(found, "more\0\0\0\0", sizeof found);
        assert_content(path, "old");
        if (ended == 1) {
            ASSERT_OK(mt_file_end(file, 5));
        }
        mt_file_discard(file);
        assert_content(path, ended == 1 ? "a new" : "old");
        ck_assert_int_eq(files_in_folder(), 1);
    }
}
END_TEST

static const char *const others[] = {".b.h5.0123abcd.part", ".a.h5.part", ".a.h5.0123abcd.part.txt",
                                     ".a.h5.0123ABCD.part", "a.h5.0123abcd.part"};

START_TEST(test_what_is_another_files_stays)
{
    enum { OTHERS = sizeof others / sizeof *others };
    for (int i = 0; i < OTHERS; i++) {
        write_text(others[i], "kept");
    }
    ASSERT_OK(mt_file_replace(in_folder("a.h5"), "new", 3));
    ck_assert_int_eq(files_in_folder(), 1 + OTHERS);
}
END_TEST

START_TEST(test_what_a_writer_is_at_stays)
{
    const char *at_work = write_text(".a.h5.0123abcd.part", "half");
    int file = open(at_work, O_RDWR);
    ck_assert_int_ge(file, 0);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    ck_assert_int_eq(fcntl(file, F_OFD_SETLK, &whole), 0);
    ASSERT_OK(mt_file_replace(in_folder("a.h5"), "new", 3));
    assert_content(at_work, "half");
    close(file);
}
END_TEST

/* Each writes a file of one letter, again and again. */
static _Noreturn void write_letters(const char *path, char letter)
{
    enum { SIZE = 20000 };
    char bytes[SIZE];
    memset(bytes, letter, SIZE);
    for (int i = 0; i < 100; i++) {
        if (mt_file_replace(path, bytes, SIZE) != MT_OK) {
            fprintf(stderr, "%s\n", mt_error_message());
            _exit(1);
        }
    }
    _exit(0);
}

START_TEST(test_writers_at_once_do_not_disturb_each_other)
{
    enum { WRITERS = 4 };
    const char *path = in_folder("a");
    pid_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        ck_assert_int_ge(writers[i], 0);
        if (writers[i] == 0) {
            write_letters(path, (char)('a' + i));
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        ck_assert_int_eq(waitpid(writers[i], &status, 0), writers[i]);
        ck_assert_int_eq(status, 0);
    }
    char *bytes;
    size_t size;
    ASSERT_OK(mt_file_read(path, &bytes, &size));
    ck_assert_uint_eq(size, 20000);
    ck_assert_uint_eq(strspn(bytes, (const char[]){bytes[0], '\0'}), size);
    free(bytes);
    ck_assert_int_eq(files_in_folder(), 1);
}
END_TEST

/* HDF5 locks what it reads, and fails where another has a lock. */
START_TEST(test_a_checkpoint_is_read_while_it_is_replaced)
{
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, 1);
    const char *path = in_folder("a.h5");
    ASSERT_OK(mt_checkpoint_save(path, model, NULL, &test_state, NULL, NULL));
    pid_t writer = fork();
    ck_assert_int_ge(writer, 0);
    if (writer == 0) {
        for (;;) {
            mt_checkpoint_save(path, model, NULL, &test_state, NULL, NULL);
        }
    }
    for (int i = 0; i < 500; i++) {
        mt_checkpoint *read;
        ASSERT_OK(mt_checkpoint_load(path, &read));
        mt_checkpoint_destroy(read);
    }
    kill(writer, SIGKILL);
    ck_assert_int_eq(waitpid(writer, NULL, 0), writer);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_a_file_keeps_its_mode_and_a_new_one_has_the_umasks)
{
    const char *path = in_folder("a"), *other = in_folder("b");
    mode_t mask = umask(027);
    ASSERT_OK(mt_file_replace(path, "1", 1));
    ck_assert_int_eq(mode_of(path), 0640);
    ck_assert_int_eq(chmod(path, 0606), 0);
    ASSERT_OK(mt_file_replace(path, "2", 1));
    ck_assert_int_eq(mode_of(path), 0606);
    umask(0);
    ASSERT_OK(mt_file_replace(other, "1", 1));
    ck_assert_int_eq(mode_of(other), 0666);
    umask(mask);
}
END_TEST

/* Chains of links, relative and absolute. */
START_TEST(test_links_are_followed_to_what_is_there_and_what_is_not)
{
    ck_assert_int_eq(mkdir(in_folder("folder"), 0700), 0);
    ck_assert_int_eq(symlink("folder/second", in_folder("first")), 0);
    ck_assert_int_eq(symlink(in_folder("file"), in_folder("folder/second")), 0);
    for (int round = 0; round < 2; round++) { /* the second time it is there */
        ASSERT_OK(mt_file_replace(in_folder("first"), round == 0 ? "1" : "2", 1));
        assert_content(in_folder("file"), round == 0 ? "1" : "2");
        struct stat info;
        ck_assert_int_eq(lstat(in_folder("first"), &info), 0);
        ck_assert(S_ISLNK(info.st_mode));
        ck_assert_int_eq(lstat(in_folder("folder/second"), &info), 0);
        ck_assert(S_ISLNK(info.st_mode));
    }
}
END_TEST

START_TEST(test_links_that_lead_nowhere_are_refused)
{
    ck_assert_int_eq(symlink("b", in_folder("a")), 0);
    ck_assert_int_eq(symlink("a", in_folder("b")), 0);
    ck_assert_int_eq(symlink("none/file", in_folder("c")), 0);
    ck_assert_int_eq(mkfifo(in_folder("pipe"), 0600), 0);
    ck_assert_int_eq(symlink("pipe", in_folder("d")), 0);
    ASSERT_FAILS(mt_file_replace(in_folder("a"), "1", 1), MT_ERROR_IO, "/a: Too many levels");
    ASSERT_FAILS(mt_file_replace(in_folder("c"), "1", 1), MT_ERROR_IO, "none/file: No such file");
    ASSERT_FAILS(mt_file_replace(in_folder("d"), "1", 1), MT_ERROR_IO, "/d: not a regular file");
    ck_assert_int_eq(files_in_folder(), 5);
}
END_TEST

static int interruptions, flushes;

int __real_fsync(int file);
int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
    flushes++;
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    return __real_fsync(file);
}

START_TEST(test_a_flush_that_is_interrupted_is_tried_again)
{
    interruptions = 3;
    ASSERT_OK(mt_file_replace(in_folder("a.h5"), "new", 3));
    assert_content(in_folder("a.h5"), "new");
    ck_assert_int_eq(flushes, 3 + 2); /* of the file, and of its folder */
}
END_TEST

/* As a file system without such writes, or an end of the room for them, has it. */
static struct {
    int calls;     /* until it fails */
    int error;     /* 0: never */
    size_t blocks; /* at most, that a call writes; 0: any */
    bool is_slow;
} past_cache;

ssize_t __real_pwrite(int file, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwrite(int file, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwrite(int file, const void *bytes, size_t size, off_t at)
{
    ck_assert_uint_eq((uintptr_t)bytes % MT_FILE_BLOCK, 0);
    ck_assert_uint_eq(size % MT_FILE_BLOCK, 0);
    ck_assert_int_eq(at % MT_FILE_BLOCK, 0);
    if (past_cache.error != 0 && past_cache.calls-- == 0) {
        errno = past_cache.error;
        past_cache.error = 0;
        return -1;
    }
    if (past_cache.is_slow) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    size_t most = past_cache.blocks > 0 ? past_cache.blocks * MT_FILE_BLOCK : size;
    return __real_pwrite(file, bytes, size < most ? size : most, at);
}

enum { LARGE = MT_FILE_LARGE + 5 * MT_FILE_BLOCK };

static char *pattern(size_t size)
{
    char *bytes = aligned_alloc(MT_FILE_BLOCK, size);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(i * 31 + i / MT_FILE_BLOCK + i / MT_FILE_LARGE);
    }
    return bytes;
}

static bool has_writes_past_cache(int file)
{
    int flags = fcntl(file, F_GETFL);
    bool has = fcntl(file, F_SETFL, flags | O_DIRECT) == 0;
    fcntl(file, F_SETFL, flags);
    return has;
}

/* What is written past the cache: whole blocks of a large piece, from the borders of blocks on. */
START_TEST(test_whole_blocks_of_large_pieces_pass_the_cache)
{
    const struct {
        size_t at, from, size, expected;
    } pieces[] = {{0, 0, LARGE, LARGE},
                  {MT_FILE_BLOCK, 0, LARGE + 13, LARGE},
                  {3 * MT_FILE_BLOCK, MT_FILE_BLOCK, MT_FILE_LARGE, MT_FILE_LARGE},
                  {0, 0, MT_FILE_LARGE - 1, 0},
                  {1, 0, LARGE, 0},
                  {0, 1, LARGE, 0}};
    char *bytes = pattern(2 * LARGE), *found = pattern(2 * LARGE);
    int file = open(in_folder("a.h5"), O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(file, 0);
    int flags = fcntl(file, F_GETFL);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t expected = has_writes_past_cache(file) ? pieces[i].expected : 0;
        ck_assert_uint_eq(
            mt_file_write_blocks(file, pieces[i].at, bytes + pieces[i].from, pieces[i].size),
            expected);
        ck_assert_int_eq(pread(file, found, expected, (off_t)pieces[i].at), (ssize_t)expected);
        ck_assert_mem_eq(found, bytes + pieces[i].from, expected);
        ck_assert_int_eq(fcntl(file, F_GETFL), flags);
    }
    close(file);
    free(bytes);
    free(found);
}
END_TEST

/* Whatever they write, or refuse, the file has what was put there. */
START_TEST(test_what_does_not_pass_the_cache_goes_through_it)
{
    const int errors[] = {0, EINTR, EINVAL, ENOSPC, EIO};
    char *bytes = pattern(2 * LARGE);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        for (int calls = 0; calls < 3; calls++) {
            const char *path = in_folder("a.h5");
            mt_new_file *file;
            past_cache.error = errors[i];
            past_cache.calls = calls;
            past_cache.blocks = 20;
            ASSERT_OK(mt_file_begin(path, &file));
            ASSERT_OK(mt_file_put(file, MT_FILE_BLOCK, bytes + MT_FILE_BLOCK, LARGE + 7));
            ASSERT_OK(mt_file_put(file, 0, bytes, MT_FILE_BLOCK));
            ASSERT_OK(mt_file_end(file, MT_FILE_BLOCK + LARGE + 7));
            mt_file_discard(file);
            assert_is(path, bytes, MT_FILE_BLOCK + LARGE + 7);
        }
    }
    free(bytes);
}
END_TEST

START_TEST(test_pieces_behind_are_there_at_the_next_call)
{
    char *bytes = pattern(2 * LARGE), found[8];
    const char *path = in_folder("a.h5");
    for (int i = 0; i < 2; i++) {
        mt_new_file *file;
        no_threads = i > 0;
        ASSERT_OK(mt_file_begin(path, &file));
        ASSERT_OK(mt_file_put_behind(file, 0, bytes, LARGE));
        ASSERT_OK(mt_file_find(file, LARGE - sizeof found, found, sizeof found));
        ck_assert_mem_eq(found, bytes + LARGE - sizeof found, sizeof found);
        ASSERT_OK(mt_file_put_behind(file, LARGE, bytes + LARGE, 5));
        ASSERT_OK(mt_file_end(file, LARGE + 5));
        mt_file_discard(file);
        assert_is(path, bytes, LARGE + 5);
    }
    free(bytes);
}
END_TEST

/* Of blocks that are gathered there are three, and a part of a fourth. */
START_TEST(test_appended_bytes_follow_each_other)
{
    enum { GATHERED = 4 << 20, SIZE = 3 * GATHERED + 777 };
    const size_t pieces[] = {1, 12345, GATHERED, 2 * GATHERED + 1, SIZE};
    const char *path = in_folder("a.safetensors");
    char *bytes = pattern(4 * (size_t)GATHERED);
    past_cache.is_slow = true; /* so that a block that is filled too soon is noticed */
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t piece = pieces[i], first = i == 0 ? SIZE - 2000 : 0;
        mt_new_file *file;
        no_threads = i % 2 > 0;
        ASSERT_OK(mt_file_begin(path, &file));
        ASSERT_OK(mt_file_append(file, bytes, first));
        for (size_t at = first; at < SIZE; at += piece) {
            ASSERT_OK(mt_file_append(file, bytes + at, piece < SIZE - at ? piece : SIZE - at));
        }
        ASSERT_OK(mt_file_end(file, SIZE));
        mt_file_discard(file);
        assert_is(path, bytes, SIZE);
    }
    free(bytes);
}
END_TEST

/* As on a full disk. */
START_TEST(test_a_piece_behind_that_fails_is_told_of)
{
    const struct rlimit limit = {MT_FILE_LARGE, MT_FILE_LARGE};
    const char *path = write_text("a.h5", "old");
    char *bytes = pattern(LARGE);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 5; i++) {
        mt_new_file *file;
        char found[8];
        no_threads = i == 0;
        ASSERT_OK(mt_file_begin(path, &file));
        mt_status status = mt_file_put_behind(file, MT_FILE_BLOCK, bytes, LARGE);
        ck_assert_int_eq(status, i == 0 ? MT_ERROR_IO : MT_OK);
        if (i == 2) {
            status = mt_file_put(file, 0, "new", 3);
        } else if (i == 3) {
            status = mt_file_find(file, 0, found, sizeof found);
        } else if (i == 4) {
            status = mt_file_put_behind(file, MT_FILE_BLOCK, bytes, LARGE);
        }
        ck_assert_int_eq(status, i == 1 ? MT_OK : MT_ERROR_IO);
        ASSERT_FAILS(mt_file_end(file, 8), MT_ERROR_IO, "/a.h5: File too large after");
        mt_file_discard(file);
        assert_content(path, "old");
        ck_assert_int_eq(files_in_folder(), 1);
    }
    free(bytes);
}
END_TEST

static Suite *file_suite(void)
{
    return SUITE_WITH(
        "io/file", io_setup, io_teardown, test_pieces_are_a_file_once_it_is_ended,
        test_what_a_killed_writer_left_is_removed, test_what_is_another_files_stays,
        test_what_a_writer_is_at_stays, test_writers_at_once_do_not_disturb_each_other,
        test_a_checkpoint_is_read_while_it_is_replaced,
        test_a_file_keeps_its_mode_and_a_new_one_has_the_umasks,
        test_links_are_followed_to_what_is_there_and_what_is_not,
        test_links_that_lead_nowhere_are_refused, test_a_flush_that_is_interrupted_is_tried_again,
        test_whole_blocks_of_large_pieces_pass_the_cache,
        test_what_does_not_pass_the_cache_goes_through_it,
        test_pieces_behind_are_there_at_the_next_call, test_appended_bytes_follow_each_other,
        test_a_piece_behind_that_fails_is_told_of);
}

MT_TEST_MAIN(file_suite)
