/* mixtape generate RUN: samples from a language model, one symbol at a time, with the carried
 * state. */
#include <mixtape/text.h>

#include "train/command/arguments.h"
#include "train/command/lines.h"
#include "train/command/options.h"
#include "train/command/sampler.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    const char *run, *prompt, *device;
    bool last;
    long long length, top_k, seed, threads;
    double temperature;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    mt_status status = MT_OK;
    switch (key) {
    case LONG_ONLY + 'l':
        given->last = true;
        break;
    case LONG_ONLY + 'p':
        given->prompt = text;
        break;
    case LONG_ONLY + 'n':
        status = parse_whole("length", text, 1, 1000000000, &given->length);
        break;
    case LONG_ONLY + 'k':
        status = parse_whole("top-k", text, 0, 1 << 24, &given->top_k);
        break;
    case LONG_ONLY + 's':
        status = parse_whole("seed", text, 0, 9000000000000000, &given->seed);
        break;
    case LONG_ONLY + 't':
        status = parse_real("temperature", text, 0.0, 100.0, &given->temperature);
        break;
    case LONG_ONLY + 'd':
        given->device = text;
        break;
    case LONG_ONLY + 'T':
        status = parse_whole("threads", text, 0, 4096, &given->threads);
        break;
    case ARGP_KEY_ARG:
        if (given->run != NULL) {
            wrong_arguments(state, "one run is enough");
        }
        given->run = text;
        break;
    case ARGP_KEY_NO_ARGS:
        wrong_arguments(state, "name a run");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (status != MT_OK) {
        exit(report_usage(mt_error_message()));
    }
    return 0;
}

/* The way in which a run's symbols are written, and what its sequences begin with. */
typedef struct text_symbols {
    const mt_token_list *tokens;
    bool transcripts; /* sequences begin with the blank, 0 */
    bool words;
    mt_text_unit unit;
} text_symbols;

static void put_symbol(const text_symbols *vocabulary, int32_t symbol, text_output *output)
{
    const char *token = vocabulary->tokens->tokens[symbol];
    if (!vocabulary->transcripts) {
        size_t length;
        const char *bytes = mt_text_decode(vocabulary->tokens, vocabulary->unit, symbol, &length);
        text_output_put(output, bytes, length);
    } else if (strcmp(token, "<space>") == 0) {
        text_output_put(output, " ", 1);
    } else {
        text_output_put(output, token, strlen(token));
        text_output_put(output, " ", vocabulary->words ? 1 : 0);
    }
}

static mt_status encode_prompt(const text_symbols *vocabulary, const char *prompt, int32_t **ids,
                               int64_t *count)
{
    mt_text text;
    if (vocabulary->transcripts) {
        return mt_token_encode(vocabulary->tokens,
                               vocabulary->words ? MT_TOKEN_WORD : MT_TOKEN_CHAR, prompt, ids,
                               count);
    }
    mt_status status =
        mt_text_encode(prompt, strlen(prompt), vocabulary->unit, vocabulary->tokens, &text);
    *ids = text.ids;
    *count = text.length;
    return status;
}

static mt_status feed_prompt(text_sampler *sampler, const text_symbols *vocabulary,
                             const char *prompt, text_output *output)
{
    int32_t *ids;
    int64_t count;
    mt_status status = encode_prompt(vocabulary, prompt, &ids, &count);
    if (status != MT_OK) {
        return mt_fail(status, "--prompt: %s", mt_error_message());
    }
    if (vocabulary->transcripts || count == 0) {
        status = sampler_feed(sampler, 0);
    }
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        put_symbol(vocabulary, ids[i], output);
        status = sampler_feed(sampler, ids[i]);
    }
    free(ids);
    return status;
}

static mt_status generate(train_session *session, const text_symbols *vocabulary,
                          const arguments *given)
{
    text_sampler sampler;
    text_output output = text_output_make(stdout);
    mt_status status =
        sampler_open(&sampler, session->model, given->temperature, given->top_k, given->seed);
    if (status == MT_OK) {
        status = feed_prompt(&sampler, vocabulary, given->prompt, &output);
    }
    for (long long i = 0; i < given->length && status == MT_OK && !ferror(stdout); i++) {
        int32_t symbol = sampler_draw(&sampler);
        put_symbol(vocabulary, symbol, &output);
        status = i < given->length - 1 ? sampler_feed(&sampler, symbol) : MT_OK;
    }
    if (status == MT_OK) {
        text_output_end(&output);
    }
    sampler_close(&sampler);
    return status;
}

/* Tells if most tokens, but for symbols like <unk>, are of more than one character. */
static bool are_words(const mt_token_list *tokens)
{
    int32_t words = 0, all = 0;
    for (int32_t i = 0; i < tokens->count; i++) {
        size_t characters = 0;
        for (const char *at = tokens->tokens[i]; *at != '\0'; at++) {
            characters += ((unsigned char)*at & 0xC0) != 0x80; /* the first byte of one in UTF-8 */
        }
        all += tokens->tokens[i][0] != '<';
        words += tokens->tokens[i][0] != '<' && characters > 1;
    }
    return 2 * words > all;
}

/* A model's symbols are written as its run's configuration says or, where it comes without one, by
 * its tokens: those of transcripts begin with <blank>, those of bytes with <0x00>. */
static mt_status find_symbols(const mt_checkpoint *checkpoint, const arguments *given,
                              text_symbols *symbols)
{
    const mt_token_list *tokens = checkpoint->weights->tokens;
    if (tokens == NULL) {
        return mt_fail(MT_ERROR_INVALID, "%s: it has no token list, so no text to generate",
                       given->run);
    }
    *symbols = (text_symbols){.tokens = tokens};
    if (checkpoint->run_config != NULL) {
        run_config config;
        const train_task *task;
        mt_status status = session_config_of(given->run, checkpoint, &config);
        if (status == MT_OK) {
            status = task_find(config.task, &task);
        }
        if (status == MT_OK) {
            symbols->transcripts = task->transcripts;
            symbols->words = config.unit == UNIT_WORD;
            symbols->unit = config.unit == UNIT_BYTE ? MT_TEXT_BYTE : MT_TEXT_CHAR;
        }
        return status;
    }
    symbols->transcripts = strcmp(tokens->tokens[0], "<blank>") == 0;
    symbols->unit = strcmp(tokens->tokens[0], "<0x00>") == 0 ? MT_TEXT_BYTE : MT_TEXT_CHAR;
    symbols->words = are_words(tokens);
    return MT_OK;
}

static mt_status run(const mt_checkpoint *checkpoint, const arguments *given)
{
    train_session session;
    text_symbols symbols;
    mt_status status = find_symbols(checkpoint, given, &symbols);
    if (status == MT_OK && checkpoint->weights->config.output_size == 0) {
        status =
            mt_fail(MT_ERROR_INVALID, "%s: it has no head, so no text to generate", given->run);
    }
    if (status == MT_OK) {
        status = session_open_model(checkpoint, given->device, (int)given->threads, &session);
    }
    if (status != MT_OK) {
        return status;
    }
    status = generate(&session, &symbols, given);
    session_close(&session);
    return status;
}

int verb_generate(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"prompt", LONG_ONLY + 'p', "TEXT", 0,
         "What the text begins with: tokens with blanks between them where the unit is word", 0},
        {"length", LONG_ONLY + 'n', "N", 0, "Symbols to generate (default 500)", 0},
        {"temperature", LONG_ONLY + 't', "X", 0,
         "Below 1 favours likely symbols, 0 takes the likeliest (default 1)", 0},
        {"top-k", LONG_ONLY + 'k', "N", 0, "Choose among the N likeliest (default 0: all)", 0},
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
    arguments given = {
        .prompt = "", .device = "auto", .length = 500, .seed = 1, .temperature = 1.0};
    parse_arguments(&argp, argc, argv, &given);
    mt_checkpoint *checkpoint;
    mt_status status = session_load_model(given.run, !given.last, &checkpoint);
    if (status == MT_OK) {
        status = run(checkpoint, &given);
        mt_checkpoint_destroy(checkpoint);
    }
    return report(status);
}
