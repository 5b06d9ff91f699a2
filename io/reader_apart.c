/* A reader in a child process. Questions and answers go through a socket, values through memory
 * that the two share: they are copied out of it before anybody looks at them, since the child could
 * change them there at any time. They share no file, which a limit of files' sizes would cut. The
 * child ends when the socket does.
 *
 * It is forked for each file. Most files of a command are opened before its threads begin; a child
 * of a process with threads calls nothing but libhdf5, zlib and the C library, whose memory can be
 * used after a fork. */
#include <mixtape/weights.h>

#include "io/reader_apart.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

bool mt_line_send(int line, const void *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t put = send(line, (const char *)bytes + done, size - done, MSG_NOSIGNAL);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

bool mt_line_receive(int line, void *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = recv(line, (char *)bytes + done, size - done, 0);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

enum { SHARED_BYTES = MT_SHARED_HALVES * MT_SHARED_PIECE };

typedef struct apart_reader {
    mt_reader base;
    pid_t child;
    int line;
    char *shared; /* its halves, or MAP_FAILED */
    char path[PATH_MAX];
    mt_status ended;            /* why the child answers no more, once it does not */
    char error[PATH_MAX + 512]; /* and in words */
} apart_reader;

/* Ends the child, whatever it is at, and returns true if it is known how it ended: as it did by
 * itself, if it had. */
static bool end_child(apart_reader *reader, int *status)
{
    pid_t waited = -1;
    if (reader->child > 0) {
        kill(reader->child, SIGKILL);
        do {
            waited = waitpid(reader->child, status, 0);
        } while (waited < 0 && errno == EINTR);
    }
    reader->child = -1;
    return waited > 0;
}

static mt_status find_end(apart_reader *reader)
{
    int ended = 0;
    bool known = end_child(reader, &ended);
    int signal = known && WIFSIGNALED(ended) ? WTERMSIG(ended) : 0;
    if (known && WIFEXITED(ended) && WEXITSTATUS(ended) == MT_CHILD_LACKS_MEMORY) {
        return mt_fail(MT_ERROR_MEMORY,
                       "%s: reading it ended HDF5's library, which had no memory: there is too "
                       "little, or the file is hostile",
                       reader->path);
    }
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

/* Why the child answers no more, to the question that ended it and to those behind it. */
static mt_status blame_child(apart_reader *reader)
{
    if (reader->ended == MT_OK) {
        reader->ended = find_end(reader);
        snprintf(reader->error, sizeof reader->error, "%s", mt_error_message());
    }
    return mt_fail(reader->ended, "%s", reader->error);
}

static mt_status receive_reply(apart_reader *reader, mt_reply *said)
{
    if (!mt_line_receive(reader->line, said, sizeof *said)) {
        return blame_child(reader);
    }
    said->error[sizeof said->error - 1] = '\0';
    bool known = said->status > MT_OK && said->status <= MT_ERROR_NUMERIC;
    return said->status == MT_OK
               ? MT_OK
               : mt_fail(known ? said->status : MT_ERROR_FORMAT, "%s", said->error);
}

static mt_status receive_bytes(apart_reader *reader, void *bytes, size_t size)
{
    return mt_line_receive(reader->line, bytes, size) ? MT_OK : blame_child(reader);
}

static mt_status receive_values(apart_reader *reader, char *values, size_t size)
{
    char turn = 0;
    size_t half = 0;
    for (size_t done = 0; done < size; half = (half + 1) % MT_SHARED_HALVES) {
        size_t left = size - done, piece = left < MT_SHARED_PIECE ? left : MT_SHARED_PIECE;
        if (!mt_line_receive(reader->line, &turn, 1)) {
            return blame_child(reader);
        }
        memcpy(values + done, reader->shared + half * MT_SHARED_PIECE, piece);
        done += piece;
        bool is_needed = left > MT_SHARED_HALVES * (size_t)MT_SHARED_PIECE;
        if (is_needed && !mt_line_send(reader->line, &turn, 1)) {
            return blame_child(reader);
        }
    }
    return MT_OK;
}

/* Names or texts. */
static mt_status receive_found(apart_reader *reader, mt_answer *answer)
{
    int ended;
    size_t size = answer->found_bytes;
    answer->found = size < SIZE_MAX ? malloc(size + 1) : NULL;
    if (answer->found == NULL) {
        end_child(reader, &ended); /* which would go on to send them */
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of names or texts",
                       reader->path, size);
    }
    answer->found[size] = '\0';
    return receive_bytes(reader, answer->found, size);
}

static mt_status ask_child(apart_reader *reader, const mt_question *question, mt_answer *answer)
{
    mt_reply said;
    if (!mt_line_send(reader->line, question, sizeof *question)) {
        return blame_child(reader);
    }
    mt_status status = receive_reply(reader, &said);
    if (status != MT_OK) {
        return status;
    }
    *answer = said.answer;
    answer->found = NULL;
    switch (question->asked) {
    case MT_ASK_ROWS:
        return receive_values(reader, question->values, question->bytes);
    case MT_ASK_NAMES:
    case MT_ASK_TEXTS:
        return receive_found(reader, answer);
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
    int ended;
    end_child(reader, &ended);
    if (reader->line >= 0) {
        close(reader->line);
    }
    if (reader->shared != MAP_FAILED) {
        munmap(reader->shared, SHARED_BYTES);
    }
    free(reader);
}

static mt_status start_child(apart_reader *reader)
{
    int lines[2] = {-1, -1};
    bool connected = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lines) == 0;
    reader->child = connected ? fork() : -1;
    if (reader->child == 0) {
        mt_reader_serve(reader->path, lines[1], reader->shared);
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

static mt_status open_apart(const char *path, mt_reader **reader)
{
    mt_reply said;
    *reader = NULL;
    apart_reader *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", path, sizeof *made);
    }
    made->base = (mt_reader){answer, close_reader};
    made->line = -1;
    snprintf(made->path, sizeof made->path, "%s", path);
    made->shared =
        mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mt_status status =
        made->shared != MAP_FAILED
            ? start_child(made)
            : mt_fail(MT_ERROR_MEMORY, "%s: no memory for %d bytes of values", path, SHARED_BYTES);
    if (status == MT_OK) {
        status = receive_reply(made, &said);
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
    return apart ? open_apart(path, reader) : mt_reader_open_here(path, reader);
}
