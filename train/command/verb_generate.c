/* mixtape generate RUN: samples from a language model, one symbol at a time, with the carried
 * state. */
#include "train/command/arguments.h"
#include "train/command/ending.h"
#include "train/command/options.h"
#include "train/command/prompts.h"
#include "train/command/session.h"
#include "train/command/verbs.h"
#include "train/command/writer.h"

#include "io/input.h"
#include "train/stream_internal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FORBIDDEN = 256 };

typedef struct arguments {
    symbols_asked symbols;
    const char *run, *prompt, *prompt_file, *stop, *device, *state, *save_state,
        *forbidden[MOST_FORBIDDEN];
    bool last, interactive, blank;
    int forbidden_count;
    long long length, samples, seed, threads;
    mt_sampling sampling;
} arguments;

/* What cannot be asked for together. */
static void check_arguments(const arguments *given, struct argp_state *state)
{
    bool from_input = given->prompt_file != NULL && strcmp(given->prompt_file, "-") == 0;
    if (given->prompt[0] != '\0' && given->prompt_file != NULL) {
        wrong_arguments(state, "--prompt or --prompt-file, not both");
    }
    if (given->interactive && from_input) {
        wrong_arguments(state, "--interactive reads standard input, and so does --prompt-file -");
    }
    if (given->samples > 1 && (given->interactive || given->save_state != NULL)) {
        wrong_arguments(state, "--samples %lld: one text is written with %s", given->samples,
                        given->interactive ? "--interactive" : "--save-state");
    }
}

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
        given->symbols.numbers = true;
        break;
    case LONG_ONLY + 'N':
        status = parse_whole("samples", text, 1, 1000000000, &given->samples);
        break;
    case LONG_ONLY + 'P':
        status = parse_real("top-p", text, 1e-9, 1.0, &given->sampling.top_p);
        break;
    case LONG_ONLY + 'n':
        status = parse_whole("length", text, 0, 1000000000, &given->length);
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
    case LONG_ONLY + 'I':
        given->interactive = true;
        break;
    case LONG_ONLY + 'b':
        given->blank = true;
        break;
    case LONG_ONLY + 'K':
        given->symbols.token_list = text;
        break;
    case LONG_ONLY + 'O':
        given->symbols.tokenizer = text;
        break;
    case LONG_ONLY + 'U':
        given->symbols.unit = text;
        break;
    case LONG_ONLY + 'S':
        given->state = text;
        break;
    case LONG_ONLY + 'V':
        given->save_state = text;
        break;
    case LONG_ONLY + 'd':
        given->device = text;
        break;
    case LONG_ONLY + 'T':
        status = parse_threads(text, &given->threads);
        break;
    case ARGP_KEY_END:
        check_arguments(given, state);
        break;
    default:
        return parse_argument(key, text, state, "run", &given->run);
    }
    return parsed(status);
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
    mt_status status = from != NULL ? mt_input_read(from, mt_input_most(), &bytes, &size) : MT_OK;
    if (status == MT_OK && bytes != NULL && strlen(bytes) != size) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: a zero byte at %zu", from, strlen(bytes));
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

/* Ids of a vocabulary that is larger than its tokenizer are no text. */
static mt_status forbid_padding(text_writer *writer)
{
    const text_symbols *symbols = writer->symbols;
    int64_t size = symbols->tokenizer != NULL ? tokenizer_size(symbols->tokenizer) : symbols->count;
    mt_status status = MT_OK;
    for (int64_t id = size; id < symbols->count && status == MT_OK; id++) {
        status = mt_sampler_forbid(writer->sampler, (int32_t)id);
    }
    return status;
}

static mt_status forbid(text_writer *writer, const arguments *given)
{
    mt_status status = MT_OK;
    for (int i = 0; i < given->forbidden_count && status == MT_OK; i++) {
        status = writer_forbid(writer, given->forbidden[i]);
    }
    if (status != MT_OK) {
        return mt_fail(status, "--without: %s", mt_error_message());
    }
    /* No transcript has it, so the model has not learnt when it comes. */
    const mt_token_list *tokens = writer->symbols->tokens;
    bool has_blank = tokens != NULL && strcmp(tokens->tokens[0], "<blank>") == 0;
    return has_blank && !given->blank ? mt_sampler_forbid(writer->sampler, 0)
                                      : forbid_padding(writer);
}

/* Texts that begin with one prompt. */
static mt_status write_texts(text_writer *writer, const int32_t *ids, int64_t count,
                             const arguments *given)
{
    mt_status status = writer_feed(writer, ids, count);
    if (status == MT_OK) {
        status = writer_keep(writer);
    }
    for (long long i = 0; i < given->samples && status == MT_OK; i++) {
        if (ferror(stdout) || ending_signal() != 0) {
            break;
        }
        status = i > 0 ? writer_return(writer) : MT_OK;
        if (status == MT_OK) {
            status = writer_show(writer, ids, count);
        }
        if (status == MT_OK) {
            status = writer_answer(writer, given->length);
        }
    }
    return status;
}

static mt_status answer_line(text_writer *writer, const char *line, const arguments *given,
                             prompt_lines *lines)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    mt_status status = symbols_of(writer->symbols, line, &ids, &count);
    if (status != MT_OK) {
        return prompts_refuse(lines, status);
    }
    status = writer_feed(writer, ids, count);
    free(ids);
    return status == MT_OK ? writer_answer(writer, given->length) : status;
}

/* Answers each line, behind what came before. Lines that are no prompts are a failure at last, but
 * not on a terminal, where whoever sits there tries again. */
static mt_status answer_lines(text_writer *writer, const arguments *given, bool *failed)
{
    const char *line = "";
    prompt_lines lines = prompts_open();
    mt_status status = MT_OK;
    while (status == MT_OK && line != NULL && !ferror(stdout)) {
        status = prompts_next(&lines, &line);
        if (status != MT_OK) {
            status = prompts_refuse(&lines, status);
        } else if (line != NULL) {
            status = answer_line(writer, line, given, &lines);
        }
    }
    if (lines.on_terminal) {
        fputc('\n', stderr);
    }
    *failed = lines.wrong > 0 && !lines.on_terminal;
    prompts_close(&lines);
    return status;
}

static mt_status write_all(text_writer *writer, const arguments *given, bool *failed)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    mt_status status = read_prompt(writer->symbols, given, &ids, &count);
    ending_catch();
    if (status == MT_OK && given->state != NULL) {
        status = writer_load(writer, given->state);
    }
    if (status == MT_OK) {
        status = forbid(writer, given);
    }
    if (status == MT_OK && !given->interactive) {
        status = write_texts(writer, ids, count, given);
    } else if (status == MT_OK) {
        status = count > 0 ? writer_feed(writer, ids, count) : MT_OK;
        status = status == MT_OK ? answer_lines(writer, given, failed) : status;
    }
    free(ids);
    /* Nobody goes on from a text that could not be written; but who reads may leave earlier. */
    bool lost = ferror(stdout) != 0 && ending_signal() != SIGPIPE;
    return status == MT_OK && given->save_state != NULL && !lost
               ? writer_save(writer, given->save_state)
               : status;
}

/* `failed` is set where there is nothing more to tell of what failed. */
static mt_status run(const mt_checkpoint *checkpoint, const arguments *given, bool *failed)
{
    train_session session;
    text_symbols symbols;
    text_writer writer;
    mt_status status = given->save_state != NULL ? stream_check_target(given->save_state) : MT_OK;
    if (status != MT_OK) {
        return status;
    }
    status = symbols_find(checkpoint, given->run, &given->symbols, &symbols);
    if (status == MT_OK) {
        status = session_open_model(checkpoint, given->device, (int)given->threads, &session);
    }
    if (status != MT_OK) {
        symbols_free(&symbols);
        return status;
    }
    status = writer_open(&writer, session.model, &symbols, &given->sampling, (uint64_t)given->seed,
                         given->stop);
    if (status == MT_OK) {
        status = write_all(&writer, given, failed);
    }
    writer_close(&writer);
    session_close(&session);
    symbols_free(&symbols);
    return status;
}

int verb_generate(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"prompt", LONG_ONLY + 'p', "TEXT", 0,
         "What the text begins with: tokens with blanks between them where the unit is word", 0},
        {"prompt-file", LONG_ONLY + 'f', "FILE", 0,
         "The prompt is what the file holds, without a newline at its end; -: standard input", 0},
        {"interactive", LONG_ONLY + 'I', NULL, 0,
         "Write behind each line of standard input, and behind all that came before", 0},
        {"state", LONG_ONLY + 'S', "FILE", 0, "Go on from where --save-state left the model", 0},
        {"save-state", LONG_ONLY + 'V', "FILE", 0,
         "Keep in a file where the text ends, to go on from", 0},
        {"length", LONG_ONLY + 'n', "N", 0,
         "Symbols to generate, of each text or answer (default 500)", 0},
        {"temperature", LONG_ONLY + 't', "X", 0,
         "Below 1 favours likely symbols, 0 takes the likeliest (default 1)", 0},
        {"top-k", LONG_ONLY + 'k', "N", 0, "Choose among the N likeliest (default 0: all)", 0},
        {"top-p", LONG_ONLY + 'P', "X", 0,
         "Choose among the fewest likeliest that have this share (default 1: all)", 0},
        {"without", LONG_ONLY + 'w', "SYMBOL", 0, "Never choose this one; may be repeated", 0},
        {"blank", LONG_ONLY + 'b', NULL, 0, "Let <blank> be chosen, which no transcript has", 0},
        {"stop", LONG_ONLY + 'e', "TEXT", 0, "End a text once it ends with TEXT", 0},
        {"samples", LONG_ONLY + 'N', "N", 0, "Texts to generate (default 1)", 0},
        {"ids", LONG_ONLY + 'i', NULL, 0,
         "Read the prompt and write the text as the symbols' numbers", 0},
        {"token-list", LONG_ONLY + 'K', "FILE", 0, "The tokens of a model that has none", 0},
        {"tokenizer", LONG_ONLY + 'O', "FILE", 0,
         "Read and write text by this tokenizer, instead of the model's", 0},
        {"bpemodel", 0, NULL, OPTION_ALIAS, NULL, 0},
        {"unit", LONG_ONLY + 'U', "NAME", 0,
         "What a symbol is, where the model does not tell: char, byte or word", 0},
        {"seed", LONG_ONLY + 's', "N", 0, "Of the choices (default 1)", 0},
        {"last", LONG_ONLY + 'l', NULL, 0, "The last checkpoint, instead of the best", 0},
        {"device", LONG_ONLY + 'd', "NAME", 0, "auto, cpu, cuda or cuda:I (default auto)", 0},
        {"threads", LONG_ONLY + 'T', "N", 0, "Threads of the CPU (default 0: all)", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN or FILE",
        .doc = "Samples text from the model of a run, streaming, with the carried state.\vWith "
               "--interactive a line is a prompt without its end, and an empty one goes on; EOF "
               "ends it. A signal ends any text after the symbol at work, with the state saved "
               "where asked, and exit status 128 + the signal's number."};
    arguments given = {.symbols = {.numbers_option = "--ids"},
                       .prompt = "",
                       .stop = "",
                       .device = "auto",
                       .length = 500,
                       .samples = 1,
                       .seed = 1,
                       .sampling = mt_sampling_default()};
    parse_arguments(&argp, argc, argv, &given);
    mt_checkpoint *checkpoint;
    bool failed = false;
    mt_status status = session_load_model(given.run, !given.last, &checkpoint);
    if (status == MT_OK) {
        status = run(checkpoint, &given, &failed);
        mt_checkpoint_destroy(checkpoint);
    }
    if (status == MT_OK && ending_signal() != 0) {
        return ending_status();
    }
    return status == MT_OK && failed ? EXIT_FAILED : report(status);
}
