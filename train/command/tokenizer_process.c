#include "train/command/tokenizer_process.h"

#include "io/kept_tokenizer.h"
#include "train/command/ending.h"
#include "train/command/python.h"
#include "train/command/sentencepiece.h"
#include "train/command/tokenizer_child.h"
#include "train/command/tokenizer_frames.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct tokenizer_process {
    const char *name;   /* of the file */
    const char *reader; /* what reads it */
    pid_t child;
    int socket;
    int64_t size;
    bool splits;
    char *note;
};

enum { LONGEST_ANSWER = 1 << 30 };

static const char program[] =
    PYTHON_BEGIN "try:\n"
                 "    from mixtape.tokenizer_server import main\n"
                 "except ImportError as error:\n" PYTHON_LACKS "    import os\n"
                 "    found = message.encode()\n"
                 "    os.write(0, b'\\1' + len(found).to_bytes(4, 'little') + found)\n"
                 "    sys.exit(1)\n"
                 "main()\n";

/* Once a signal is noted, the process has a while for what it still has to say. */
static bool wait_for(int socket, short events)
{
    enum { GRACE_MS = 1000 };
    struct pollfd file = {.fd = socket, .events = events};
    return ending_wait_for(socket, events) || poll(&file, 1, GRACE_MS) > 0;
}

static bool send_all(int socket, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent =
            wait_for(socket, POLLOUT) ? send(socket, at, size, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        if (sent == 0 || (sent < 0 && errno != EINTR && errno != EAGAIN)) {
            return false;
        }
        at += sent > 0 ? sent : 0;
        size -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

static bool receive_all(int socket, void *bytes, size_t size)
{
    char *at = bytes;
    while (size > 0) {
        ssize_t got = wait_for(socket, POLLIN) ? recv(socket, at, size, MSG_DONTWAIT) : 0;
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
            return false;
        }
        at += got > 0 ? got : 0;
        size -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* How the process ended, which it does by itself soon after its last word, or else is ended. */
static int end_child(tokenizer_process *process)
{
    enum { TRIES = 100 };
    const struct timespec between = {.tv_nsec = 10000000};
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < TRIES && ended == 0 && ending_signal() == 0; i++) {
        ended = waitpid(process->child, &status, WNOHANG);
        if (ended == 0) {
            nanosleep(&between, NULL);
        }
    }
    if (ended == 0) {
        kill(process->child, SIGKILL);
        waitpid(process->child, &status, 0);
    }
    process->child = -1;
    return status;
}

/* Why there is no answer. */
static mt_status tell_end(tokenizer_process *process)
{
    int status = end_child(process);
    bool killed = WIFSIGNALED(status);
    bool crashed = killed && (WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV);
    if (ending_signal() != 0) {
        return mt_fail(MT_ERROR_IO, "the tokenizer's process had not answered when signal %d came",
                       ending_signal());
    }
    if (killed && WTERMSIG(status) == SIGXCPU) {
        return mt_fail(MT_ERROR_MEMORY,
                       "%s: it takes longer than a tokenizer may for so many bytes: a damaged or "
                       "hostile file",
                       process->name);
    }
    return mt_fail(MT_ERROR_IO, "%s: the process that reads it (%s) ended with %s %d%s",
                   process->name, process->reader, killed ? "signal" : "status",
                   killed ? WTERMSIG(status) : WEXITSTATUS(status),
                   crashed ? ", as one does that may have no more memory: a damaged or hostile file"
                           : "");
}

/* The answer, or the message of what went wrong, has a zero byte behind it. */
static mt_status receive(tokenizer_process *process, char **answer, size_t *length)
{
    unsigned char header[FRAME_HEADER];
    *answer = NULL;
    if (!receive_all(process->socket, header, sizeof header) ||
        frame_length(header) > LONGEST_ANSWER) {
        return tell_end(process);
    }
    *length = frame_length(header);
    *answer = malloc(*length + 1);
    if (*answer == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes of a tokenizer's answer", *length);
    }
    mt_status status = receive_all(process->socket, *answer, *length) ? MT_OK : tell_end(process);
    (*answer)[status == MT_OK ? *length : 0] = '\0';
    if (status == MT_OK && header[0] != FRAME_DONE) {
        status =
            mt_fail(header[0] == FRAME_DAMAGED ? MT_ERROR_MEMORY : MT_ERROR_FORMAT, "%s", *answer);
    }
    if (status != MT_OK) {
        free(*answer);
        *answer = NULL;
    }
    return status;
}

mt_status tokenizer_process_ask(tokenizer_process *process, char asked, const void *bytes,
                                size_t size, char **answer, size_t *length)
{
    unsigned char header[FRAME_HEADER];
    *answer = NULL;
    if (process->child < 0) {
        return mt_fail(MT_ERROR_IO, "the tokenizer's process has ended");
    }
    if (size > LONGEST_ANSWER) {
        return mt_fail(MT_ERROR_INVALID, "%zu bytes are more than a tokenizer takes", size);
    }
    frame_begin(header, (unsigned char)asked, size);
    /* A process that ended may have said why; one that waits for the rest hears that it ends. */
    if (!send_all(process->socket, header, sizeof header) ||
        !send_all(process->socket, bytes, size)) {
        shutdown(process->socket, SHUT_WR);
    }
    return receive(process, answer, length);
}

/* It is in a process group of its own: what a terminal sends to this one leaves it at work until
 * its socket is closed. */
static int spawn(const char *name, int socket, pid_t *child)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    const char *line[] = {python_name(), "-c", program, name, NULL};
    int error = posix_spawn_file_actions_init(&files);
    if (error != 0) {
        return error;
    }
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(&files, socket, STDIN_FILENO);
    }
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    }
    if (error == 0) {
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    }
    if (error == 0) {
        error = posix_spawnp(child, line[0], &files, &attributes, (char *const *)line, environ);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

static mt_status start_python(tokenizer_process *process, int socket, bool is_sentencepiece)
{
    int error = spawn(process->name, socket, &process->child);
    mt_status status = error == 0 ? MT_OK : python_fails(error);
    return status != MT_OK && is_sentencepiece
               ? mt_fail(status, "%s; this build of Mixtape is without SentencePiece's own library",
                         mt_error_message())
               : status;
}

static mt_status start_fork(tokenizer_process *process, int socket)
{
    process->reader = "SentencePiece's library";
    process->child = fork();
    if (process->child == 0) {
        tokenizer_child_serve(process->name, socket);
    }
    return process->child > 0 ? MT_OK
                              : mt_fail(MT_ERROR_IO, "%s: no process to read it in: %s",
                                        process->name, strerror(errno));
}

static mt_status start(tokenizer_process *process, bool is_sentencepiece)
{
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
        return mt_fail(MT_ERROR_IO, "no socket for a tokenizer's process: %s", strerror(errno));
    }
    process->socket = sockets[0];
    mt_status status = is_sentencepiece && sentencepiece_version() != NULL
                           ? start_fork(process, sockets[1])
                           : start_python(process, sockets[1], is_sentencepiece);
    close(sockets[1]);
    if (status != MT_OK) {
        process->child = -1;
    }
    return status;
}

mt_status tokenizer_process_start(const char *name, const char *bytes, size_t size,
                                  tokenizer_process **process)
{
    tokenizer_process *made = malloc(sizeof *made);
    char *answer = NULL;
    size_t length = 0;
    *process = NULL;
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes", sizeof *made);
    }
    *made = (tokenizer_process){.name = name, .reader = python_name(), .child = -1, .socket = -1};
    mt_status status = start(made, mt_tokenizer_is_sentencepiece(bytes, size));
    if (status == MT_OK) {
        status = tokenizer_process_ask(made, 'L', bytes, size, &answer, &length);
    }
    if (status == MT_OK && length > sizeof made->size) {
        memcpy(&made->size, answer, sizeof made->size);
        made->splits = answer[sizeof made->size] != 0;
        made->note = strdup(answer + sizeof made->size + 1);
    }
    free(answer);
    if (status != MT_OK) {
        tokenizer_process_end(made);
        return status;
    }
    *process = made;
    return MT_OK;
}

void tokenizer_process_end(tokenizer_process *process)
{
    if (process == NULL) {
        return;
    }
    if (process->socket >= 0) {
        close(process->socket);
    }
    if (process->child > 0) {
        kill(process->child, SIGKILL);
        waitpid(process->child, NULL, 0);
    }
    free(process->note);
    free(process);
}

int64_t tokenizer_process_size(const tokenizer_process *process)
{
    return process->size;
}

bool tokenizer_process_splits(const tokenizer_process *process)
{
    return process->splits;
}

const char *tokenizer_process_note(const tokenizer_process *process)
{
    return process->note != NULL ? process->note : "";
}
