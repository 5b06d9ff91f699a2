/* mixtape generate RUN: samples from a language model, one symbol at a time, with the carried
 * state. */
#include "train/command/arguments.h"
#include "train/command/options.h"
#include "train/command/session.h"
#include "train/command/verbs.h"
#include "train/command/writer.h"

#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FORBIDDEN = 256 };

typedef struct arguments {
    const char *run, *prompt, *prompt_file, *stop, *device, *forbidden[MOST_FORBIDDEN];
    bool last, ids;
    int forbidden_count;
    long long length, samples, seed, threads;
    mt_sampling sampling;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    mt_status status = MT_OK;
    long long top_k = 0;
    switch (key) {
    case LONG_ONLY + 'l':
        given->last = true;
        break;
    case LONG_ONLY + 'p':
        given->prompt = text;
        break;
    case LONG_ONLY + 'f':
        given->prompt_file = text;
        break;
    case LONG_ONLY + 'e':
        given->stop = text;
        break;
    case LONG_ONLY + 'w':
        if (given->forbidden_count == MOST_FORBIDDEN) {
            wrong_arguments(state, "--without: more than %d symbols", MOST_FORBIDDEN);
        }
        given->forbidden[given->forbidden_count++] = text;
        break;
    case LONG_ONLY + 'i':
        given->ids = true;
        break;
    case LONG_ONLY + 'N':
        status = parse_whole("samples", text, 1, 1000000000, &given->samples);
        break;
    case LONG_ONLY + 'P':
        status = parse_real("top-p", text, 1e-9, 1.0, &given->sampling.top_p);
        break;
    case LONG_ONLY + 'n':
        status = parse_whole("length", text, 1, 1000000000, &given->length);
        break;
    case LONG_ONLY + 'k':
        status = parse_whole("top-k", text, 0, 1 << 24, &top_k);
        given->sampling.top_k = top_k;
        break;
    case LONG_ONLY + 's':
        status = parse_whole("seed", text, 0, 9000000000000000, &given->seed);
        break;
    case LONG_ONLY + 't':
        status = parse_real("temperature", text, 0.0, 100.0, &given->sampling.temperature);
        break;
    case LONG_ONLY + 'd':
        given->device = text;
        break;
    case LONG_ONLY + 'T':
        status = parse_threads(text, &given->threads);
        break;
    case ARGP_KEY_END:
        if (given->prompt[0] != '\0' && given->prompt_file != NULL) {
            wrong_arguments(state, "--prompt or --prompt-file, not both");
        }
        break;
    default:
        return parse_argument(key, text, state, "run", &given->run);
    }
    return parsed(status);
}

/* All of standard input, with a zero byte behind it; the caller frees it. */
static mt_status read_standard_input(char **bytes, size_t *size)
{
    size_t room = 1 << 16;
    char *memory = malloc(room);
    *size = 0;
    while (memory != NULL) {
        *size += fread(memory + *size, 1, room - 1 - *size, stdin);
        if (*size < room - 1) {
            break;
        }
        char *larger = realloc(memory, room *= 2);
        if (larger == NULL) {
            free(memory);
        }
        memory = larger;
    }
    if (memory == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "standard input: no memory for %zu bytes", room);
    }
    if (ferror(stdin)) {
        free(memory);
        return mt_fail(MT_ERROR_IO, "standard input: %s", strerror(errno));
    }
    memory[*size] = '\0';
    *bytes = memory;
    return MT_OK;
}

/* The prompt's symbols, which the caller frees. A file's last newline, which editors leave there,
 * is not part of it. */
static mt_status read_prompt(const text_symbols *symbols, const arguments *given, int32_t **ids,
                             int64_t *count)
{
    const char *from = given->prompt_file;
    char *bytes = NULL;
    size_t size;
    *ids = NULL;
    mt_status status = from == NULL             ? MT_OK
                       : strcmp(from, "-") == 0 ? read_standard_input(&bytes, &size)
                                                : mt_file_read(from, &bytes, &size);
    if (status == MT_OK && bytes != NULL && strlen(bytes) != size) {
        status = mt_fail(MT_ERROR_FORMAT, "a zero byte at %zu", strlen(bytes));
    }
    if (status == MT_OK && bytes != NULL && size > 0 && bytes[size - 1] == '\n') {
        bytes[size - 1] = '\0';
    }
    if (status == MT_OK) {
        status = symbols_of(symbols, bytes != NULL ? bytes : given->prompt, ids, count);
    }
    free(bytes);
    return status == MT_OK ? MT_OK
                           : mt_fail(status, "%s: %s", from != NULL ? "--prompt-file" : "--prompt",
                                     mt_error_message());
}

static mt_status write_texts(text_writer *writer, const int32_t *ids, int64_t count,
                             const arguments *given)
{
    for (int i = 0; i < given->forbidden_count; i++) {
        mt_status status = writer_forbid(writer, given->forbidden[i]);
        if (status != MT_OK) {
            return mt_fail(status, "--without: %s", mt_error_message());
        }
    }
    mt_status status = writer_begin(writer, ids, count);
    for (long long i = 0; i < given->samples && status == MT_OK && !ferror(stdout); i++) {
        status = writer_write(writer, ids, count, given->length);
    }
    return status;
}

static mt_status generate(mt_model *model, const text_symbols *symbols, const arguments *given)
{
    text_writer writer;
    int32_t *ids;
    int64_t count;
    mt_status status = read_prompt(symbols, given, &ids, &count);
    if (status != MT_OK) {
        return status;
    }
    status =
        writer_open(&writer, model, symbols, &given->sampling, (uint64_t)given->seed, given->stop);
    if (status == MT_OK) {
        status = write_texts(&writer, ids, count, given);
    }
    writer_close(&writer);
    free(ids);
    return status;
}

static mt_status run(const mt_checkpoint *checkpoint, const arguments *given)
{
    train_session session;
    text_symbols symbols;
    mt_status status = symbols_find(checkpoint, given->run, given->ids, &symbols);
    if (status == MT_OK) {
        status = session_open_model(checkpoint, given->device, (int)given->threads, &session);
    }
    if (status != MT_OK) {
        return status;
    }
    status = generate(session.model, &symbols, given);
    session_close(&session);
    return status;
}

int verb_generate(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"prompt", LONG_ONLY + 'p', "TEXT", 0,
         "What the text begins with: tokens with blanks between them where the unit is word", 0},
        {"prompt-file", LONG_ONLY + 'f', "FILE", 0,
         "The prompt is what the file holds, without a newline at its end; -: standard input", 0},
        {"length", LONG_ONLY + 'n', "N", 0, "Symbols to generate (default 500)", 0},
        {"temperature", LONG_ONLY + 't', "X", 0,
         "Below 1 favours likely symbols, 0 takes the likeliest (default 1)", 0},
        {"top-k", LONG_ONLY + 'k', "N", 0, "Choose among the N likeliest (default 0: all)", 0},
        {"top-p", LONG_ONLY + 'P', "X", 0,
         "Choose among the fewest likeliest that have this share (default 1: all)", 0},
        {"without", LONG_ONLY + 'w', "SYMBOL", 0, "Never choose this one; may be repeated", 0},
        {"stop", LONG_ONLY + 'e', "TEXT", 0, "End a text once it ends with TEXT", 0},
        {"samples", LONG_ONLY + 'N', "N", 0, "Texts to generate (default 1)", 0},
        {"ids", LONG_ONLY + 'i', NULL, 0,
         "Read the prompt and write the text as the symbols' numbers", 0},
        {"seed", LONG_ONLY + 's', "N", 0, "Of the choices (default 1)", 0},
        {"last", LONG_ONLY + 'l', NULL, 0, "The last checkpoint, instead of the best", 0},
        {"device", LONG_ONLY + 'd', "NAME", 0, "auto, cpu, cuda or cuda:I (default auto)", 0},
        {"threads", LONG_ONLY + 'T', "N", 0, "Threads of the CPU (default 0: all)", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN or FILE",
        .doc = "Samples text from the model of a run, streaming, with the carried state."};
    arguments given = {.prompt = "",
                       .stop = "",
                       .device = "auto",
                       .length = 500,
                       .samples = 1,
                       .seed = 1,
                       .sampling = mt_sampling_default()};
    parse_arguments(&argp, argc, argv, &given);
    mt_checkpoint *checkpoint;
    mt_status status = session_load_model(given.run, !given.last, &checkpoint);
    if (status == MT_OK) {
        status = run(checkpoint, &given);
        mt_checkpoint_destroy(checkpoint);
    }
    return report(status);
}
