#include "train/command/measure_shown.h"

#include <mixtape/model_fields.h>

#include "io/utf8.h"
#include "train/command/arguments.h"
#include "train/command/data_names.h"
#include "train/command/figures.h"
#include "train/command/kept_weights.h"
#include "train/command/lines.h"
#include "train/command/measure.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The score as an object, what is no text or not finite being null; NULL without memory. */
static json_t *json_of_score(const char *utterance, const mt_score *score, int64_t unknown)
{
    bool is_text = *mt_utf8_end(utterance) == '\0', is_finite = isfinite(score->log_likelihood);
    return json_pack("{s:o, s:o, s:I, s:I}", "utterance",
                     is_text ? json_string(utterance) : json_null(), "log_likelihood",
                     is_finite ? json_real(score->log_likelihood) : json_null(), "tokens",
                     (json_int_t)score->counted, "unknown", (json_int_t)unknown);
}

static mt_status tell_json(const char *utterance, const mt_score *score, int64_t unknown)
{
    json_t *object = json_of_score(utterance, score, unknown);
    bool written = object != NULL && json_dumpf(object, stdout, JSON_REAL_PRECISION(12)) == 0;
    json_decref(object);
    return written || ferror(stdout)
               ? MT_OK
               : mt_fail(MT_ERROR_MEMORY, "%s: no memory for its score as JSON", utterance);
}

/* "ID log-likelihood tokens", or the same as an object of JSON on a line. */
static mt_status tell(void *context, const char *utterance, const mt_score *score, int64_t unknown)
{
    const eval_arguments *given = context;
    text_output output = text_output_make(stdout);
    if (given->json) {
        mt_status status = tell_json(utterance, score, unknown);
        if (status != MT_OK) {
            return status;
        }
    } else {
        char figures[64];
        int length = snprintf(figures, sizeof figures, " %.6f %lld", score->log_likelihood,
                              (long long)score->counted);
        text_output_put(&output, utterance, strlen(utterance));
        text_output_put(&output, figures, (size_t)length);
    }
    text_output_end(&output);
    if (ferror(stdout)) {
        exit(EXIT_FAILED); /* which tells why */
    }
    return MT_OK;
}

/* What files hold. */
typedef struct file_kind {
    char task[TEXT_MAX]; /* "": the tokens have to tell */
    mt_ids_raw ids_type;
} file_kind;

/* A file that is no file of token ids by its name: the two of an index are named together, too. */
static bool looks_like_text(const char *name)
{
    const char *end = strrchr(name, '.');
    bool is_index = end != NULL && strcmp(end, ".idx") == 0;
    return strcmp(name, "-") == 0 ||
           (access(name, F_OK) == 0 && !is_index && !mt_token_ids_are_in(name));
}

/* A file that is not there is of either kind: whoever reads it complains. */
typedef enum name_kind { NAME_UNKNOWN, NAME_TEXT, NAME_IDS } name_kind;

static name_kind kind_of_name(const char *name)
{
    if (looks_like_text(name)) {
        return NAME_TEXT;
    }
    char *path = mt_token_ids_absolute(name);
    bool is_there = path != NULL || access(name, F_OK) == 0;
    free(path);
    return is_there ? NAME_IDS : NAME_UNKNOWN;
}

/* A model with a tokenizer reads text and ids, but all files as one of them. */
static mt_status find_kind_of_names(const file_list *names, name_kind *kind)
{
    const char *first = NULL;
    *kind = NAME_UNKNOWN;
    for (int64_t i = 0; i < names->count; i++) {
        const char *name = names->names[i];
        name_kind found = kind_of_name(name);
        if (found != NAME_UNKNOWN && *kind == NAME_UNKNOWN) {
            *kind = found;
            first = name;
        }
        if (found != NAME_UNKNOWN && found != *kind) {
            return mt_fail(MT_ERROR_INVALID,
                           "--data %s: %s, where %s is %s (measure them apart, or --task text|ids "
                           "says what all are)",
                           name, found == NAME_TEXT ? "text" : "token ids", first,
                           found == NAME_TEXT ? "token ids" : "text");
        }
    }
    return MT_OK;
}

/* What the options name, else what the run was trained on. */
static mt_status find_kind(const mt_checkpoint *checkpoint, const eval_arguments *given,
                           file_kind *kind)
{
    run_config config;
    mt_status status = MT_OK;
    const char *asked = given->symbols.task != NULL ? given->symbols.task : "";
    *kind = (file_kind){.ids_type = MT_IDS_UNSAID};
    if (checkpoint->run_config != NULL) {
        status = session_config_of(given->model, checkpoint, &config);
        snprintf(kind->task, sizeof kind->task, "%s", config.task);
        kind->ids_type = config.ids_type;
        run_config_clear(&config);
    }
    const mt_token_list *tokens = checkpoint->weights->tokens;
    bool reads_transcripts = tokens != NULL && strcmp(tokens->tokens[0], "<blank>") == 0;
    bool has_tokenizer =
        given->symbols.tokenizer != NULL || checkpoint->weights->tokenizer.bytes != NULL;
    if (asked[0] != '\0') {
        snprintf(kind->task, sizeof kind->task, "%s", asked);
    } else if (has_tokenizer && status == MT_OK) {
        name_kind found;
        status = find_kind_of_names(&given->data, &found);
        if (found == NAME_TEXT && !reads_transcripts) { /* which becomes ids */
            snprintf(kind->task, sizeof kind->task, "text");
        }
    }
    if (given->ids_type != NULL) {
        kind->ids_type = (mt_ids_raw)mt_choice_find(mt_ids_raw_name, given->ids_type);
    }
    return status != MT_OK || kind->task[0] == '\0' || measure_has_kind(kind->task)
               ? status
               : mt_fail(MT_ERROR_INVALID, "--data %s: %s does not read it (--task %s)",
                         given->data.names[0], kind->task, measure_kinds);
}

/* An option's symbol, -1 where it is empty. */
static mt_status find_symbol(const text_symbols *symbols, const char *option, const char *text,
                             int32_t *symbol)
{
    if (text == NULL) {
        return MT_OK;
    }
    *symbol = -1;
    if (text[0] == '\0') {
        return MT_OK;
    }
    mt_status status = symbols_one(symbols, text, symbol);
    if (status != MT_OK) {
        return mt_fail(status, "--%s: %s", option, mt_error_message());
    }
    if (!symbols->numbers) { /* a text that looks like a number is none */
        print_line(stderr, "--%s '%s': the symbol with id %" PRId32, option, text, *symbol);
    }
    return MT_OK;
}

static mt_status show(const measured *sums, const char *kind, const eval_arguments *given)
{
    figure_list shown = {0};
    const mt_score *score = &sums->score;
    const mt_text_counts *counts = &sums->counts;
    double nats = -score->log_likelihood, loss = nats / (double)score->counted;
    bool is_text = sums->has_text && counts->is_text;
    figures_add(&shown, "loss", loss, 6);
    figures_add(&shown, "perplexity", exp(loss), 4);
    if (is_text && counts->words > 0) {
        figures_add(&shown, "word_perplexity", exp(nats / (double)counts->words), 4);
    }
    if (is_text && counts->characters > 0) {
        figures_add(&shown, "character_perplexity", exp(nats / (double)counts->characters), 4);
    }
    if (sums->has_text && counts->bytes > 0) {
        figures_add(&shown, "bits_per_byte", nats / log(2.0) / (double)counts->bytes, 6);
    }
    figures_add(&shown, "accuracy", (double)score->hits / (double)score->counted, 6);
    figures_add(&shown, "counted", (double)score->counted, 0);
    if (is_text) {
        figures_add(&shown, "words", (double)counts->words, 0);
        figures_add(&shown, "characters", (double)counts->characters, 0);
    }
    if (sums->has_text) {
        figures_add(&shown, "bytes", (double)counts->bytes, 0);
    }
    figures_add(&shown, "documents", (double)sums->documents, 0);
    if (strcmp(kind, "tokens") == 0) {
        figures_add(&shown, "unknown", (double)sums->unknown, 0);
    }
    const char *const texts[] = {"model", given->model, "task", kind, NULL};
    return figures_print(&shown, given->json, texts);
}

/* Lines of scores stay what programs of rescoring read; what they do not say is told beside. */
static void tell_unknown(const measured *sums, const eval_arguments *given)
{
    if (sums->unknown > 0) {
        print_line(stderr,
                   "symbols that are not in the token list, scored as <unk>: %" PRId64
                   ", in %" PRId64 " of %" PRId64 " utterances%s",
                   sums->unknown, sums->with_unknown, sums->documents,
                   given->json ? "" : " (--json tells how many of each)");
    }
}

/* Label 0, the blank, comes before what models of transcripts have learnt; others begin with what
 * is there. */
static mt_status measure_model(mt_model *model, const file_kind *kind, const text_symbols *symbols,
                               const eval_arguments *given)
{
    file_measure measure = {.symbols = symbols,
                            .start = symbols->transcripts ? 0 : -1,
                            .end = -1,
                            .ids_type = kind->ids_type,
                            .tell = given->per_utterance ? tell : NULL,
                            .context = (void *)(uintptr_t)given};
    mt_status status = find_symbol(symbols, "start", given->start, &measure.start);
    if (status == MT_OK) {
        status = find_symbol(symbols, "end", given->end, &measure.end);
    }
    mt_scoring scoring = {measure.start, given->window, given->batch};
    if (given->window > model->config.context_size) { /* which bounds a call, and no text */
        mt_model_set_context_size(model, given->window);
    }
    if (status == MT_OK) {
        status = mt_scorer_create(model, &scoring, &measure.scorer);
    }
    if (status == MT_OK) {
        status = measure_files(&measure, kind->task, &given->data);
    }
    if (status == MT_OK && given->per_utterance) {
        tell_unknown(&measure.sums, given);
    } else if (status == MT_OK) {
        status = show(&measure.sums, kind->task, given);
    }
    mt_scorer_destroy(measure.scorer);
    return status;
}

static mt_status open_and_measure(const mt_checkpoint *checkpoint, const file_kind *kind,
                                  const text_symbols *symbols, const eval_arguments *given)
{
    train_session session;
    long long threads = 0;
    if (given->per_utterance && strcmp(kind->task, "tokens") != 0) {
        return mt_fail(MT_ERROR_INVALID, "--per-utterance: %s has none (--task tokens has)",
                       kind->task);
    }
    if (given->ids_type != NULL && strcmp(kind->task, "ids") != 0) {
        return mt_fail(MT_ERROR_INVALID, "--ids-type %s: %s does not read it (--task ids does)",
                       given->ids_type, kind->task);
    }
    mt_status status = given->threads != NULL ? parse_threads(given->threads, &threads) : MT_OK;
    if (status == MT_OK) {
        status = session_open_model(checkpoint, checkpoint->weights->dtype,
                                    given->device != NULL ? given->device : "auto", (int)threads,
                                    &session);
    }
    if (status != MT_OK) {
        return status;
    }
    status = kept_weights_turn(session.model, given->weights);
    if (status == MT_OK) {
        status = measure_model(session.model, kind, symbols, given);
    }
    session_close(&session);
    return status;
}

mt_status evaluate_files(const mt_checkpoint *checkpoint, const eval_arguments *given)
{
    text_symbols symbols;
    file_kind kind;
    symbols_asked asked = given->symbols;
    char note[DATA_NAMES_NOTE];
    mt_status status = data_names_check(&given->data, NULL, note);
    if (status == MT_OK) {
        status = find_kind(checkpoint, given, &kind);
    }
    if (status != MT_OK) {
        return status;
    }
    asked.numbers = strcmp(kind.task, "ids") == 0;
    if (note[0] != '\0' && !asked.numbers) { /* of ids none may stand there twice */
        print_line(stderr, "%s", note);
    }
    status = symbols_find(checkpoint, given->model, &asked, &symbols);
    if (kind.task[0] == '\0') {
        snprintf(kind.task, sizeof kind.task, "%s", symbols.transcripts ? "tokens" : "text");
    }
    if (status == MT_OK) {
        status = open_and_measure(checkpoint, &kind, &symbols, given);
    }
    symbols_free(&symbols);
    return status;
}
