#include "kernels/cpu/cores.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CORES = 1024, PATH_BYTES = 4096 };

/* A version of control groups: where its files are, and where they keep the quota and the period,
 * microseconds both, in one file or in two. A quota that is no number is no limit. */
typedef struct version {
    const char *controller; /* of a line of /proc/self/cgroup; none in version 2 */
    const char *mount;
    const char *quota, *period;
} version;

static const version versions[] = {
    {"", "/sys/fs/cgroup", "cpu.max", NULL},
    {"", "/sys/fs/cgroup/unified", "cpu.max", NULL},
    {"cpu", "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us"},
};

/* Reads up to two numbers of a file. */
static void read_numbers(const char *root, const char *mount, const char *group, const char *name,
                         double numbers[2])
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s%s%s/%s", root, mount, group, name);
    FILE *file = length < (int)sizeof path ? fopen(path, "re") : NULL;
    char text[64];
    if (file != NULL && fgets(text, sizeof text, file) != NULL) {
        char *end;
        numbers[0] = strtod(text, &end);
        numbers[1] = strtod(end, NULL);
    }
    if (file != NULL) {
        fclose(file);
    }
}

/* The quota of one group in processors, 0 without one. */
static double group_cores(const char *root, const version *of, const char *group)
{
    double quota[2] = {0.0, 0.0}, period[2] = {0.0, 0.0};
    read_numbers(root, of->mount, group, of->quota, quota);
    if (of->period != NULL) {
        read_numbers(root, of->mount, group, of->period, period);
    } else {
        period[0] = quota[1];
    }
    return quota[0] > 0.0 && period[0] > 0.0 ? quota[0] / period[0] : 0.0;
}

/* The least of a group's quota and those of the groups around it. A container may see its own
 * group as the root, under the name that it has outside. */
static double least_cores(const char *root, const version *of, char *group)
{
    double least = 0.0;
    for (;;) {
        double cores = group_cores(root, of, group);
        least = cores > 0.0 && (least == 0.0 || cores < least) ? cores : least;
        char *last = strrchr(group, '/');
        if (last == NULL) {
            return least;
        }
        *last = '\0';
    }
}

/* Tells if a list of controllers, divided by commas, has one; "" is the empty list. */
static bool has_controller(const char *list, const char *controller)
{
    size_t length = strlen(controller);
    if (length == 0) {
        return list[0] == '\0';
    }
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, controller, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

double mt_cgroup_cores(const char *root)
{
    char path[PATH_BYTES], line[PATH_BYTES];
    double least = 0.0;
    int length = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = length < (int)sizeof path ? fopen(path, "re") : NULL;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        /* number:controllers:/group */
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL) {
            continue;
        }
        *controllers++ = *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
            char within[PATH_BYTES];
            snprintf(within, sizeof within, "%s", group);
            double cores = has_controller(controllers, versions[i].controller)
                               ? least_cores(root, &versions[i], within)
                               : 0.0;
            least = cores > 0.0 && (least == 0.0 || cores < least) ? cores : least;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return least;
}

static int bound_cores(void)
{
    cpu_set_t *set = CPU_ALLOC(MOST_CORES);
    size_t bytes = CPU_ALLOC_SIZE(MOST_CORES);
    int cores = set != NULL && sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 1;
    CPU_FREE(set);
    return cores;
}

static bool is_wanted; /* OMP_NUM_THREADS says how many */
static int found, quota;
static _Atomic int share; /* of several processes; 0: it is alone */

static void find(void)
{
    const char *wanted = getenv("OMP_NUM_THREADS");
    char *end;
    long threads = wanted != NULL ? strtol(wanted, &end, 10) : 0;
    if (threads > 0 && (*end == '\0' || *end == ',')) {
        is_wanted = true;
        found = threads < MOST_CORES ? (int)threads : MOST_CORES;
        return;
    }
    double limit = ceil(mt_cgroup_cores(""));
    found = bound_cores();
    quota = limit > 0.0 && limit < MOST_CORES ? (int)limit : MOST_CORES;
    found = quota < found ? quota : found;
}

int mt_cpu_cores(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    return share > 0 && share < found && !is_wanted ? share : found;
}

void mt_cpu_share_cores(int processors, int processes)
{
    mt_cpu_cores();
    int together = quota < processors ? quota : processors, own = together / processes;
    share = own > 1 ? own : 1;
}
