/* The CPU's threads: every turn of a loop is done once, whoever else runs loops. */
#include "kernels/cpu/team.h"
#include "tests/absent_threads.h"
#include "tests/check_main.h"

#include <mixtape/device.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TURNS = 1000 };

typedef struct counting {
    _Atomic int done[TURNS];
    _Atomic int stretches;
} counting;

static void count_turns(const void *loop, int64_t first, int64_t end)
{
    counting *of = (counting *)loop; /* which the test owns */
    atomic_fetch_add(&of->stretches, 1);
    for (int64_t i = first; i < end; i++) {
        atomic_fetch_add(&of->done[i], 1);
    }
}

static bool each_done(const counting *of, int64_t turns, int times)
{
    for (int64_t i = 0; i < TURNS; i++) {
        if (of->done[i] != (i < turns ? times : 0)) {
            return false;
        }
    }
    return true;
}

/* Tells if loops of many lengths, on many numbers of threads, do each of their turns once. */
static bool loops_are_whole(void)
{
    static const int64_t lengths[] = {0, 1, 2, 3, 7, 64, 65, TURNS};
    for (int threads = 1; threads <= 9; threads++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            counting loop = {0};
            mt_team_run(threads, lengths[i], count_turns, &loop);
            if (!each_done(&loop, lengths[i], 1)) {
                return false;
            }
        }
    }
    return true;
}

START_TEST(test_without_threads_the_caller_does_all)
{
    counting loop = {0};
    no_threads = true;
    errno = 0;
    mt_team_run(3, TURNS, count_turns, &loop);
    ck_assert_int_eq(errno, 0);
    no_threads = false;
    ck_assert(each_done(&loop, TURNS, 1));
    ck_assert(loops_are_whole());
}
END_TEST

START_TEST(test_every_turn_is_done_once)
{
    for (int round = 0; round < 200; round++) {
        ck_assert(loops_are_whole());
    }
}
END_TEST

START_TEST(test_a_stretch_has_about_the_same_length_as_any_other)
{
    counting loop = {0};
    mt_team_run(3, TURNS, count_turns, &loop);
    ck_assert_int_eq(loop.stretches, 3);
}
END_TEST

static void begin_another_loop(const void *loop, int64_t first, int64_t end)
{
    for (int64_t i = first; i < end; i++) {
        mt_team_run(4, TURNS, count_turns, loop);
    }
}

START_TEST(test_a_stretch_may_begin_a_loop)
{
    counting loop = {0};
    mt_team_run(4, 8, begin_another_loop, &loop);
    ck_assert(each_done(&loop, TURNS, 8));
}
END_TEST

static void *many_loops(void *whole)
{
    for (int round = 0; round < 100; round++) {
        *(bool *)whole = *(bool *)whole && loops_are_whole();
    }
    return NULL;
}

START_TEST(test_threads_of_the_program_run_loops_at_once)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    bool whole[THREADS] = {true, true, true, true};
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, many_loops, &whole[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(whole[i]);
    }
}
END_TEST

START_TEST(test_a_child_has_threads_of_its_own)
{
    ck_assert(loops_are_whole());
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            _exit(loops_are_whole() ? 7 : 1);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), 7);
        ck_assert(loops_are_whole());
    }
}
END_TEST

static pid_t owner;
static _Atomic bool strayed;

/* The child has a loop at work that no thread of its own shall go on with. */
static void fork_within(const void *loop, int64_t first, int64_t end)
{
    (void)end;
    int *wrong = (int *)(uintptr_t)loop; /* which the test owns */
    if (getpid() != owner) {
        strayed = true;
    } else if (first == 0) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            _exit(loops_are_whole() && !strayed ? 7 : 1);
        }
        bool right = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                     WEXITSTATUS(status) == 7;
        *wrong += !right;
    }
}

/* On one core, where the caller forks before the others have begun. */
START_TEST(test_a_child_of_a_loop_at_work_has_its_own_loops)
{
    enum { THREADS = 9, ROUNDS = 300 };
    int wrong = 0;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    owner = getpid();
    for (int round = 0; round < ROUNDS; round++) {
        mt_team_run(THREADS, THREADS, fork_within, &wrong);
    }
    ck_assert_int_eq(wrong, 0);
}
END_TEST

/* The threads of this process that run or could, as Linux tells. */
static int running_threads(void)
{
    int running = 0;
    DIR *tasks = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], line[512];
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file != NULL) {
            const char *name_end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
            running += name_end != NULL && name_end[2] == 'R';
            fclose(file);
        }
    }
    closedir(tasks);
    return running;
}

START_TEST(test_workers_without_a_loop_go_to_sleep)
{
    ck_assert(loops_are_whole());
    while (running_threads() > 1) {
        usleep(1000); /* for ever if they do not: the suite's limit ends it */
    }
}
END_TEST

static Suite *team_suite(void)
{
    return SUITE("team", test_without_threads_the_caller_does_all, test_every_turn_is_done_once,
                 test_a_stretch_has_about_the_same_length_as_any_other,
                 test_a_stretch_may_begin_a_loop, test_threads_of_the_program_run_loops_at_once,
                 test_a_child_of_a_loop_at_work_has_its_own_loops,
                 test_a_child_has_threads_of_its_own, test_workers_without_a_loop_go_to_sleep);
}

MT_TEST_MAIN(team_suite)
