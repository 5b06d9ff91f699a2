/* mixtape VERB ...: finds the verb and lets it work. */
#include <mixtape/version.h>
#include <mixtape/weights.h>

#include "io/child.h"
#include "io/hdf5_crash.h"
#include "train/command/blas_kernels.h"
#include "train/command/lines.h"
#include "train/command/nearest.h"
#include "train/command/sentencepiece.h"
#include "train/command/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Four times what was seen to be enough, in bytes. */
enum { LEAST_STACK = 1 << 20 };

static void print_help(FILE *to)
{
    fprintf(to, "Usage: mixtape VERB ...\n\n");
    for (const command_verb *verb = command_verbs; verb->name != NULL; verb++) {
        fprintf(to, "  %-10s %s\n", verb->name, verb->help);
    }
    fprintf(to, "\n%s", command_note);
}

/* The library's version is told, since another one may split text otherwise. */
static void print_version(void)
{
    printf("mixtape %s\n", mt_version());
    if (sentencepiece_version() != NULL) {
        printf("SentencePiece %s\n", sentencepiece_version());
    }
}

/* Output counts only once it is written: that of --help, after which argp exits by itself, too. */
static void check_output(int status, void *context)
{
    (void)context;
    int last = ferror(stdout) ? errno : 0; /* what nobody flushed was the last thing to fail */
    flush_output();
    int failure = output_failure() != 0 ? output_failure() : last;
    if (failure != 0) {
        fprintf(stderr, "mixtape: standard output: %s\n", strerror(failure));
        _exit(status == EXIT_DONE || status == EXIT_FAILED ? failed_status : status);
    }
}

/* To print is more than a signal's handler may do; but what was interrupted does not go on. */
static void tell_crash(int signal, int status, bool lacks_memory)
{
    (void)status;
    if (mt_hdf5_makes != NULL) {
        print_line(stderr, "mixtape: %s: nothing was written: %s (signal %d)", mt_hdf5_makes,
                   lacks_memory ? "no memory for HDF5's library"
                                : "HDF5's library crashed, as it does without memory",
                   signal);
        _exit(failed_status);
    }
}

/* Where a standard stream is closed, the next file would have its number, and messages within. What
 * is written to that stream fails as before. */
static void occupy_closed_streams(void)
{
    int file = STDIN_FILENO;
    while (file >= 0 && file <= STDERR_FILENO) {
        file = open("/dev/null", O_RDONLY);
    }
    if (file > STDERR_FILENO) {
        close(file);
    }
}

/* Too small a stack, of threads too, which have one of that size, ends a program without a word. */
static bool has_stack(void)
{
    struct rlimit stack;
    bool has = getrlimit(RLIMIT_STACK, &stack) != 0 || stack.rlim_cur >= LEAST_STACK;
    if (!has) {
        print_line(stderr, "mixtape: a stack of %llu KiB is too small (ulimit -s %d)",
                   (unsigned long long)stack.rlim_cur / 1024, LEAST_STACK / 1024);
    }
    return has;
}

static const char *verb_at(const void *context, int i)
{
    (void)context;
    return command_verbs[i].name;
}

/* NULL: there is none of that name. */
static const command_verb *find_verb(const char *name)
{
    const command_verb *verb = command_verbs;
    while (verb->name != NULL && strcmp(name, verb->name) != 0) {
        verb++;
    }
    return verb->name != NULL ? verb : NULL;
}

int main(int argc, char **argv)
{
    const command_verb *verb = argc > 1 ? find_verb(argv[1]) : NULL;
    failed_status = verb != NULL && verb->failed != 0 ? verb->failed : EXIT_FAILED;
    occupy_closed_streams();
    if (!has_stack() || !choose_blas_kernels(argv)) {
        return failed_status;
    }
    /* Threads share memory: each would set apart 64 MiB of address space, which may be short. */
    mallopt(M_ARENA_MAX, 1);
    mt_keep_memory();
    mt_weights_read_apart(true); /* a hostile file crashes no command */
    on_exit(check_output, NULL);
    mt_hdf5_catch_crash(tell_crash);
    signal(SIGCHLD, SIG_DFL); /* else it would not be told how a child ended */
    signal(SIGXFSZ, SIG_IGN); /* a file beyond the limit is an error like a full disk */
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    static const char *const asking[] = {"--help", "-?", "-h", "help"};
    bool asks = false;
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++) {
        asks = asks || strcmp(argv[1], asking[i]) == 0;
    }
    if (asks) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        print_version();
        return EXIT_DONE;
    }
    if (verb != NULL) {
        char name[32];
        snprintf(name, sizeof name, "mixtape %s", verb->name);
        argv[1] = name;
        return verb->run(argc - 1, argv + 1);
    }
    char hint[NEAREST_TEXT];
    print_line(stderr, "mixtape: there is no verb '%s'%s (mixtape --help lists them)", argv[1],
               nearest_hint(argv[1], verb_at, NULL, hint));
    return EXIT_USAGE;
}
