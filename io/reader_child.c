/* The child process that reads a file: what it is freed of, its limits, and its answers. */
#include "io/hdf5_crash.h"
#include "io/reader_apart.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The address space that the process has already. */
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

static int64_t length_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

/* A file needs its metadata, a chunk and what it unpacks to: at most eight times its length, beside
 * what libhdf5 itself takes. */
static rlim_t most_memory(int64_t length)
{
    const rlim_t least = (rlim_t)256 << 20, times = 8;
    return least + times * (rlim_t)length;
}

static void limit_memory(int64_t length)
{
    rlim_t mapped = mapped_bytes(), most = mapped + most_memory(length);
    struct rlimit limit;
    if (mapped > 0 && getrlimit(RLIMIT_AS, &limit) == 0 && most < limit.rlim_cur) {
        limit.rlim_cur = most;
        setrlimit(RLIMIT_AS, &limit);
    }
}

/* Of the processor, for the next answer, beside what was used up: no wall clock, which a slow disk
 * would use up. */
static void limit_time(int64_t length)
{
    const rlim_t least = 20, bytes_a_second = (rlim_t)8 << 20;
    struct rusage used;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &used) == 0 && getrlimit(RLIMIT_CPU, &limit) == 0) {
        rlim_t end = (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + least +
                     (rlim_t)length / bytes_a_second;
        limit.rlim_cur = end < limit.rlim_max ? end : limit.rlim_max;
        setrlimit(RLIMIT_CPU, &limit);
    }
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

/* The program's own handlers of exit are not the child's. */
static void end_child(int signal, int status, bool lacks_memory)
{
    if (lacks_memory || signal == 0) {
        _exit(lacks_memory ? MT_CHILD_LACKS_MEMORY : status);
    }
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

/* The child has nothing of the program's open but its standard error, on which a sanitizer reports.
 * Where libhdf5 ends the process, output that waits in the program's buffers goes nowhere. Returns
 * the line, which the program may have where standard output would be. */
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

/* What the child works with. */
typedef struct served_file {
    int line;
    int64_t length;
    mt_reader *reader; /* NULL where it could not be opened */
} served_file;

static bool send_reply(const served_file *file, mt_reply *said)
{
    if (said->status == MT_ERROR_MEMORY) {
        mt_fail(said->status, "%s; a file of %" PRId64 " bytes may take %" PRIu64 " MB",
                mt_error_message(), file->length, (uint64_t)most_memory(file->length) >> 20);
    }
    snprintf(said->error, sizeof said->error, "%s", mt_error_message());
    return mt_line_send(file->line, said, sizeof *said);
}

static bool answer_question(const served_file *file, mt_question *question)
{
    mt_reply said = {.status = MT_OK};
    question->values = malloc(question->bytes + 1);
    said.status = question->values != NULL
                      ? file->reader->answer(file->reader, question, &said.answer)
                      : mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of values",
                                question->name, question->bytes);
    bool sent = send_reply(file, &said);
    if (said.status == MT_OK) {
        sent = sent && mt_line_send(file->line, question->values, question->bytes) &&
               mt_line_send(file->line, said.answer.found, said.answer.found_bytes);
    }
    free(said.answer.found);
    free(question->values);
    return sent;
}

_Noreturn void mt_reader_serve(const char *path, int line)
{
    served_file file = {.line = close_others(line), .length = length_of(path)};
    mt_question question;
    settle_signals();
    mt_hdf5_catch_crash(end_child);
    watch_line(file.line);
    prctl(PR_SET_DUMPABLE, 0); /* a crash is told, and leaves nothing */
    limit_memory(file.length);
    limit_time(file.length);
    mt_reply opened = {.status = mt_reader_open_here(path, &file.reader)};
    bool goes_on = send_reply(&file, &opened) && opened.status == MT_OK;
    while (goes_on && mt_line_receive(file.line, &question, sizeof question)) {
        limit_time(file.length);
        goes_on = answer_question(&file, &question);
    }
    _exit(0);
}
