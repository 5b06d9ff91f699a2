/* How many threads serve this process. */
#include "kernels/cpu/cores.h"
#include "tests/check_main.h"

#include <mixtape/device.h>

#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A file below a folder, with the folders on its way. */
static void put(const char *root, const char *name, const char *content)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(content, file);
    fclose(file);
}

typedef struct file {
    const char *name, *content;
} file;

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *level)
{
    (void)info, (void)type, (void)level;
    return remove(path);
}

/* The limit that these files tell. */
static double limit_of(const file *files)
{
    char root[] = "/tmp/mixtape-cores-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (; files->name != NULL; files++) {
        put(root, files->name, files->content);
    }
    double cores = mt_cgroup_cores(root);
    ck_assert_int_eq(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    return cores;
}

START_TEST(test_a_quota_is_the_least_of_a_group_and_those_around_it)
{
    const file of_its_own[] = {{"proc/self/cgroup", "0::/a/b\n"},
                               {"sys/fs/cgroup/a/b/cpu.max", "60000 100000\n"},
                               {"sys/fs/cgroup/a/cpu.max", "max 100000\n"},
                               {0}};
    ck_assert_double_eq(limit_of(of_its_own), 0.6);
    const file around[] = {{"proc/self/cgroup", "0::/a/b\n"},
                           {"sys/fs/cgroup/a/b/cpu.max", "400000 100000\n"},
                           {"sys/fs/cgroup/a/cpu.max", "150000 100000\n"},
                           {0}};
    ck_assert_double_eq(limit_of(around), 1.5);
}
END_TEST

START_TEST(test_a_container_sees_its_group_as_the_root)
{
    const file files[] = {{"proc/self/cgroup", "0::/docker/0123\n"},
                          {"sys/fs/cgroup/cpu.max", "250000 100000\n"},
                          {0}};
    ck_assert_double_eq(limit_of(files), 2.5);
}
END_TEST

START_TEST(test_version_1_keeps_a_quota_in_two_files)
{
    const file files[] = {{"proc/self/cgroup", "5:cpuset:/x\n4:cpuacct,cpu:/a\n0::/\n"},
                          {"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "30000\n"},
                          {"sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "10000\n"},
                          {"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "10\n"},
                          {"sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "10000\n"},
                          {0}};
    ck_assert_double_eq(limit_of(files), 3.0);
    const file none[] = {{"proc/self/cgroup", "4:cpu,cpuacct:/a\n"},
                         {"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n"},
                         {"sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"},
                         {0}};
    ck_assert_double_eq(limit_of(none), 0.0);
}
END_TEST

START_TEST(test_what_cannot_be_read_is_no_limit)
{
    ck_assert_double_eq(mt_cgroup_cores("/nowhere"), 0.0);
    static const char *const contents[] = {"", "max\n", "100000", "0 100000", "100000 0", "x y"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        const file files[] = {{"proc/self/cgroup", "nonsense\n0::/a\n"},
                              {"sys/fs/cgroup/a/cpu.max", contents[i]},
                              {0}};
        ck_assert_msg(limit_of(files) == 0.0, "'%s'", contents[i]);
    }
}
END_TEST

/* The default number of threads in a child, with OMP_NUM_THREADS if it is not NULL, bound to the
 * first `bound` of the processors at hand if that is not 0. */
static int threads_of_child(const char *wanted, int bound)
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        cpu_set_t set, fewer;
        CPU_ZERO(&fewer);
        if (bound > 0 && sched_getaffinity(0, sizeof set, &set) == 0) {
            for (size_t core = 0; CPU_COUNT(&fewer) < bound && core < CPU_SETSIZE; core++) {
                if (CPU_ISSET(core, &set)) {
                    CPU_SET(core, &fewer);
                }
            }
            sched_setaffinity(0, sizeof fewer, &fewer);
        }
        if (wanted != NULL) {
            setenv("OMP_NUM_THREADS", wanted, 1);
        } else {
            unsetenv("OMP_NUM_THREADS");
        }
        _exit(mt_cpu_threads());
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(test_the_default_follows_the_environment_and_the_processors)
{
    ck_assert_int_eq(threads_of_child("5", 0), 5);
    ck_assert_int_eq(threads_of_child("6,2", 0), 6);
    ck_assert_int_eq(threads_of_child(NULL, 1), 1);
    static const char *const wrong[] = {"", "0", "-3", "many", "2x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(threads_of_child(wrong[i], 1), 1);
    }
}
END_TEST

/* The same of one of some processes that have so many processors together. */
static int threads_of_share(const char *wanted, int processors, int processes)
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        unsetenv("OMP_NUM_THREADS");
        if (wanted != NULL) {
            setenv("OMP_NUM_THREADS", wanted, 1);
        }
        mt_cpu_share_cores(processors, processes);
        _exit(mt_cpu_threads());
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(test_processes_share_the_processors)
{
    int alone = threads_of_child(NULL, 0);
    ck_assert_int_eq(threads_of_share(NULL, alone, 1), alone);
    ck_assert_int_eq(threads_of_share(NULL, 2, 2), 1);
    ck_assert_int_eq(threads_of_share(NULL, 2, 5), 1);
    ck_assert_int_eq(threads_of_share(NULL, alone, alone), 1);
    ck_assert_int_eq(threads_of_share("5", 4, 4), 5);
    ck_assert_int_eq(threads_of_share(NULL, 1000, 1), alone); /* it is bound to fewer */
}
END_TEST

static Suite *cores_suite(void)
{
    return SUITE("cores", test_a_quota_is_the_least_of_a_group_and_those_around_it,
                 test_a_container_sees_its_group_as_the_root,
                 test_version_1_keeps_a_quota_in_two_files, test_what_cannot_be_read_is_no_limit,
                 test_the_default_follows_the_environment_and_the_processors,
                 test_processes_share_the_processors);
}

MT_TEST_MAIN(cores_suite)
