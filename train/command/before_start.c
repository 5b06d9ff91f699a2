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

/* The threads that OpenBLAS will make. */
static int blas_threads(char **environment)
{
    static const char *const names[] = {"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS",
                                        "OMP_NUM_THREADS"};
    cpu_set_t cpus;
    int most = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    long asked = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && asked <= 0; i++) {
        asked = number_in(environment, names[i]);
    }
    most = most < MOST_THREADS ? most : MOST_THREADS;
    return asked > 0 && asked < most ? (int)asked : most;
}

static void check_address_space(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    int buffers = blas_threads(environment);
    if (!mt_blas_can_map(buffers)) {
        dprintf(STDERR_FILENO,
                "mixtape: no address space for OpenBLAS: %d buffers of %d MiB, one for each of its "
                "threads (OPENBLAS_NUM_THREADS; ulimit -v, ulimit -d)\n",
                buffers, MT_BLAS_BUFFER_MIB);
        _exit(EXIT_FAILED);
    }
}

typedef void initial_function(int argc, char **argv, char **environment);
__attribute__((section(".preinit_array"), used)) static initial_function *const before_start =
    check_address_space;
