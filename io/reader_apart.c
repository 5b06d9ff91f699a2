/* A reader in a child process. Questions and answers go through a socket, values through a file in
 * memory that both have open: the child maps it, this process reads from it, so nothing that the
 * child does to it can hurt. The child ends when the socket does.
 *
 * It is forked for each file, as the files of a command are opened before its threads begin; a
 * child of a process with threads calls nothing but libhdf5, zlib and the C library, whose memory
 * can be used after a fork. */
#include <mixtape/weights.h>

#include "io/reader.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct reply {
    mt_status status;
    char error[PATH_MAX + 512];
    mt_answer answer;
} reply;

/* ---- the child ---- */

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

/* A file needs its metadata, a chunk and what it unpacks to: some times its length, at most, beside
 * what libhdf5 itself takes. */
static void limit_memory(int64_t length)
{
    const rlim_t least = (rlim_t)256 << 20, times = 8;
    rlim_t mapped = mapped_bytes(), most = mapped + least + times * (rlim_t)length;
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
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGXCPU};
    static const int requests[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
    sigset_t none;
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        signal(crashes[i], SIG_DFL);
    }
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        signal(requests[i], SIG_IGN);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The child has nothing of the program's open but its output, on which a sanitizer reports. */
static void close_others(int a, int b)
{
    unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a), first = 3;
    if (low > first) {
        close_range(first, low - 1, 0);
    }
    if (high > low + 1) {
        close_range(low + 1, high - 1, 0);
    }
    close_range(high + 1, ~0U, 0);
}

/* What the child works with. */
typedef struct served_file {
    const char *path;
    int line, memory;
    mt_reader *reader; /* NULL where it could not be opened */
} served_file;

/* Gives the question the place in memory that both processes have for its values. */
static mt_status map_values(const served_file *file, mt_question *question)
{
    question->values = NULL;
    if (question->bytes == 0) {
        return MT_OK;
    }
    if (ftruncate(file->memory, (off_t)question->bytes) == 0) {
        question->values =
            mmap(NULL, question->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file->memory, 0);
    }
    return question->values != NULL && question->values != MAP_FAILED
               ? MT_OK
               : mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of values: %s", file->path,
                         question->bytes, strerror(errno));
}

static mt_status write_found(const served_file *file, const mt_answer *answer)
{
    size_t done = 0;
    bool written = ftruncate(file->memory, 0) == 0;
    while (written && done < answer->found_bytes) {
        ssize_t put =
            pwrite(file->memory, answer->found + done, answer->found_bytes - done, (off_t)done);
        written = put > 0;
        done += written ? (size_t)put : 0;
    }
    return written ? MT_OK
                   : mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of names or texts: %s",
                             file->path, answer->found_bytes, strerror(errno));
}

static mt_status find_answer(const served_file *file, mt_question *question, mt_answer *answer)
{
    mt_status status = map_values(file, question);
    if (status != MT_OK) {
        return status;
    }
    status = file->reader->answer(file->reader, question, answer);
    if (question->values != NULL) {
        munmap(question->values, question->bytes);
    } else if (status == MT_OK) {
        status = write_found(file, answer);
    }
    free(answer->found);
    answer->found = NULL;
    return status;
}

static bool send_reply(int line, reply *said)
{
    snprintf(said->error, sizeof said->error, "%s", mt_error_message());
    return send(line, said, sizeof *said, MSG_NOSIGNAL) == (ssize_t)sizeof *said;
}

/* The first reply says if the file could be opened. */
static _Noreturn void serve(served_file file)
{
    static reply said;
    mt_question question;
    int64_t length = length_of(file.path);
    settle_signals();
    close_others(file.line, file.memory);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* a crash is told, and leaves nothing */
    limit_memory(length);
    limit_time(length);
    said.status = mt_reader_open_here(file.path, &file.reader);
    while (send_reply(file.line, &said) && file.reader != NULL &&
           recv(file.line, &question, sizeof question, 0) == (ssize_t)sizeof question) {
        memset(&said, 0, sizeof said);
        limit_time(length);
        said.status = find_answer(&file, &question, &said.answer);
    }
    _exit(0);
}

/* ---- this process ---- */

typedef struct apart_reader {
    mt_reader base;
    pid_t child;
    int line, memory;
    char path[PATH_MAX];
} apart_reader;

/* Why the child answers no more. */
static mt_status blame_child(apart_reader *reader)
{
    int ended = 0;
    shutdown(reader->line, SHUT_RDWR);
    bool known = reader->child > 0 && waitpid(reader->child, &ended, 0) == reader->child;
    int signal = known && WIFSIGNALED(ended) ? WTERMSIG(ended) : 0;
    reader->child = -1;
    switch (signal) {
    case 0:
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: reading it ended HDF5's library (status %d): a damaged or hostile file",
                       reader->path, known ? WEXITSTATUS(ended) : 0);
    case SIGKILL:
        return mt_fail(MT_ERROR_MEMORY,
                       "%s: the process that read it was killed, as for want of memory",
                       reader->path);
    case SIGXCPU:
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: reading it took HDF5's library longer than a file of its length can: a "
                       "damaged or hostile file",
                       reader->path);
    default:
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: reading it crashed HDF5's library (signal %d): a damaged or hostile "
                       "file",
                       reader->path, signal);
    }
}

static mt_status receive(apart_reader *reader, reply *said)
{
    ssize_t got;
    do {
        got = recv(reader->line, said, sizeof *said, 0);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof *said) {
        return blame_child(reader);
    }
    said->error[sizeof said->error - 1] = '\0';
    bool known = said->status > MT_OK && said->status <= MT_ERROR_NUMERIC;
    return said->status == MT_OK
               ? MT_OK
               : mt_fail(known ? said->status : MT_ERROR_FORMAT, "%s", said->error);
}

static mt_status read_memory(const apart_reader *reader, void *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(reader->memory, (char *)to + done, size - done, (off_t)done);
        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            return mt_fail(MT_ERROR_FORMAT, "%s: %zu of %zu bytes were read", reader->path, done,
                           size);
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return MT_OK;
}

/* Names or texts that the child found, in memory of this process: as many bytes as it has put into
 * the memory of both, whatever it says. */
static mt_status take_found(const apart_reader *reader, mt_answer *answer)
{
    struct stat put;
    if (fstat(reader->memory, &put) != 0 || answer->found_bytes > (size_t)put.st_size) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %zu bytes of names or texts were not read",
                       reader->path, answer->found_bytes);
    }
    answer->found = malloc(answer->found_bytes + 1);
    if (answer->found == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of names or texts",
                       reader->path, answer->found_bytes);
    }
    answer->found[answer->found_bytes] = '\0';
    return read_memory(reader, answer->found, answer->found_bytes);
}

static mt_status ask_child(apart_reader *reader, const mt_question *question, mt_answer *answer)
{
    reply said;
    if (send(reader->line, question, sizeof *question, MSG_NOSIGNAL) != (ssize_t)sizeof *question) {
        return blame_child(reader);
    }
    mt_status status = receive(reader, &said);
    if (status != MT_OK) {
        return status;
    }
    *answer = said.answer;
    answer->found = NULL;
    switch (question->asked) {
    case MT_ASK_ROWS:
        return read_memory(reader, question->values, question->bytes);
    case MT_ASK_NAMES:
    case MT_ASK_TEXTS:
        return take_found(reader, answer);
    default:
        return MT_OK;
    }
}

static mt_status answer(mt_reader *base, const mt_question *question, mt_answer *answer)
{
    *answer = (mt_answer){0};
    mt_status status = ask_child((apart_reader *)base, question, answer);
    if (status != MT_OK) {
        free(answer->found);
        *answer = (mt_answer){0};
    }
    return status;
}

static void close_reader(mt_reader *base)
{
    apart_reader *reader = (apart_reader *)base;
    if (reader->child > 0) {
        kill(reader->child, SIGKILL); /* whatever it is at */
        while (waitpid(reader->child, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (reader->line >= 0) {
        close(reader->line);
    }
    if (reader->memory >= 0) {
        close(reader->memory);
    }
    free(reader);
}

static mt_status start_child(apart_reader *reader)
{
    int lines[2] = {-1, -1};
    reader->memory = memfd_create("mixtape", MFD_CLOEXEC);
    bool connected =
        reader->memory >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, lines) == 0;
    reader->child = connected ? fork() : -1;
    if (reader->child == 0) {
        serve((served_file){reader->path, lines[1], reader->memory, NULL});
    }
    int error = errno;
    if (lines[1] >= 0) {
        close(lines[1]);
    }
    reader->line = lines[0];
    return reader->child > 0 ? MT_OK
                             : mt_fail(MT_ERROR_IO, "%s: no process to read it in: %s",
                                       reader->path, strerror(error));
}

mt_status mt_reader_open_apart(const char *path, mt_reader **reader)
{
    reply said;
    *reader = NULL;
    apart_reader *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *made);
    }
    made->base = (mt_reader){answer, close_reader};
    made->line = -1;
    snprintf(made->path, sizeof made->path, "%s", path);
    mt_status status = start_child(made);
    if (status == MT_OK) {
        status = receive(made, &said);
    }
    if (status != MT_OK) {
        close_reader(&made->base);
        return status;
    }
    *reader = &made->base;
    return MT_OK;
}

/* ---- the choice ---- */

static bool apart;

void mt_weights_read_apart(bool chosen)
{
    apart = chosen;
}

mt_status mt_reader_open(const char *path, mt_reader **reader)
{
    return apart ? mt_reader_open_apart(path, reader) : mt_reader_open_here(path, reader);
}
