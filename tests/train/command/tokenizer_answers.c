/* Asks the process of a tokenizer what standard input has, and writes its answers, both as frames
 * (train/command/tokenizer_frames.h): for test_sentencepiece.py, which knows them. The argument is
 * the tokenizer's file. */
#include "io/kept_tokenizer.h"
#include "train/command/tokenizer_frames.h"
#include "train/command/tokenizer_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(mt_status status, const char *answer, size_t length)
{
    unsigned char header[FRAME_HEADER];
    const char *said = status == MT_OK ? answer : mt_error_message();
    frame_begin(header, status == MT_OK ? FRAME_DONE : FRAME_FAILED,
                status == MT_OK ? length : strlen(said));
    fwrite(header, 1, sizeof header, stdout);
    fwrite(said, 1, frame_length(header), stdout);
}

static void answer_all(tokenizer_process *process)
{
    unsigned char header[FRAME_HEADER];
    while (fread(header, 1, sizeof header, stdin) == sizeof header) {
        char *bytes = malloc(frame_length(header) + 1), *answer = NULL;
        size_t length = 0, size = bytes != NULL ? frame_length(header) : 0;
        size = fread(bytes, 1, size, stdin);
        mt_status status =
            tokenizer_process_ask(process, (char)header[0], bytes, size, &answer, &length);
        put(status, answer, length);
        free(answer);
        free(bytes);
    }
}

int main(int count, char **arguments)
{
    mt_tokenizer_file file = {NULL, 0};
    tokenizer_process *process = NULL;
    mt_status status = count == 2 ? mt_tokenizer_load(arguments[1], &file) : MT_ERROR_INVALID;
    if (status == MT_OK) {
        status = tokenizer_process_start(arguments[1], file.bytes, file.size, &process);
    }
    if (status == MT_OK) {
        answer_all(process);
    } else {
        fprintf(stderr, "%s\n", mt_error_message());
    }
    tokenizer_process_end(process);
    mt_tokenizer_free(&file);
    return status == MT_OK ? 0 : 1;
}
