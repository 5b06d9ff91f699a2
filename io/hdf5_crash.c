#include "io/hdf5_crash.h"

#include <errno.h>
#include <hdf5.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
enum { CRASHES = sizeof crashes / sizeof *crashes };

const char *volatile mt_hdf5_makes;
const char *volatile mt_hdf5_new_file;
volatile bool mt_hdf5_lacks_memory;

static void (*end_process)(int signal, int status, bool lacks_memory);
static struct sigaction former[CRASHES];

/* malloc leaves its word in errno. */
static bool lacks_memory(void)
{
    return mt_hdf5_lacks_memory || errno == ENOMEM;
}

static void last_words(int signal, int status)
{
    bool lacks = lacks_memory();
    if (mt_hdf5_new_file != NULL) {
        unlink(mt_hdf5_new_file);
    }
    end_process(signal, status, lacks);
}

/* Without last words the instruction is tried again, and crashes as if nobody had caught it; what
 * another process sent is sent again. */
static void catch_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    last_words(signal, 0);
    for (int i = 0; i < CRASHES; i++) {
        if (crashes[i] == signal) {
            sigaction(signal, &former[i], NULL);
        }
    }
    if (info->si_code <= 0) {
        raise(signal);
    }
}

static void catch_exit(int status, void *context)
{
    (void)context;
    last_words(0, status);
}

/* Out of memory libhdf5 recurses until it has no stack: its end has one of its own. */
void mt_hdf5_catch_crash(void (*end)(int signal, int status, bool lacks_memory))
{
    static char stack[1 << 16];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = catch_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    end_process = end;
    sigaltstack(&alternate, NULL);
    for (int i = 0; i < CRASHES; i++) {
        sigaction(crashes[i], &action, &former[i]);
    }
    on_exit(catch_exit, NULL);
    mt_hdf5_makes = "at the start"; /* HDF5 begins, which takes memory */
    H5dont_atexit();
    mt_hdf5_makes = NULL;
    mt_hdf5_new_file = NULL; /* a child's parent may be at one */
}
