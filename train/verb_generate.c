/* mixtape generate RUN: samples from a language model, one symbol at a time, with the carried
 * state. */
#include "io/text.h"
#include "train/arguments.h"
#include "train/numbers.h"
#include "train/options.h"
#include "train/session.h"
#include "train/verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    const char *run, *prompt, *device;
    bool last;
    long long length, top_k, seed;
    double temperature;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    mt_status status = MT_OK;
    switch (key) {
    case 'l':
        given->last = true;
        break;
    case 'p':
        given->prompt = text;
        break;
    case 'n':
        status = parse_whole("length", text, 1, 1000000000, &given->length);
        break;
    case 'k':
        status = parse_whole("top-k", text, 0, 1 << 24, &given->top_k);
        break;
    case 's':
        status = parse_whole("seed", text, 0, 9000000000000000, &given->seed);
        break;
    case 't':
        status = parse_real("temperature", text, 0.0, 100.0, &given->temperature);
        break;
    case 'd':
        given->device = text;
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

/* Sampling at work: the model's state between two symbols, and its latest prediction. */
typedef struct text_sampler {
    train_session *session;
    const arguments *given;
    mt_model_state state;
    void *carried; /* host memory of the state; fresh: nothing carried yet */
    bool fresh;
    double *logits;
    int32_t *order; /* by logit, for top-k */
    mt_random random;
} text_sampler;

static mt_status sampler_open(text_sampler *sampler, train_session *session, const arguments *given)
{
    size_t V = (size_t)session->model->config.output_size;
    sampler->session = session;
    sampler->given = given;
    sampler->fresh = true;
    sampler->random = mt_random_make((uint64_t)given->seed, 0);
    sampler->carried = malloc(mt_model_state_bytes(session->model, 1));
    sampler->logits = malloc(V * sizeof *sampler->logits);
    sampler->order = malloc(V * sizeof *sampler->order);
    if (sampler->carried == NULL || sampler->logits == NULL || sampler->order == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "generate: no memory for the model's state");
    }
    return mt_model_state_create(session->model, &sampler->state);
}

static void sampler_close(text_sampler *sampler)
{
    mt_model_state_destroy(&sampler->state);
    free(sampler->carried);
    free(sampler->logits);
    free(sampler->order);
}

/* Feeds one symbol and leaves the prediction of the next in `logits`. */
static mt_status sampler_feed(text_sampler *sampler, int32_t symbol)
{
    mt_tape *tape = sampler->session->tape;
    mt_model *model = sampler->session->model;
    mt_tape_reset(tape);
    memset(sampler->state.blocks, 0,
           (size_t)sampler->state.num_blocks * sizeof *sampler->state.blocks);
    mt_status status = MT_OK;
    if (!sampler->fresh) {
        status = mt_model_state_load(model, tape, 1, sampler->carried, &sampler->state);
    }
    if (status != MT_OK) {
        return status;
    }
    mt_tensor *label = mt_tape_input(tape, MT_I32, 2, (int64_t[]){1, 1}, &symbol, false);
    mt_tensor *output = mt_model_decode(tape, model, label, &sampler->state, false);
    mt_tensor *logits = mt_model_head(tape, model, output);
    if (logits == NULL) {
        return mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
    }
    status = mt_model_state_save(model, &sampler->state, 1, sampler->carried);
    sampler->fresh = false;
    return status == MT_OK ? tensor_read_doubles(logits, sampler->logits) : status;
}

static int by_logit(const void *a, const void *b, void *context)
{
    const double *logits = context;
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return logits[left] != logits[right] ? (logits[left] < logits[right] ? 1 : -1) : left - right;
}

/* Draws from softmax(logits / temperature) over the most likely `top_k`; temperature 0 takes the
 * most likely. */
static int32_t sampler_draw(text_sampler *sampler)
{
    int64_t V = sampler->session->model->config.output_size;
    int64_t kept =
        sampler->given->top_k > 0 && sampler->given->top_k < V ? sampler->given->top_k : V;
    double temperature = sampler->given->temperature;
    for (int32_t i = 0; i < V; i++) {
        sampler->order[i] = i;
    }
    qsort_r(sampler->order, (size_t)V, sizeof *sampler->order, by_logit, sampler->logits);
    if (temperature == 0.0) {
        return sampler->order[0];
    }
    double largest = sampler->logits[sampler->order[0]], sum = 0.0;
    for (int64_t i = 0; i < kept; i++) {
        sum += exp((sampler->logits[sampler->order[i]] - largest) / temperature);
    }
    double left = mt_random_uniform(&sampler->random) * sum;
    int64_t i = 0;
    for (; i < kept - 1; i++) {
        left -= exp((sampler->logits[sampler->order[i]] - largest) / temperature);
        if (left < 0.0) {
            break;
        }
    }
    return sampler->order[i];
}

/* How a run's symbols are written, and what its sequences begin with. */
typedef struct text_symbols {
    const mt_token_list *tokens;
    bool transcripts; /* sequences begin with the blank, 0 */
    bool words;
    mt_text_unit unit;
} text_symbols;

static void print_symbol(const text_symbols *vocabulary, int32_t symbol)
{
    char bytes[8];
    if (!vocabulary->transcripts) {
        fwrite(bytes, 1, mt_text_decode(vocabulary->tokens, vocabulary->unit, symbol, bytes),
               stdout);
    } else if (strcmp(vocabulary->tokens->tokens[symbol], "<space>") == 0) {
        fputc(' ', stdout);
    } else {
        printf("%s%s", vocabulary->tokens->tokens[symbol], vocabulary->words ? " " : "");
    }
    fflush(stdout);
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
                             const char *prompt)
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
        print_symbol(vocabulary, ids[i]);
        status = sampler_feed(sampler, ids[i]);
    }
    free(ids);
    return status;
}

static mt_status generate(train_session *session, const text_symbols *vocabulary,
                          const arguments *given)
{
    text_sampler sampler = {0};
    mt_tape_set_recording(session->tape, false);
    mt_status status = sampler_open(&sampler, session, given);
    if (status == MT_OK) {
        status = feed_prompt(&sampler, vocabulary, given->prompt);
    }
    for (long long i = 0; i < given->length && status == MT_OK; i++) {
        int32_t symbol = sampler_draw(&sampler);
        print_symbol(vocabulary, symbol);
        status = i < given->length - 1 ? sampler_feed(&sampler, symbol) : MT_OK;
    }
    if (status == MT_OK) {
        printf("\n");
    }
    sampler_close(&sampler);
    return status;
}

static mt_status run(const mt_checkpoint *checkpoint, const arguments *given)
{
    run_config config;
    train_session session;
    mt_status status = session_config_of(given->run, checkpoint, &config);
    if (status != MT_OK) {
        return status;
    }
    if (checkpoint->tokens == NULL) {
        return mt_fail(MT_ERROR_INVALID, "%s: a model of the task %s has no text to generate",
                       given->run, config.task);
    }
    text_symbols vocabulary = {.tokens = checkpoint->tokens,
                               .transcripts = strcmp(config.task, "tokens") == 0,
                               .words = strcmp(config.unit, "word") == 0,
                               .unit =
                                   strcmp(config.unit, "byte") == 0 ? MT_TEXT_BYTE : MT_TEXT_CHAR};
    status = session_open_model(checkpoint, given->device, 0, &session);
    if (status != MT_OK) {
        return status;
    }
    status = generate(&session, &vocabulary, given);
    session_close(&session);
    return status;
}

int verb_generate(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"prompt", 'p', "TEXT", 0, "What the text begins with", 0},
        {"length", 'n', "N", 0, "Symbols to generate (default 500)", 0},
        {"temperature", 't', "X", 0, "Below 1 bolder choices are made, 0 the likeliest (default 1)",
         0},
        {"top-k", 'k', "N", 0, "Choose among the N likeliest (default 0: all)", 0},
        {"seed", 's', "N", 0, "Of the choices (default 1)", 0},
        {"last", 'l', NULL, 0, "The last checkpoint, instead of the best", 0},
        {"device", 'd', "NAME", 0, "auto, cpu, cuda or cuda:I (default auto)", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN",
        .doc = "Samples text from the model of a run, streaming, with the carried state."};
    arguments given = {
        .prompt = "", .device = "auto", .length = 500, .seed = 1, .temperature = 1.0};
    parse_arguments(&argp, argc, argv, &given);
    char path[TEXT_MAX];
    mt_checkpoint *checkpoint;
    mt_status status = session_find_model(given.run, !given.last, path);
    if (status == MT_OK) {
        status = mt_checkpoint_load(path, &checkpoint);
    }
    if (status == MT_OK) {
        status = run(checkpoint, &given);
        mt_checkpoint_destroy(checkpoint);
    }
    return report(status);
}
