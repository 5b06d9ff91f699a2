#include "train/command/tokenizer_child.h"

#include "io/child.h"
#include "io/reader_apart.h"
#include "train/command/sentencepiece.h"
#include "train/command/tokenizer_frames.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Limits the next answer by the bytes that it may be made of. */
static void limit(const mt_child *child, size_t bytes)
{
    const rlim_t least_memory = (rlim_t)1 << 30, times_memory = 512;
    const rlim_t least_seconds = 30, bytes_a_second = (rlim_t)1 << 16;
    mt_child_limit(child, least_memory + times_memory * bytes,
                   least_seconds + bytes / bytes_a_second);
}

static bool send_answer(int line, const sentencepiece_answer *answer)
{
    unsigned char header[FRAME_HEADER];
    frame_begin(header, answer->status, answer->length);
    return mt_line_send(line, header, sizeof header) &&
           mt_line_send(line, answer->bytes, answer->length);
}

static bool answer_next(sentencepiece_model *model, const mt_child *child, size_t *kept)
{
    unsigned char header[FRAME_HEADER];
    if (!mt_line_receive(child->line, header, sizeof header)) {
        return false;
    }
    size_t size = frame_length(header);
    limit(child, *kept + size);
    char *bytes = calloc(1, size + 1);
    bool goes_on = bytes != NULL && mt_line_receive(child->line, bytes, size);
    if (goes_on) {
        sentencepiece_answer answer = sentencepiece_ask(model, (char)header[0], bytes, size);
        goes_on = send_answer(child->line, &answer);
    }
    *kept = header[0] == 'L' ? size : *kept;
    free(bytes);
    return goes_on;
}

_Noreturn void tokenizer_child_serve(const char *name, int line)
{
    mt_child child = mt_child_begin(line);
    size_t kept = 0; /* bytes of the tokenizer's file */
    dup2(STDOUT_FILENO, STDERR_FILENO);
    /* The program's end is told by the line too, but not to a process that is stopped. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sentencepiece_model *model = sentencepiece_create(name);
    while (model != NULL && answer_next(model, &child, &kept)) {
    }
    _exit(0);
}
