/* Files that are read in a child process: the same values, and a child that dies is a message. */
#include "io/reader.h"
#include "tests/io/io_test.h"

#include <signal.h>
#include <sys/wait.h>

static trained subject;

static void setup(void)
{
    io_setup();
    mt_model_config config = small_config();
    subject = make_trained(&config, MT_F64, 1);
}

static void teardown(void)
{
    mt_weights_read_apart(false);
    destroy_trained(&subject);
    io_teardown();
}

static const char *saved(void)
{
    const char *path = in_folder("a.h5");
    mt_token_list *tokens = make_tokens(VOCABULARY, test_tokens);
    ASSERT_OK(
        mt_checkpoint_save(path, subject.model, subject.adam, &test_state, "task: copy\n", tokens));
    mt_token_list_destroy(tokens);
    return path;
}

/* A file of /proc about a process, in memory that stays. */
static const char *about(pid_t process, const char *what)
{
    static char text[8192];
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)process, what);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* The only child of this process, or 0. */
static pid_t only_child(void)
{
    char children[64];
    snprintf(children, sizeof children, "task/%d/children", (int)getpid());
    return (pid_t)strtol(about(getpid(), children), NULL, 10);
}

START_TEST(test_what_was_saved_is_read)
{
    const char *path = saved();
    mt_checkpoint *apart;
    mt_weights_read_apart(true);
    ASSERT_OK(mt_checkpoint_load(path, &apart));
    ck_assert_int_ne(only_child(), 0);
    trained other = make_trained(&subject.model->config, MT_F64, 2);
    ASSERT_OK(mt_checkpoint_restore(apart, other.model, other.adam));
    ck_assert(same_model(subject.model, other.model));
    ck_assert(same_content(subject.adam->m, other.adam->m, block_bytes(other.model)));
    ck_assert(same_content(subject.adam->v, other.adam->v, block_bytes(other.model)));
    ck_assert(same_config(&subject.model->config, &apart->weights->config));
    ck_assert_mem_eq(&apart->state, &test_state, sizeof test_state);
    ck_assert_str_eq(apart->run_config, "task: copy\n");
    for (int i = 0; i < VOCABULARY; i++) {
        ck_assert_str_eq(test_tokens[i], apart->weights->tokens->tokens[i]);
    }
    destroy_trained(&other);
    mt_checkpoint_destroy(apart);
    ck_assert_int_eq(only_child(), 0); /* nor a zombie */
}
END_TEST

START_TEST(test_errors_are_those_of_reading_here)
{
    const char *const paths[] = {in_folder("none.h5"), test_folder,
                                 write_text("text.h5", "no HDF5 at all"), write_text("e.h5", "")};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        mt_checkpoint *read;
        char message[256];
        mt_weights_read_apart(false);
        mt_status status = mt_checkpoint_load(paths[i], &read);
        snprintf(message, sizeof message, "%s", mt_error_message());
        mt_weights_read_apart(true);
        ASSERT_FAILS(mt_checkpoint_load(paths[i], &read), status, message);
        ck_assert_int_eq(only_child(), 0);
    }
}
END_TEST

static const struct {
    int signal;
    mt_status status;
    const char *says;
} ends[] = {
    {SIGSEGV, MT_ERROR_FORMAT, "crashed HDF5's library (signal 11): a damaged or hostile file"},
    {SIGABRT, MT_ERROR_FORMAT, "crashed HDF5's library (signal 6): a damaged or hostile file"},
    {SIGXCPU, MT_ERROR_FORMAT, "longer than a file of its length can"},
    {SIGKILL, MT_ERROR_MEMORY, "was killed, as for want of memory"},
};
enum { ENDS = sizeof ends / sizeof *ends };

START_TEST(test_a_child_that_dies_is_a_message)
{
    mt_weights *weights;
    double values[16 * 16];
    mt_weights_read_apart(true);
    ASSERT_OK(mt_weights_open(saved(), &weights));
    kill(only_child(), ends[_i].signal);
    for (int time = 0; time < 2; time++) { /* and stays one */
        ASSERT_FAILS(mt_weights_read(weights, weights->parameters->items[0], 0, 1, values),
                     ends[_i].status, "a.h5", ends[_i].says);
    }
    mt_weights_close(weights);
    ck_assert_int_eq(only_child(), 0);
}
END_TEST

/* What asks a program to end, or its terminal asks all its processes, is not for the child. */
START_TEST(test_the_child_ends_with_its_file_alone)
{
    mt_weights *weights;
    double values[16 * 16];
    mt_weights_read_apart(true);
    ASSERT_OK(mt_weights_open(saved(), &weights));
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGPIPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        kill(only_child(), signals[i]);
    }
    ASSERT_OK(mt_weights_read(weights, weights->parameters->items[0], 0, 1, values));
    mt_weights_close(weights);
    ck_assert_int_eq(only_child(), 0);
}
END_TEST

START_TEST(test_the_child_is_limited_and_has_no_file_of_ours)
{
    mt_weights *weights;
    char path[64], target[256];
    FILE *secret = fopen(write_text("secret", "x"), "r");
    ck_assert_ptr_nonnull(secret);
    mt_weights_read_apart(true);
    ASSERT_OK(mt_weights_open(saved(), &weights));
    pid_t child = only_child();
    static const char *const limits[] = {"Max address space ", "Max cpu time ",
                                         "Max core file size "};
    const char *text = about(child, "limits");
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const char *line = strstr(text, limits[i]);
        ck_assert_ptr_nonnull(line);
        line += strlen(limits[i]);
        line += strspn(line, " ");
        ck_assert_msg(strncmp(line, "unlimited", 9) != 0, "%s", limits[i]);
    }
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)child, fileno(secret));
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    ck_assert_ptr_null(strstr(target, "secret"));
    fclose(secret);
    mt_weights_close(weights);
}
END_TEST

START_TEST(test_a_program_that_ignores_its_children_reads_too)
{
    mt_weights *weights;
    double values[16 * 16];
    signal(SIGCHLD, SIG_IGN);
    mt_weights_read_apart(true);
    ASSERT_OK(mt_weights_open(saved(), &weights));
    kill(only_child(), SIGSEGV);
    ASSERT_FAILS(mt_weights_read(weights, weights->parameters->items[0], 0, 1, values),
                 MT_ERROR_FORMAT, "a damaged or hostile file");
    mt_weights_close(weights);
    signal(SIGCHLD, SIG_DFL);
}
END_TEST

static Suite *apart_suite(void)
{
    Suite *suite = suite_create("io/apart");
    TCase *tcase = tcase_create("apart");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_what_was_saved_is_read);
    tcase_add_test(tcase, test_errors_are_those_of_reading_here);
    tcase_add_loop_test(tcase, test_a_child_that_dies_is_a_message, 0, ENDS);
    tcase_add_test(tcase, test_the_child_ends_with_its_file_alone);
    tcase_add_test(tcase, test_the_child_is_limited_and_has_no_file_of_ours);
    tcase_add_test(tcase, test_a_program_that_ignores_its_children_reads_too);
    suite_add_tcase(suite, tcase);
    return suite;
}

MT_TEST_MAIN(apart_suite)
