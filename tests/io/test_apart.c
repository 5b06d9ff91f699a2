/* Files that are read in a child process: the same values, and a child that dies is a message.
 * Some calls of the library's objects are wrapped by the linker (see tests/CMakeLists.txt). */
#include <mixtape/part.h>

#include "io/archive.h"
#include "io/reader_apart.h"
#include "tests/io/io_test.h"
#include "tests/sanitizers.h"

#include <hdf5.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

static trained subject;

/* What libhdf5 does of a file that was made for it, when it reads values. */
typedef enum illness { HEALTHY, LOOPS, TAKES_MEMORY, LACKS_MEMORY, EXITS, CRASHES } illness;
static illness illness_of_hdf5;

/* In memory that the child shares. */
static struct shared {
    rlim_t seconds;     /* of the processor that it may use */
    volatile int taken; /* megabytes */
    volatile bool ill;
} * shared;

static void loop(void)
{
    for (shared->ill = true; shared->ill;) {
    }
}

static void take_memory(void)
{
    const size_t piece = 1 << 20;
    const int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    while (mmap(NULL, piece, protection, flags, -1, 0) != MAP_FAILED) {
        shared->taken++;
    }
    raise(SIGSEGV); /* as libhdf5 does where it has no memory */
}

/* Tells if a call is to fail. */
static bool fall_ill(void)
{
    switch (illness_of_hdf5) {
    case LOOPS:
        loop();
        break;
    case TAKES_MEMORY:
        take_memory();
        break;
    case LACKS_MEMORY:
        H5Epush2(H5E_DEFAULT, "", "", 0, H5E_ERR_CLS, H5E_RESOURCE, H5E_NOSPACE,
                 "memory allocation failed");
        break;
    case EXITS:
        exit(3);
    case CRASHES:
        raise(SIGSEGV);
        break;
    case HEALTHY:
        break;
    }
    return illness_of_hdf5 == LACKS_MEMORY;
}

#define WRAP(name, parameters, arguments)                                                          \
    herr_t __real_##name parameters;                                                               \
    herr_t __wrap_##name parameters;                                                               \
    herr_t __wrap_##name parameters                                                                \
    {                                                                                              \
        return fall_ill() ? -1 : __real_##name arguments;                                          \
    }

WRAP(H5Dget_chunk_storage_size, (hid_t dataset, const hsize_t *offset, hsize_t *size),
     (dataset, offset, size))
WRAP(H5Dread,
     (hid_t dataset, hid_t type, hid_t in_memory, hid_t space, hid_t properties, void *values),
     (dataset, type, in_memory, space, properties, values))

/* Seconds of the processor are shorter here. clang's address sanitizer calls it, too, before it can
 * watch anything. */
int __real_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit);
__attribute__((no_sanitize("address"))) int __wrap_setrlimit(int resource,
                                                             const struct rlimit *limit)
{
    struct rlimit given = *limit;
    if (resource == RLIMIT_CPU) {
        shared->seconds = limit->rlim_cur;
        given.rlim_cur = 1;
    }
    return __real_setrlimit(resource, &given);
}

static void setup(void)
{
    io_setup();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    illness_of_hdf5 = HEALTHY;
    mt_model_config config = small_config();
    subject = make_trained(&config, MT_F64, 1);
}

static void teardown(void)
{
    mt_weights_read_apart(false);
    destroy_trained(&subject);
    munmap(shared, sizeof *shared);
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

/* Opens a file, and reads all of its values; on failure *weights is NULL. */
static mt_status open_checked(const char *path, mt_weights **weights)
{
    mt_status status = mt_weights_open(path, weights);
    if (status == MT_OK) {
        status = mt_weights_check(*weights);
    }
    if (status != MT_OK) {
        mt_weights_close(*weights);
        *weights = NULL;
    }
    return status;
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

/* The first child of a process, or 0. */
static pid_t child_of(pid_t process)
{
    char children[64];
    snprintf(children, sizeof children, "task/%d/children", (int)process);
    return (pid_t)strtol(about(process, children), NULL, 10);
}

static pid_t only_child(void)
{
    return child_of(getpid());
}

static int open_files(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

START_TEST(test_what_was_saved_is_read)
{
    const char *path = saved();
    mt_checkpoint *apart;
    mt_weights_read_apart(true);
    ASSERT_OK(load_checked(path, &apart));
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

/* A row of so many numbers, written and read again. */
static void check_row(int64_t count)
{
    const char *path = in_folder("row.h5");
    const size_t bytes = (size_t)count * sizeof(int32_t);
    int32_t *written = malloc(bytes), *read = calloc(1, bytes);
    for (int64_t i = 0; i < count; i++) {
        written[i] = (int32_t)i;
    }
    mt_archive *archive;
    ASSERT_OK(mt_archive_create(path, &archive));
    mt_archive_write_array(archive, "/", "row", MT_I32, 2, (int64_t[]){1, count}, written);
    ASSERT_OK(mt_archive_close(archive));
    ASSERT_OK(mt_archive_open(path, &archive));
    mt_archive_read_rows(archive, "/", "row", MT_I32, 0, 1, bytes, read);
    ASSERT_OK(mt_archive_close(archive));
    ck_assert_int_eq(memcmp(read, written, bytes), 0);
    free(written);
    free(read);
}

START_TEST(test_values_of_any_length_are_those_of_the_file)
{
    const int64_t piece = MT_SHARED_PIECE / (int64_t)sizeof(int32_t);
    mt_weights_read_apart(true);
    check_row(1);
    for (int64_t pieces = 1; pieces <= 5; pieces++) {
        check_row(pieces * piece - 1);
        check_row(pieces * piece);
        check_row(pieces * piece + 1);
    }
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
        mt_status status = load_checked(paths[i], &read);
        snprintf(message, sizeof message, "%s", mt_error_message());
        mt_weights_read_apart(true);
        ASSERT_FAILS(load_checked(paths[i], &read), status, message);
        ck_assert_int_eq(only_child(), 0);
    }
}
END_TEST

static const struct {
    illness illness;
    mt_status status;
    const char *says;
} illnesses[] = {
    {LOOPS, MT_ERROR_FORMAT, "took HDF5's library longer than a file of its length can"},
    {TAKES_MEMORY, MT_ERROR_MEMORY, "ended HDF5's library, which had no memory"},
    {LACKS_MEMORY, MT_ERROR_MEMORY, "no memory"},
    {EXITS, MT_ERROR_FORMAT, "ended HDF5's library (status 3)"},
    {CRASHES, MT_ERROR_FORMAT, "crashed HDF5's library (signal 11): a damaged or hostile file"},
};
enum { ILLNESSES = sizeof illnesses / sizeof *illnesses };

/* And nothing is left of the child: no process, no open file. */
START_TEST(test_what_hdf5_does_happens_to_the_child_alone)
{
    const char *path = saved();
    mt_weights *weights;
    int files = open_files();
    mt_weights_read_apart(true);
    illness_of_hdf5 = illnesses[_i].illness;
    ASSERT_FAILS(open_checked(path, &weights), illnesses[_i].status, "a.h5", illnesses[_i].says);
    ck_assert_int_eq(only_child(), 0);
    ck_assert_int_eq(open_files(), files);
    illness_of_hdf5 = HEALTHY;
    ASSERT_OK(open_checked(path, &weights));
    mt_weights_close(weights);
    ck_assert_int_eq(open_files(), files);
}
END_TEST

START_TEST(test_what_ended_the_child_is_told_to_later_questions_too)
{
    double row[64];
    mt_reader *reader;
    mt_answer answer;
    mt_question question = {.asked = MT_ASK_SHAPE, .group = "/model", .name = "embed.weight"};
    mt_weights_read_apart(true);
    ASSERT_OK(mt_reader_open(saved(), &reader));
    ASSERT_OK(reader->answer(reader, &question, &answer));
    question.asked = MT_ASK_ROWS;
    question.dtype = answer.dtype;
    question.rows = 1;
    question.bytes = (size_t)answer.shape[1] * sizeof *row;
    question.values = row;
    ck_assert_uint_le(question.bytes, sizeof row);
    reader->close(reader);
    illness_of_hdf5 = CRASHES;
    ASSERT_OK(mt_reader_open(in_folder("a.h5"), &reader));
    for (int i = 0; i < 2; i++) {
        ASSERT_FAILS(reader->answer(reader, &question, &answer), MT_ERROR_FORMAT, "a.h5",
                     "crashed HDF5's library (signal 11)");
    }
    reader->close(reader);
}
END_TEST

/* Names and shapes are looked at first. */
START_TEST(test_values_of_a_part_that_does_not_fit_are_not_read)
{
    const char *path = in_folder("part.h5");
    trained other = make_trained(&subject.model->config, MT_F64, 2);
    ASSERT_OK(mt_part_save(path, subject.model, "rwkv_blocks.0.att"));
    mt_weights_read_apart(true);
    illness_of_hdf5 = CRASHES;
    ASSERT_FAILS(mt_part_load(path, "rwkv_blocks.0.ffn", other.model), MT_ERROR_FORMAT, "part.h5",
                 "unknown: no parameter of this part");
    destroy_trained(&other);
}
END_TEST

START_TEST(test_limits_are_what_a_files_length_needs)
{
    const char *path = saved();
    mt_weights *weights;
    struct stat info;
    mt_weights_read_apart(true);
    illness_of_hdf5 = TAKES_MEMORY;
    ck_assert_int_ne(open_checked(path, &weights), MT_OK);
    ck_assert_int_eq(stat(path, &info), 0);
    int most = 256 + (int)(8 * info.st_size >> 20);
    ck_assert_int_ge(shared->taken, most / 2);
    ck_assert_int_le(shared->taken, most);
    ck_assert_uint_ge(shared->seconds, 20);
    ck_assert_uint_le(shared->seconds, 30);
    illness_of_hdf5 = LACKS_MEMORY;
    char says[32];
    snprintf(says, sizeof says, "may take %d MB", most);
    ASSERT_FAILS(open_checked(path, &weights), MT_ERROR_MEMORY, says);
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
    ASSERT_OK(open_checked(saved(), &weights));
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
    ASSERT_OK(open_checked(saved(), &weights));
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGPIPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        kill(only_child(), signals[i]);
    }
    ASSERT_OK(mt_weights_read(weights, weights->parameters->items[0], 0, 1, values));
    mt_weights_close(weights);
    ck_assert_int_eq(only_child(), 0);
}
END_TEST

/* A library that ends the process flushes what its program had in buffers: not once more. */
START_TEST(test_output_that_waits_is_written_once)
{
    const char *path = saved(), *log = in_folder("log");
    char *text;
    size_t size;
    int status;
    pid_t program = fork();
    if (program == 0) {
        mt_weights *weights;
        mt_weights_read_apart(true);
        illness_of_hdf5 = EXITS;
        if (freopen(log, "w", stdout) == NULL || printf("once") != 4) {
            _exit(1);
        }
        status = open_checked(path, &weights) == MT_OK;
        fflush(stdout);
        _exit(status);
    }
    ck_assert_int_eq(waitpid(program, &status, 0), program);
    ck_assert_int_eq(status, 0);
    ASSERT_OK(mt_file_read(log, &text, &size));
    ck_assert_str_eq(text, "once");
    free(text);
}
END_TEST

/* A program may have no output, and no room for files of its own. */
START_TEST(test_limits_of_a_program_do_not_hinder_the_child)
{
    const char *path = saved();
    int status;
    pid_t program = fork();
    if (program == 0) {
        mt_weights *weights;
        mt_weights_read_apart(true);
        close_range(STDIN_FILENO, STDERR_FILENO, 0);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
        _exit(open_checked(path, &weights) == MT_OK ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(program, &status, 0), program);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* A child that is at work learns that its program has ended: it does not go on to its limits. */
START_TEST(test_the_child_ends_with_its_program)
{
    const char *path = saved();
    int status;
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* it is then ours */
    pid_t program = fork();
    if (program == 0) {
        mt_weights *weights;
        signal(_i, SIG_DFL); /* Check has handlers */
        mt_weights_read_apart(true);
        illness_of_hdf5 = LOOPS;
        _exit((int)open_checked(path, &weights));
    }
    while (!shared->ill) {
        usleep(1000);
    }
    pid_t child = child_of(program);
    ck_assert_int_gt(child, 0);
    kill(program, _i);
    ck_assert_int_eq(waitpid(program, &status, 0), program);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == _i);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

START_TEST(test_other_children_of_a_program_are_left_to_it)
{
    const char *path = saved();
    mt_weights *weights;
    int status;
    siginfo_t ended;
    pid_t other = fork();
    if (other == 0) {
        _exit(7);
    }
    ck_assert_int_eq(waitid(P_PID, (id_t)other, &ended, WEXITED | WNOWAIT), 0);
    mt_weights_read_apart(true);
    for (illness_of_hdf5 = EXITS; illness_of_hdf5 <= CRASHES; illness_of_hdf5++) {
        ck_assert_int_ne(open_checked(path, &weights), MT_OK);
    }
    illness_of_hdf5 = HEALTHY;
    ASSERT_OK(open_checked(path, &weights));
    mt_weights_close(weights);
    ck_assert_int_eq(waitpid(other, &status, 0), other);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}
END_TEST

/* Takes locks that a fork may find taken: the C library's, which frees them in the child. The
 * address sanitizer has its own in their place, and does not. */
static void allocate_and_print(void)
{
#if !WATCHES_ADDRESSES
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    fprintf(file, "%s", test_folder);
    fclose(file);
    free(text);
#endif
}

typedef struct workers {
    atomic_int begun;
    atomic_bool stopped;
} workers;

static void *work(void *context)
{
    workers *all = context;
    all->begun++;
    while (!all->stopped) {
        allocate_and_print();
    }
    return NULL;
}

START_TEST(test_a_program_with_threads_reads)
{
    enum { THREADS = 2, TIMES = 20 };
    const char *path = saved();
    workers all = {0, false};
    pthread_t threads[THREADS];
    mt_weights_read_apart(true);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &all), 0);
    }
    while (all.begun < THREADS) { /* a thread that begins takes the address sanitizer's locks */
    }
    for (int time = 0; time < TIMES; time++) {
        mt_weights *weights;
        ASSERT_OK(open_checked(path, &weights));
        mt_weights_close(weights);
    }
    all.stopped = true;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}
END_TEST

static void ignore(int signal)
{
    (void)signal;
}

/* Its timer interrupts whatever waits for the child. */
START_TEST(test_a_program_with_signals_of_its_own_reads)
{
    const char *path = saved();
    const struct sigaction action = {.sa_handler = ignore}; /* no SA_RESTART */
    const struct itimerval often = {{0, 500}, {0, 500}}, never = {0};
    mt_weights *weights;
    mt_weights_read_apart(true);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    mt_status read = open_checked(path, &weights);
    mt_weights_close(weights);
    illness_of_hdf5 = CRASHES;
    mt_status crashed = open_checked(path, &weights);
    setitimer(ITIMER_REAL, &never, NULL);
    ASSERT_OK(read);
    ck_assert_int_eq(crashed, MT_ERROR_FORMAT);
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
    ASSERT_OK(open_checked(saved(), &weights));
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
    ASSERT_OK(open_checked(saved(), &weights));
    kill(only_child(), SIGSEGV);
    ASSERT_FAILS(mt_weights_read(weights, weights->parameters->items[0], 0, 1, values),
                 MT_ERROR_FORMAT, "a damaged or hostile file");
    mt_weights_close(weights);
    signal(SIGCHLD, SIG_DFL);
}
END_TEST

static Suite *apart_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/apart", setup, teardown, &tcase);
    tcase_add_test(tcase, test_what_was_saved_is_read);
    tcase_add_test(tcase, test_values_of_any_length_are_those_of_the_file);
    tcase_add_test(tcase, test_errors_are_those_of_reading_here);
    tcase_add_loop_test(tcase, test_what_hdf5_does_happens_to_the_child_alone, 0, ILLNESSES);
    tcase_add_test(tcase, test_what_ended_the_child_is_told_to_later_questions_too);
    tcase_add_test(tcase, test_values_of_a_part_that_does_not_fit_are_not_read);
    tcase_add_test(tcase, test_limits_are_what_a_files_length_needs);
    tcase_add_loop_test(tcase, test_a_child_that_dies_is_a_message, 0, ENDS);
    tcase_add_test(tcase, test_the_child_ends_with_its_file_alone);
    tcase_add_test(tcase, test_output_that_waits_is_written_once);
    tcase_add_test(tcase, test_limits_of_a_program_do_not_hinder_the_child);
    tcase_add_loop_test(tcase, test_the_child_ends_with_its_program, SIGKILL, SIGKILL + 1);
    tcase_add_loop_test(tcase, test_the_child_ends_with_its_program, SIGTERM, SIGTERM + 1);
    tcase_add_loop_test(tcase, test_the_child_ends_with_its_program, SIGINT, SIGINT + 1);
    tcase_add_test(tcase, test_other_children_of_a_program_are_left_to_it);
    tcase_add_test(tcase, test_a_program_with_threads_reads);
    tcase_add_test(tcase, test_a_program_with_signals_of_its_own_reads);
    tcase_add_test(tcase, test_the_child_is_limited_and_has_no_file_of_ours);
    tcase_add_test(tcase, test_a_program_that_ignores_its_children_reads_too);
    return suite;
}

MT_TEST_MAIN(apart_suite)
