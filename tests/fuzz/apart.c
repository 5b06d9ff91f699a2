#include "tests/fuzz/apart.h"

#include "tests/fuzz/fuzz.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REPORT_SIZE = 16384,
    MOST_BYTES = 1 << 20,
    INPUTS_OF_A_CHILD = 500,
    SECONDS = 1,
    FRAMES = 64
};

static const uint8_t signature[4] = "\211HDF";

/* libFuzzer's counters of what was executed, which the linker finds in builds that have them. */
extern uint8_t __start___sancov_cntrs[] __attribute__((weak));
extern uint8_t __stop___sancov_cntrs[] __attribute__((weak));

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* The child, which takes one input after the other. */
static struct {
    pid_t id;
    int channel; /* a byte to it is an input, a byte back that it is done */
    int report;  /* what it says */
    int taken;
    size_t *size;
    uint8_t *bytes, *counters; /* in memory that both share */
} child = {.channel = -1, .report = -1};

static size_t counters(void)
{
    return (size_t)(__stop___sancov_cntrs - __start___sancov_cntrs);
}

static void prepare(void)
{
    if (child.report < 0) {
        size_t size = sizeof *child.size + MOST_BYTES + counters();
        child.size = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        child.report = memfd_create("report", MFD_CLOEXEC);
        fuzz_claim(child.size != MAP_FAILED && child.report >= 0, "a child can tell what it did");
        child.bytes = (uint8_t *)(child.size + 1);
        child.counters = child.bytes + MOST_BYTES;
        fuzz_make_folder();
    }
}

/* Says that the child was at work in libhdf5 when its time was over, as the sanitizer would. */
static void out_of_time(int number)
{
    Dl_info place;
    void *frames[FRAMES];
    int count = backtrace(frames, FRAMES);
    (void)number;
    for (int i = 0; i < count; i++) {
        if (dladdr(frames[i], &place) != 0 && strstr(place.dli_fname, "libhdf5") != NULL) {
            dprintf(STDERR_FILENO, "    #0 %s\n", place.dli_fname);
            break;
        }
    }
    _exit(EXIT_FAILURE);
}

/* Of the processor's time, which other processes do not use up; 0: no limit. */
static void limit_time(int seconds)
{
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = seconds}, NULL);
}

_Noreturn static void be_child(void (*take)(const uint8_t *bytes, size_t size), int channel)
{
    const int deadly[] = {SIGABRT, SIGILL, SIGTERM, SIGINT};
    const struct sigaction when_over = {.sa_handler = out_of_time};
    void *frame;
    char byte;
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) {
        signal(deadly[i], SIG_DFL); /* libFuzzer's handlers are the parent's */
    }
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(NULL);
    }
    backtrace(&frame, 1); /* which loads what it needs */
    sigaction(SIGPROF, &when_over, NULL);
    dup2(child.report, STDERR_FILENO);
    while (read(channel, &byte, 1) == 1) {
        uint8_t *copy = malloc(*child.size + 1); /* whose end the sanitizer knows */
        CLAIM(copy != NULL);
        memcpy(copy, child.bytes, *child.size);
        memset(__start___sancov_cntrs, 0, counters());
        limit_time(SECONDS);
        take(copy, *child.size);
        limit_time(0);
        memcpy(child.counters, __start___sancov_cntrs, counters());
        free(copy);
        CLAIM(write(channel, &byte, 1) == 1);
    }
    _exit(EXIT_SUCCESS);
}

static void begin_child(void (*take)(const uint8_t *bytes, size_t size))
{
    int ends[2];
    CLAIM(ftruncate(child.report, 0) == 0 && lseek(child.report, 0, SEEK_SET) == 0);
    CLAIM(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    child.id = fork();
    CLAIM(child.id >= 0);
    if (child.id == 0) {
        close(ends[0]);
        be_child(take, ends[1]);
    }
    close(ends[1]);
    child.channel = ends[0];
    child.taken = 0;
}

static void end_child(void)
{
    close(child.channel);
    child.channel = -1;
    while (waitpid(child.id, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* Tells if the child ended within libhdf5: if the innermost frame is ("    #1 0x7f...
 * (/lib/libhdf5.so+..."), or one that called the sanitizer, of which at most two frames are in this
 * program. */
static bool ended_within_hdf5(void)
{
    static char text[REPORT_SIZE + 1];
    ssize_t length = pread(child.report, text, REPORT_SIZE, 0);
    text[length > 0 ? length : 0] = '\0';
    const char *at = strstr(text, "    #0 ");
    for (int own = 0; at != NULL && own < 3; at = strstr(at + 1, "    #")) {
        size_t line = strcspn(at, "\n");
        if (memmem(at, line, "libhdf5", 7) != NULL) {
            return true;
        }
        own += memmem(at, line, program_invocation_short_name,
                      strlen(program_invocation_short_name)) != NULL;
    }
    return false;
}

/* libFuzzer's clock interrupts the wait. */
static bool is_done(void)
{
    char byte;
    ssize_t got;
    do {
        got = read(child.channel, &byte, 1);
    } while (got < 0 && errno == EINTR);
    return got == 1;
}

void fuzz_apart(void (*take)(const uint8_t *bytes, size_t size), const uint8_t *bytes, size_t size)
{
    char byte = 0;
    if (size < sizeof signature || memcmp(bytes, signature, sizeof signature) != 0 ||
        size > MOST_BYTES) {
        take(bytes, size);
        return;
    }
    prepare();
    if (child.channel >= 0 && child.taken++ == INPUTS_OF_A_CHILD) {
        end_child();
    }
    if (child.channel < 0) {
        begin_child(take);
    }
    memcpy(child.bytes, bytes, size);
    *child.size = size;
    if (send(child.channel, &byte, 1, MSG_NOSIGNAL) == 1 && is_done()) {
        for (size_t i = 0; i < counters(); i++) {
            __start___sancov_cntrs[i] = child.counters[i];
        }
        return;
    }
    end_child();
    if (!ended_within_hdf5()) {
        take(bytes, size);
    }
}
