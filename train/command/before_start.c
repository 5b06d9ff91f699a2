/* What is looked for before the program's libraries start. OpenBLAS maps a buffer for each of its
 * threads when it is loaded, and where it gets none it asks again for ever: at no other moment can
 * that be said. Only a program can look so early, not a library. */
#include "kernels/cpu/blas.h"
#include "train/command/verbs.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_THREADS = 64 }; /* that OpenBLAS makes in Debian's build */

static long number_in(char **environment, const char *name)
{
    size_t length = strlen(name);
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            return strtol(*environment + length + 1, NULL, 10);
        }
    }
    return 0;
}

/* The most threads that OpenBLAS may make. What its own variables ask for goes before what OpenMP's
 * does; but on OpenMP its older versions, as Debian 12's, look at that one alone. */
static int blas_threads(char **environment)
{
    cpu_set_t cpus;
    long all = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    long own = number_in(environment, "OPENBLAS_NUM_THREADS");
    long openmp = number_in(environment, "OMP_NUM_THREADS");
    own = own > 0 ? own : number_in(environment, "GOTO_NUM_THREADS");
    openmp = openmp > 0 ? openmp : all;
    all = all < MOST_THREADS ? all : MOST_THREADS;
    long asked = own > 0 && (own > openmp || !mt_blas_is_on_openmp()) ? own : openmp;
    return (int)(asked < all ? asked : all);
}

static void check_address_space(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    int buffers = blas_threads(environment);
    if (!mt_blas_can_map(buffers)) {
        dprintf(
            STDERR_FILENO,
            "mixtape: no address space for OpenBLAS: %d buffer%s of %d MiB, one for each of its "
            "threads (OMP_NUM_THREADS; ulimit -v, ulimit -d)\n",
            buffers, buffers == 1 ? "" : "s", MT_BLAS_BUFFER_MIB);
        _exit(EXIT_FAILED);
    }
}

typedef void initial_function(int argc, char **argv, char **environment);
__attribute__((section(".preinit_array"), used)) static initial_function *const before_start =
    check_address_space;
