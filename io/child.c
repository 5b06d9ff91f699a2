#include "io/child.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The address space that the process has already; 0: it cannot be told. */
static rlim_t mapped_bytes(void)
{
    char text[64] = "";
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    return (rlim_t)strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* The program's handlers are not the child's. What asks the program to end asks it alone: the child
 * ends with it. */
static void settle_signals(void)
{
    static const int requests[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
    sigset_t none;
    for (int i = 1; i < NSIG; i++) {
        signal(i, SIG_DFL);
    }
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        signal(requests[i], SIG_IGN);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A program that ends, however it does, closes its end of the line: then the child ends too,
 * whatever it is at. Questions come by the same signal. */
static void end_with_line(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_code == POLL_HUP) {
        _exit(0);
    }
}

static void watch_line(int line)
{
    struct sigaction action = {.sa_sigaction = end_with_line, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGIO, &action, NULL);
    fcntl(line, F_SETSIG, SIGIO);
    fcntl(line, F_SETOWN, getpid());
    fcntl(line, F_SETFL, O_ASYNC);
}

/* Where a library ends the process, output that waits in the program's buffers goes nowhere.
 * Returns the line, which the program may have where standard output would be. */
static int close_others(int line)
{
    if (line <= STDERR_FILENO) {
        line = fcntl(line, F_DUPFD, STDERR_FILENO + 1);
    }
    if (line > STDERR_FILENO + 1) {
        close_range(STDERR_FILENO + 1, (unsigned)line - 1, 0);
    }
    close_range((unsigned)line + 1, ~0U, 0); /* all of them, where there is no line */
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(nowhere, STDIN_FILENO) < 0 || dup2(nowhere, STDOUT_FILENO) < 0) {
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
    }
    return line;
}

/* libhdf5 takes a chunk's memory anew for each, and so does whoever reads a piece of a file. */
void mt_keep_memory(void)
{
    const int largest_mapped = 32 << 20, kept = 128 << 20;
    mallopt(M_MMAP_THRESHOLD, largest_mapped);
    mallopt(M_TRIM_THRESHOLD, kept);
}

mt_child mt_child_begin(int line)
{
    struct rlimit memory = {.rlim_cur = 0};
    mt_child child = {.line = close_others(line)};
    settle_signals();
    mt_keep_memory();
    watch_line(child.line);
    prctl(PR_SET_DUMPABLE, 0);
    if (getrlimit(RLIMIT_AS, &memory) == 0) {
        child.mapped = mapped_bytes();
    }
    child.given = memory.rlim_cur;
    return child;
}

static void limit_memory(const mt_child *child, rlim_t bytes)
{
    struct rlimit limit;
    if (child->mapped > 0 && getrlimit(RLIMIT_AS, &limit) == 0) {
        rlim_t most = child->mapped + bytes;
        limit.rlim_cur = most < child->given ? most : child->given;
        setrlimit(RLIMIT_AS, &limit);
    }
}

static void limit_time(rlim_t seconds)
{
    struct rusage used;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &used) == 0 && getrlimit(RLIMIT_CPU, &limit) == 0) {
        rlim_t end = (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + seconds;
        limit.rlim_cur = end < limit.rlim_max ? end : limit.rlim_max;
        setrlimit(RLIMIT_CPU, &limit);
    }
}

void mt_child_limit(const mt_child *child, rlim_t bytes, rlim_t seconds)
{
    limit_memory(child, bytes);
    limit_time(seconds);
}
