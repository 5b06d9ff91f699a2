/* mixtape generate RUN: samples from a language model, one symbol at a time, with the carried
 * state. */
#include "train/command/answers.h"
#include "train/command/argument_rows.h"
#include "train/command/arguments.h"
#include "train/command/choices.h"
#include "train/command/ending.h"
#include "train/command/kept_weights.h"
#include "train/command/prompts.h"
#include "train/command/session.h"
#include "train/command/verbs.h"
#include "train/command/writer.h"

#include "io/input.h"
#include "train/file_list.h"
#include "train/stream_internal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    symbols_asked symbols;
    choices_asked choices;
    const char *run, *adapter, *prompt, *prompt_file, *prompts, *stop, *device, *weights, *state,
        *save_state;
    bool last, interactive;
    int64_t batch, length, samples, seed, threads;
} arguments;

#define AT(field) offsetof(arguments, field)

static const argument_row rows[] = {
    {"prompt", GIVEN_TEXT, AT(prompt), 0, 0, "TEXT",
     "What the text begins with: tokens with blanks between them where the unit is word"},
    {"prompt-file", GIVEN_TEXT, AT(prompt_file), 0, 0, "FILE",
     "The prompt is what the file holds, without a newline at its end; -: standard input"},
    {"prompts", GIVEN_TEXT, AT(prompts), 0, 0, "FILE",
     "Each line of the file is a prompt, answered by a line of JSON; -: standard input"},
    {"batch", GIVEN_WHOLE, AT(batch), 1, 1e6, "N", "Of --prompts: lines at once (default 32)"},
    {"interactive", GIVEN_FLAG, AT(interactive), 0, 0, NULL,
     "Write behind each line of standard input, and behind all that came before"},
    {"state", GIVEN_TEXT, AT(state), 0, 0, "FILE", "Go on from where --save-state left the model"},
    {"save-state", GIVEN_TEXT, AT(save_state), 0, 0, "FILE",
     "Keep in a file where the text ends, to go on from"},
    {"length", GIVEN_WHOLE, AT(length), 0, 1e9, "N",
     "Symbols to generate, of each text or answer (default 500)"},
    {"temperature", GIVEN_REAL, AT(choices.sampling.temperature), 0, 100, "X",
     "Below 1 favours likely symbols, 0 takes the likeliest (default 1)"},
    {"top-k", GIVEN_WHOLE, AT(choices.sampling.top_k), 0, 1 << 24, "N",
     "Choose among the N likeliest (default 0: all)"},
    {"top-p", GIVEN_REAL, AT(choices.sampling.top_p), 1e-9, 1, "X",
     "Choose among the fewest likeliest that have this share (default 1: all)"},
    {"without", GIVEN_TEXTS, AT(choices.forbidden), 0, 0, "SYMBOL",
     "Never choose this one; may be repeated"},
    {"blank", GIVEN_FLAG, AT(choices.blank), 0, 0, NULL,
     "Let <blank> be chosen, which no transcript has"},
    {"stop", GIVEN_TEXT, AT(stop), 0, 0, "TEXT",
     "End a text once it ends with TEXT; of --ids, with that id"},
    {"samples", GIVEN_WHOLE, AT(samples), 1, 1e9, "N", "Texts to generate (default 1)"},
    {"ids", GIVEN_FLAG, AT(symbols.numbers), 0, 0, NULL,
     "Read the prompt and write the text as the symbols' numbers"},
    {"token-list", GIVEN_TEXT, AT(symbols.token_list), 0, 0, "FILE",
     "The tokens of a model that has none"},
    {"tokenizer", GIVEN_TEXT, AT(symbols.tokenizer), 0, 0, "FILE",
     "Read and write text by this tokenizer, instead of the model's", "bpemodel"},
    {"unit", GIVEN_TEXT, AT(symbols.unit), 0, 0, "char|byte|word",
     "What a symbol is, where the model does not tell"},
    {"seed", GIVEN_WHOLE, AT(seed), 0, 9e15, "N", "Of the choices (default 1)"},
    {"last", GIVEN_FLAG, AT(last), 0, 0, NULL, "The last checkpoint, instead of the best"},
    {"adapter", GIVEN_TEXT, AT(adapter), 0, 0, "RUN",
     "Use the model with what this run trained beside it (--tune)"},
    {"weights", GIVEN_TEXT, AT(weights), 0, 0, "f32|bf16|int8",
     "Keep weights in memory so (default: as the model has them)"},
    {"device", GIVEN_TEXT, AT(device), 0, 0, "auto|cpu|cuda[:I]",
     "Where to compute (default auto)"},
    {"threads", GIVEN_WHOLE, AT(threads), 0, MOST_THREADS, "N",
     "Threads of the CPU (default 0: all)"},
    {0}};

/* Lines of a file have no text before them, and none behind their answers. */
static void check_prompts(const arguments *given, struct argp_state *state)
{
    const struct {
        bool is_given;
        const char *option;
    } others[] = {{given->prompt[0] != '\0', "--prompt"},
                  {given->prompt_file != NULL, "--prompt-file"},
                  {given->interactive, "--interactive"},
                  {given->state != NULL, "--state"},
                  {given->save_state != NULL, "--save-state"},
                  {given->samples > 1, "--samples (a line may be there several times)"}};
    for (size_t i = 0; i < sizeof others / sizeof *others && given->prompts != NULL; i++) {
        if (others[i].is_given) {
            wrong_arguments(state, "--prompts %s: not with %s", given->prompts, others[i].option);
        }
    }
    if (given->batch > 0 && given->prompts == NULL) {
        wrong_arguments(state, "--batch %" PRId64 ": of --prompts FILE, which is not there",
                        given->batch);
    }
}

/* What cannot be asked for together. */
static void check_arguments(const arguments *given, struct argp_state *state)
{
    kept_weights_check(given->weights, state);
    bool from_input = given->prompt_file != NULL && strcmp(given->prompt_file, "-") == 0;
    if (given->prompt[0] != '\0' && given->prompt_file != NULL) {
        wrong_arguments(state, "--prompt or --prompt-file, not both");
    }
    if (given->interactive && from_input) {
        wrong_arguments(state, "--interactive reads standard input, and so does --prompt-file -");
    }
    if (given->samples > 1 && (given->interactive || given->save_state != NULL)) {
        wrong_arguments(state, "--samples %" PRId64 ": one text is written with %s", given->samples,
                        given->interactive ? "--interactive" : "--save-state");
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    error_t error = argument_set(rows, key, text, given);
    if (key == ARGP_KEY_END) {
        check_arguments(given, state);
        check_prompts(given, state);
        return 0;
    }
    return error == ARGP_ERR_UNKNOWN ? parse_argument(key, text, state, "run", &given->run) : error;
}

/* The bytes of a file, to be freed. Its last newline, which editors leave there, is not part of the
 * prompt. */
static mt_status read_prompt_file(const char *path, char **bytes)
{
    size_t size;
    mt_status status = mt_input_read(path, mt_input_most(), bytes, &size);
    if (status == MT_OK && strlen(*bytes) != size) {
        status = mt_fail(MT_ERROR_FORMAT, "%s: a zero byte at %zu", path, strlen(*bytes));
    }
    if (status == MT_OK && size > 0 && (*bytes)[size - 1] == '\n') {
        (*bytes)[size - 1] = '\0';
    }
    return status == MT_OK ? MT_OK : mt_fail(status, "--prompt-file: %s", mt_error_message());
}

/* The prompt's symbols, which the caller frees. */
static mt_status read_prompt(const text_symbols *symbols, const arguments *given, int32_t **ids,
                             int64_t *count)
{
    char *bytes = NULL;
    *ids = NULL;
    mt_status status =
        given->prompt_file != NULL ? read_prompt_file(given->prompt_file, &bytes) : MT_OK;
    if (status != MT_OK) {
        free(bytes);
        return status;
    }
    status = symbols_of(symbols, bytes != NULL ? bytes : given->prompt, ids, count);
    free(bytes);
    if (status != MT_ERROR_FORMAT && status != MT_ERROR_INVALID) { /* it is the tokenizer's */
        return status;
    }
    return given->prompt_file != NULL
               ? mt_fail(status, "--prompt-file %s: %s", given->prompt_file, mt_error_message())
               : mt_fail(status, "--prompt: %s", mt_error_message());
}

/* Texts that begin with one prompt. */
static mt_status write_texts(text_writer *writer, const int32_t *ids, int64_t count,
                             const arguments *given)
{
    mt_status status = writer_feed(writer, ids, count);
    if (status == MT_OK) {
        status = writer_keep(writer);
    }
    for (int64_t i = 0; i < given->samples && status == MT_OK; i++) {
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
    prompt_lines lines = prompts_ask();
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

static mt_status write_with(mt_model *model, const text_symbols *symbols, const text_stop *stop,
                            mt_sampler *sampler, const arguments *given, bool *failed)
{
    text_writer writer;
    mt_status status = writer_open(&writer, model, symbols, stop, sampler);
    if (status == MT_OK) {
        status = write_all(&writer, given, failed);
    }
    writer_close(&writer);
    return status;
}

static mt_status generate(mt_model *model, const text_symbols *symbols, const arguments *given,
                          bool *failed)
{
    text_stop stop;
    mt_sampler *sampler;
    mt_status status = text_stop_find(symbols, given->stop, &stop);
    if (status == MT_OK) {
        status = choices_open(symbols, &stop, &given->choices, (uint64_t)given->seed, &sampler);
    }
    if (status != MT_OK) {
        return status;
    }
    if (given->prompts != NULL) {
        answers_asked asked = {.prompts = given->prompts,
                               .batch = given->batch > 0 ? given->batch : 32,
                               .length = given->length,
                               .seed = (uint64_t)given->seed};
        ending_catch();
        status = answers_write(model, symbols, &stop, sampler, &asked, failed);
    } else {
        status = write_with(model, symbols, &stop, sampler, given, failed);
    }
    mt_sampler_destroy(sampler);
    return status;
}

/* `failed` is set where there is nothing more to tell of what failed. */
static mt_status run(const mt_checkpoint *checkpoint, const arguments *given, bool *failed)
{
    train_session session;
    text_symbols symbols;
    mt_status status = given->save_state != NULL ? stream_check_target(given->save_state) : MT_OK;
    if (status != MT_OK) {
        return status;
    }
    status = symbols_find(checkpoint, given->run, &given->symbols, &symbols);
    if (status == MT_OK) {
        status = session_open_model(checkpoint, checkpoint->weights->dtype, given->device,
                                    (int)given->threads, &session);
    }
    if (status != MT_OK) {
        symbols_free(&symbols);
        return status;
    }
    status = kept_weights_turn(session.model, given->weights);
    if (status == MT_OK) {
        status = generate(session.model, &symbols, given, failed);
    }
    session_close(&session);
    symbols_free(&symbols);
    return status;
}

int verb_generate(int argc, char **argv)
{
    const struct argp argp = {
        .options = argument_options(rows),
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
                       .choices = {.sampling = mt_sampling_default()}};
    parse_arguments(&argp, argc, argv, &given);
    mt_checkpoint *checkpoint;
    bool failed = false;
    mt_status status = session_load_adapted(given.run, given.adapter, !given.last, &checkpoint);
    if (status == MT_OK) {
        status = run(checkpoint, &given, &failed);
        mt_checkpoint_destroy(checkpoint);
    }
    file_list_clear(&given.choices.forbidden);
    if (status == MT_OK && ending_signal() != 0) {
        return ending_status();
    }
    return status == MT_OK && failed ? EXIT_FAILED : report(status);
}
