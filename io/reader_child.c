/* The child process that reads a file of HDF5: its limits, and its answers. */
#include "io/child.h"
#include "io/fletcher32.h"
#include "io/hdf5_crash.h"
#include "io/reader_apart.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void limit(const mt_child *child, int64_t length)
{
    const rlim_t least_seconds = 20, bytes_a_second = (rlim_t)8 << 20;
    mt_child_limit(child, most_memory(length), least_seconds + (rlim_t)length / bytes_a_second);
}

/* The program's own handlers of exit are not the child's. */
static void end_child(int signal, int status, bool lacks_memory)
{
    if (lacks_memory || signal == 0) {
        _exit(lacks_memory ? MT_CHILD_LACKS_MEMORY : status);
    }
}

/* What the child works with. */
typedef struct served_file {
    mt_child child;
    char *shared;
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
    return mt_line_send(file->child.line, said, sizeof *said);
}

static bool send_values(const served_file *file, const char *values, size_t size)
{
    char turn = 0;
    size_t half = 0;
    bool goes_on = true;
    for (size_t done = 0; done < size && goes_on; half = (half + 1) % MT_SHARED_HALVES) {
        size_t left = size - done, piece = left < MT_SHARED_PIECE ? left : MT_SHARED_PIECE;
        bool was_used = done >= MT_SHARED_HALVES * (size_t)MT_SHARED_PIECE;
        goes_on = !was_used || mt_line_receive(file->child.line, &turn, 1);
        memcpy(file->shared + half * MT_SHARED_PIECE, values + done, piece);
        done += piece;
        goes_on = goes_on && mt_line_send(file->child.line, &turn, 1);
    }
    return goes_on;
}

static bool answer_question(const served_file *file, mt_question *question)
{
    mt_reply said = {.status = MT_OK};
    question->room = question->bytes + MT_CHECKSUM_BYTES;
    question->values = malloc(question->room);
    said.status = question->values != NULL
                      ? file->reader->answer(file->reader, question, &said.answer)
                      : mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes of values",
                                question->name, question->bytes);
    bool sent = send_reply(file, &said);
    if (said.status == MT_OK) {
        sent = sent && send_values(file, question->values, question->bytes) &&
               mt_line_send(file->child.line, said.answer.found, said.answer.found_bytes);
    }
    free(said.answer.found);
    free(question->values);
    return sent;
}

_Noreturn void mt_reader_serve(const char *path, int line, void *shared)
{
    served_file file = {.child = mt_child_begin(line), .shared = shared, .length = length_of(path)};
    mt_question question;
    mt_hdf5_catch_crash(end_child);
    limit(&file.child, file.length);
    mt_reply opened = {.status = mt_reader_open_here(path, &file.reader)};
    bool goes_on = send_reply(&file, &opened) && opened.status == MT_OK;
    while (goes_on && mt_line_receive(file.child.line, &question, sizeof question)) {
        limit(&file.child, file.length);
        goes_on = answer_question(&file, &question);
    }
    _exit(0);
}
