/* Saves beside the training: what they hold, and how their failures are told. The disk of these
 * tests waits when it is to, or fails. */
#include <mixtape/linear.h>
#include <mixtape/trainer.h>

#include "tests/absent_threads.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

#include "io/file.h"
#include "kernels/device.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { B = 2, T = 3, S = 64 };

/* ---- a disk, and memory, that do as they are told ---- */

static struct {
    pthread_mutex_t gate; /* who holds it keeps files from being flushed */
    atomic_bool fails;
    atomic_int came;
} disk = {.gate = PTHREAD_MUTEX_INITIALIZER};

int __real_fsync(int file);
int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
    atomic_fetch_add(&disk.came, 1);
    pthread_mutex_lock(&disk.gate);
    pthread_mutex_unlock(&disk.gate);
    if (atomic_load(&disk.fails)) {
        errno = ENOSPC;
        return -1;
    }
    return __real_fsync(file);
}

/* Memory for so many arrays is left, and then, once, there is none; negative: for any. */
static int arrays_left = -1;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    if (size >= sizeof(float[S][S]) && arrays_left >= 0 && arrays_left-- == 0) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_malloc(size);
}

/* ---- a run ---- */

typedef struct saved_run {
    mt_parameters *parameters;
    mt_linear_layer layer;
    mt_trainer *trainer;
    char path[64], other[64];
} saved_run;

static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    float values[B * T * S];
    mt_random random = mt_random_make(3, (uint64_t)index);
    (void)context;
    for (int i = 0; i < B * T * S; i++) {
        values[i] = (float)mt_random_uniform(&random);
    }
    batch->input = mt_tape_sequence(tape, MT_F32, B, T, S, values);
}

static mt_tensor *loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    const saved_run *run = context;
    (void)counts;
    return mt_mean_square(tape, mt_linear_forward(tape, &run->layer, batch->input), batch->input);
}

/* After three updates. */
static saved_run *open_run(void)
{
    static saved_run run;
    const mt_trainer_config config = mt_trainer_config_default();
    const mt_objective objective = {put, loss, &run};
    snprintf(run.path, sizeof run.path, "/tmp/mixtape-saves-%d.h5", (int)getpid());
    snprintf(run.other, sizeof run.other, "/tmp/mixtape-saves-%d-other.h5", (int)getpid());
    unlink(run.path);
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F32, &run.parameters), MT_OK);
    mt_linear_init(&run.layer, run.parameters, "a.", S, S, true);
    ck_assert_int_eq(mt_parameters_allocate(run.parameters, 3), MT_OK);
    ck_assert_int_eq(mt_trainer_create(run.parameters, &config, &objective, &run.trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_run(run.trainer, 3, NULL, NULL), MT_OK);
    atomic_store(&disk.fails, false);
    atomic_store(&disk.came, 0);
    return &run;
}

static void close_run(saved_run *run)
{
    mt_trainer_destroy(run->trainer);
    mt_parameters_destroy(run->parameters);
    unlink(run->path);
    unlink(run->other);
}

static mt_file_bytes read_file(const char *path)
{
    mt_file_bytes file = {.name = path};
    ck_assert_msg(mt_file_read(path, &file.bytes, &file.size) == MT_OK, "%s", mt_error_message());
    return file;
}

/* What a save that is waited for holds now. */
static mt_file_bytes saved_now(const saved_run *run)
{
    ck_assert_int_eq(mt_trainer_save(run->trainer, run->other), MT_OK);
    return read_file(run->other);
}

static void check_same(const char *path, const mt_file_bytes *expected)
{
    mt_file_bytes found = read_file(path);
    ck_assert_uint_eq(found.size, expected->size);
    ck_assert_mem_eq(found.bytes, expected->bytes, found.size);
    free(found.bytes);
}

/* ---- the claims ---- */

START_TEST(test_a_save_holds_what_there_was_when_it_began)
{
    saved_run *run = open_run();
    mt_file_bytes expected = saved_now(run);

    pthread_mutex_lock(&disk.gate);
    ck_assert_msg(mt_trainer_save_beside(run->trainer, run->path) == MT_OK, "%s",
                  mt_error_message());
    ck_assert_int_eq(mt_trainer_run(run->trainer, 9, NULL, NULL), MT_OK);
    ck_assert_int_ne(access(run->path, F_OK), 0); /* updates were made while it was written */
    ck_assert(mt_trainer_is_saving(run->trainer));
    pthread_mutex_unlock(&disk.gate);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK);
    ck_assert(!mt_trainer_is_saving(run->trainer));
    check_same(run->path, &expected);
    free(expected.bytes);
    close_run(run);
}
END_TEST

START_TEST(test_saves_of_one_file_follow_each_other)
{
    saved_run *run = open_run();
    for (int64_t step = 4; step < 12; step++) {
        ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
        ck_assert_int_eq(mt_trainer_run(run->trainer, step, NULL, NULL), MT_OK);
    }
    mt_file_bytes expected = saved_now(run);
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK);
    check_same(run->path, &expected);

    free(expected.bytes);
    close_run(run);
}
END_TEST

static void *save_by_thread(void *context)
{
    const saved_run *run = context;
    static mt_status status;
    status = mt_trainer_save(run->trainer, run->path);
    return &status;
}

/* The disk keeps the older one waiting until the newer has begun, or has not. */
START_TEST(test_a_save_waits_for_an_older_one_of_its_file)
{
    saved_run *run = open_run();
    pthread_t thread;
    void *status;
    pthread_mutex_lock(&disk.gate);
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    ck_assert_int_eq(mt_trainer_run(run->trainer, 9, NULL, NULL), MT_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, save_by_thread, run), 0);
    for (int i = 0; i < 1000 && atomic_load(&disk.came) < 2; i++) {
        sched_yield();
    }
    ck_assert_int_le(atomic_load(&disk.came), 1);
    pthread_mutex_unlock(&disk.gate);
    ck_assert_int_eq(pthread_join(thread, &status), 0);
    ck_assert_int_eq(*(mt_status *)status, MT_OK);
    mt_file_bytes expected = saved_now(run);
    check_same(run->path, &expected);
    free(expected.bytes);
    close_run(run);
}
END_TEST

START_TEST(test_what_is_loaded_was_saved_before)
{
    saved_run *run = open_run();
    for (int64_t step = 4; step < 12; step++) {
        ck_assert_int_eq(mt_trainer_run(run->trainer, step, NULL, NULL), MT_OK);
        ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
        ck_assert_int_eq(mt_trainer_load(run->trainer, run->path), MT_OK);
        ck_assert_int_eq(mt_trainer_state(run->trainer)->step, step);
    }
    close_run(run);
}
END_TEST

START_TEST(test_without_memory_for_a_copy_it_is_saved_at_once)
{
    saved_run *run = open_run();
    mt_file_bytes expected = saved_now(run);
    arrays_left = 1; /* of the parameters and the two moments */
    ck_assert_msg(mt_trainer_save_beside(run->trainer, run->path) == MT_OK, "%s",
                  mt_error_message());
    ck_assert(!mt_trainer_is_saving(run->trainer));
    ck_assert_int_eq(arrays_left, -1);
    check_same(run->path, &expected);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK);
    free(expected.bytes);
    close_run(run);
}
END_TEST

START_TEST(test_a_failure_is_told_once)
{
    saved_run *run = open_run();
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK); /* there was no save */
    ck_assert_int_eq(mt_trainer_save(run->trainer, run->path), MT_OK);
    mt_file_bytes before = read_file(run->path);
    ck_assert_int_eq(mt_trainer_run(run->trainer, 5, NULL, NULL), MT_OK);

    atomic_store(&disk.fails, true);
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_ERROR_IO);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), run->path));
    ck_assert_ptr_nonnull(strstr(mt_error_message(), strerror(ENOSPC)));
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK);
    check_same(run->path, &before);

    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_ERROR_IO);
    atomic_store(&disk.fails, false);
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_run(run->trainer, 7, NULL, NULL), MT_OK); /* none of it sticks */
    free(before.bytes);
    close_run(run);
}
END_TEST

START_TEST(test_what_cannot_be_begun_is_told_at_once)
{
    saved_run *run = open_run();
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, "/nowhere/a.h5"), MT_ERROR_IO);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK);
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK);
    close_run(run);
}
END_TEST

START_TEST(test_a_trainer_that_is_destroyed_has_saved)
{
    saved_run *run = open_run();
    mt_file_bytes expected = saved_now(run);
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    mt_trainer_destroy(run->trainer);
    run->trainer = NULL;
    check_same(run->path, &expected);
    free(expected.bytes);
    close_run(run);
}
END_TEST

START_TEST(test_without_a_thread_it_is_saved_at_once)
{
    saved_run *run = open_run();
    no_threads = true;
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    ck_assert_int_eq(access(run->path, F_OK), 0);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK);
    atomic_store(&disk.fails, true);
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_ERROR_IO);
    no_threads = false;
    close_run(run);
}
END_TEST

/* The parent's save is not this process's to wait for; on the CPU it may make its own, without a
 * thread, which the thread sanitizer cannot begin in such a child. */
static bool child_saves(saved_run *run)
{
    no_threads = true;
    bool fine = mt_trainer_saved(run->trainer) == MT_OK;
    pthread_mutex_unlock(&disk.gate);
    if (strcmp(mt_device_name(test_device), "cpu") == 0) {
        fine = fine && mt_trainer_save_beside(run->trainer, run->other) == MT_OK &&
               mt_trainer_saved(run->trainer) == MT_OK;
        mt_trainer_destroy(run->trainer);
    }
    return fine && access(run->path, F_OK) != 0;
}

/* The thread waits for the disk meanwhile: it holds nothing that the child may want. */
START_TEST(test_a_child_of_fork_leaves_the_save_to_its_parent)
{
    saved_run *run = open_run();
    int status;
    mt_file_bytes expected = saved_now(run);
    pthread_mutex_lock(&disk.gate);
    atomic_store(&disk.came, 0);
    ck_assert_int_eq(mt_trainer_save_beside(run->trainer, run->path), MT_OK);
    while (atomic_load(&disk.came) == 0) {
        sched_yield();
    }
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        _exit(child_saves(run) ? 7 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    pthread_mutex_unlock(&disk.gate);
    ck_assert_int_eq(mt_trainer_saved(run->trainer), MT_OK);
    check_same(run->path, &expected);
    check_same(run->other, &expected);
    free(expected.bytes);
    close_run(run);
}
END_TEST

static Suite *saves_beside_suite(void)
{
    return SUITE_WITH(
        "saves beside", graph_setup, graph_teardown, test_a_save_holds_what_there_was_when_it_began,
        test_saves_of_one_file_follow_each_other, test_a_save_waits_for_an_older_one_of_its_file,
        test_what_is_loaded_was_saved_before, test_without_memory_for_a_copy_it_is_saved_at_once,
        test_a_failure_is_told_once, test_what_cannot_be_begun_is_told_at_once,
        test_a_trainer_that_is_destroyed_has_saved, test_without_a_thread_it_is_saved_at_once,
        test_a_child_of_fork_leaves_the_save_to_its_parent);
}

MT_TEST_MAIN(saves_beside_suite)
