#include "train/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef enum option_kind { WHOLE, NUMBER, TEXT, CHOICE, FLAG } option_kind;

typedef struct option_row {
    const char *name;
    option_kind kind;
    size_t offset;
    double least, most;  /* WHOLE, NUMBER: both included */
    const char *choices; /* CHOICE: "a|b|c" */
    const char *initial; /* the default, as text */
    const char *argument, *help;
} option_row;

#define AT(field) offsetof(run_config, field)

/* Far above any sensible run; what fits together is checked when the parts are known. */
#define MANY      16777216.0
#define LONG      1e12

static const option_row rows[] = {
    {"blocks", WHOLE, AT(blocks), 1, 1024, NULL, "2", "N", "RWKV blocks"},
    {"size", WHOLE, AT(size), 1, MANY, NULL, "64", "S", "Width of the model"},
    {"attention-size", WHOLE, AT(attention_size), 0, MANY, NULL, "0", "A",
     "Channels of time mixing (0: size)"},
    {"linear-size", WHOLE, AT(linear_size), 0, MANY, NULL, "0", "H",
     "Hidden width of feed-forward (0: 4 size)"},
    {"context-size", WHOLE, AT(context_size), 1, MANY, NULL, "1024", "N",
     "Longest sequence that the model accepts"},
    {"norm", CHOICE, AT(norm), 0, 0, "layer_norm|rms_norm|scale_norm|basic_norm", "layer_norm",
     "NAME", "Normalisation"},
    {"norm-eps", NUMBER, AT(norm_eps), 0, 1e3, NULL, "0", "X", "Its eps (0: ESPnet's default)"},
    {"norm-partial", NUMBER, AT(norm_partial), -1, 1, NULL, "-1", "P",
     "Share of channels in rms_norm's statistic (outside (0, 1): all)"},
    {"time-first", CHOICE, AT(time_first), 0, 0, "espnet|rwkv", "rwkv", "NAME",
     "Initial values of time_first"},
    {"dropout", NUMBER, AT(dropout), 0, 0.999, NULL, "0", "P",
     "Dropout behind embedding, attention and feed-forward"},
    {"embed-dropout", NUMBER, AT(embed_dropout), -1, 0.999, NULL, "-1", "P",
     "Behind the embedding (below 0: --dropout)"},
    {"att-dropout", NUMBER, AT(att_dropout), -1, 0.999, NULL, "-1", "P", "Behind attention, alike"},
    {"ffn-dropout", NUMBER, AT(ffn_dropout), -1, 0.999, NULL, "-1", "P",
     "Behind feed-forward, alike"},
    {"embed-pad", WHOLE, AT(embed_pad), 0, MANY, NULL, "0", "ID",
     "Label whose embedding is zero and never updated (tokens)"},
    {"no-bias", FLAG, AT(no_bias), 0, 0, NULL, "false", NULL,
     "No biases in projections and head, as RWKV-LM and Hugging Face have it"},
    {"init", TEXT, AT(init), 0, 0, NULL, "", "FILE",
     "Begin with the sizes and weights of a checkpoint, or of a file of any layout"},
    {"data", TEXT, AT(data), 0, 0, NULL, "", "FILE",
     "Text, or transcripts, to train on (text, tokens)"},
    {"valid-data", TEXT, AT(valid_data), 0, 0, NULL, "", "FILE",
     "Transcripts to validate on (tokens; else every tenth of --data)"},
    {"token-list", TEXT, AT(token_list), 0, 0, NULL, "", "FILE", "ESPnet token list (tokens)"},
    {"unit", CHOICE, AT(unit), 0, 0, "char|byte|word", "char", "NAME",
     "What a symbol is: char or byte (text), char or word (tokens)"},
    {"length", WHOLE, AT(length), 1, MANY, NULL, "8", "T",
     "Length: symbols of a task, window of a text"},
    {"symbols", WHOLE, AT(symbols), 2, MANY, NULL, "8", "N", "Different symbols of a toy task"},
    {"pairs", WHOLE, AT(pairs), 1, MANY, NULL, "4", "N", "Pairs to remember (recall)"},
    {"delay", WHOLE, AT(delay), 1, MANY, NULL, "4", "N", "Steps of delay (echo)"},
    {"batch", WHOLE, AT(batch), 1, MANY, NULL, "64", "B", "Sequences of a batch"},
    {"steps", WHOLE, AT(steps), 1, LONG, NULL, "1000", "N", "Updates"},
    {"lr", NUMBER, AT(lr), 1e-12, 1e3, NULL, "3e-3", "X", "Peak learning rate"},
    {"lr-final", NUMBER, AT(lr_final), 0, 1, NULL, "0.1", "X",
     "Share of it left at the end (linear, cosine)"},
    {"schedule", CHOICE, AT(schedule), 0, 0, "constant|linear|cosine|warmuplr", "cosine", "NAME",
     "Learning-rate schedule"},
    {"warmup", WHOLE, AT(warmup), 0, LONG, NULL, "50", "N", "Updates of linear warm-up"},
    {"clip", NUMBER, AT(clip), 0, 1e12, NULL, "1", "X",
     "Largest global norm of the gradient (0: no clipping)"},
    {"weight-decay", NUMBER, AT(weight_decay), 0, 1e3, NULL, "0", "X",
     "Decoupled weight decay, of matrices"},
    {"label-smoothing", NUMBER, AT(label_smoothing), 0, 0.999, NULL, "0", "X", "Label smoothing"},
    {"accumulate", WHOLE, AT(accumulate), 1, MANY, NULL, "1", "N",
     "Batches summed into one update"},
    {"eval-every", WHOLE, AT(eval_every), 0, LONG, NULL, "100", "N",
     "Updates between validations (0: at the end)"},
    {"eval-batches", WHOLE, AT(eval_batches), 1, LONG, NULL, "8", "N",
     "Most batches of a validation"},
    {"save-every", WHOLE, AT(save_every), 0, LONG, NULL, "500", "N",
     "Updates between checkpoints (0: at the end)"},
    {"log-every", WHOLE, AT(log_every), 1, LONG, NULL, "10", "N",
     "Updates between rows of metrics.csv"},
    {"patience", WHOLE, AT(patience), 0, LONG, NULL, "0", "N",
     "End after so many validations without a better one (0: never)"},
    {"seed", WHOLE, AT(seed), 0, 9e15, NULL, "1", "N", "Of initial values, data and dropout"},
    {"recompute", FLAG, AT(recompute), 0, 0, NULL, "false", NULL,
     "Keep only each block's output, and compute the rest again in backward"},
    {"device", TEXT, AT(device), 0, 0, NULL, "auto", "NAME", "auto, cpu, cuda or cuda:I"},
    {"dtype", CHOICE, AT(dtype), 0, 0, "f32|f64", "f32", "NAME", "Number type"},
    {"cuda-graph", CHOICE, AT(cuda_graph), 0, 0, "on|off", "on", "on|off",
     "On a CUDA device, record an update once and replay it where shapes repeat"},
    {"tf32", FLAG, AT(tf32), 0, 0, NULL, "false", NULL,
     "On a CUDA device, let matrix products round f32 to TF32"},
    {"threads", WHOLE, AT(threads), 0, 4096, NULL, "0", "N", "Threads of the CPU (0: all)"},
    {"out", TEXT, AT(out), 0, 0, NULL, "", "DIR", "The run's folder (else runs/TASK-N)"},
};

enum { ROWS = sizeof rows / sizeof *rows };

static const option_row *find_row(const char *name)
{
    for (int i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = choices; *at != '\0'; at += strspn(at, "|")) {
        size_t width = strcspn(at, "|");
        if (width == length && strncmp(at, text, length) == 0) {
            return true;
        }
        at += width;
    }
    return false;
}

static mt_status out_of_range(const option_row *row, const char *text)
{
    return mt_fail(MT_ERROR_INVALID, "--%s %s: not a%s number in %.12g .. %.12g", row->name, text,
                   row->kind == WHOLE ? " whole" : "", row->least, row->most);
}

static mt_status set_number(const option_row *row, const char *text, void *field)
{
    char *end;
    errno = 0;
    if (row->kind == WHOLE) {
        long long value = strtoll(text, &end, 10);
        if (*text == '\0' || *end != '\0' || errno != 0 || (double)value < row->least ||
            (double)value > row->most) {
            return out_of_range(row, text);
        }
        *(int64_t *)field = value;
        return MT_OK;
    }
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value >= row->least && value <= row->most)) {
        return out_of_range(row, text);
    }
    *(double *)field = value;
    return MT_OK;
}

static mt_status set_text(const option_row *row, const char *text, char *field)
{
    if (strlen(text) >= TEXT_MAX) {
        return mt_fail(MT_ERROR_INVALID, "--%s %.32s...: longer than %d bytes", row->name, text,
                       TEXT_MAX - 1);
    }
    if (row->kind == CHOICE && !is_choice(row->choices, text)) {
        return mt_fail(MT_ERROR_INVALID, "--%s %s: none of %s", row->name, text, row->choices);
    }
    memmove(field, text, strlen(text) + 1);
    return MT_OK;
}

static mt_status set_flag(const option_row *row, const char *text, bool *field)
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        return mt_fail(MT_ERROR_INVALID, "--%s %s: neither true nor false", row->name, text);
    }
    *field = strcmp(text, "true") == 0;
    return MT_OK;
}

static mt_status set_row(const option_row *row, run_config *config, const char *text)
{
    void *field = (char *)config + row->offset;
    switch (row->kind) {
    case WHOLE:
    case NUMBER:
        return set_number(row, text, field);
    case TEXT:
    case CHOICE:
        return set_text(row, text, field);
    case FLAG:
        return set_flag(row, text, field);
    }
    return MT_OK;
}

mt_status options_set(run_config *config, const char *name, const char *text)
{
    const option_row *row = find_row(name);
    return row != NULL ? set_row(row, config, text)
                       : mt_fail(MT_ERROR_INVALID, "there is no option '%s'", name);
}

void options_defaults(run_config *config)
{
    memset(config, 0, sizeof *config);
    for (int i = 0; i < ROWS; i++) {
        set_row(&rows[i], config, rows[i].initial);
    }
}

const char *options_name(int key)
{
    return key >= OPTION_KEY && key < OPTION_KEY + ROWS ? rows[key - OPTION_KEY].name : NULL;
}

const struct argp_option *options_argp(void)
{
    static struct argp_option table[ROWS + 1];
    static char help[ROWS][256];
    for (int i = 0; i < ROWS; i++) {
        const option_row *row = &rows[i];
        bool shows_default = row->initial[0] != '\0' && row->kind != FLAG;
        snprintf(help[i], sizeof help[i], "%s%s%s%s%s%s%s", row->help,
                 row->choices != NULL ? ": " : "", row->choices != NULL ? row->choices : "",
                 shows_default ? " (default " : "", shows_default ? row->initial : "",
                 shows_default ? ")" : "", "");
        table[i] = (struct argp_option){.name = row->name,
                                        .key = OPTION_KEY + i,
                                        .arg = row->kind == FLAG ? NULL : row->argument,
                                        .doc = help[i]};
    }
    return table;
}

/* ---- YAML ---- */

static const char *row_text(const option_row *row, const run_config *config, char text[TEXT_MAX])
{
    const void *field = (const char *)config + row->offset;
    switch (row->kind) {
    case WHOLE:
        snprintf(text, TEXT_MAX, "%" PRId64, *(const int64_t *)field);
        break;
    case NUMBER:
        snprintf(text, TEXT_MAX, "%.17g", *(const double *)field);
        break;
    case TEXT:
    case CHOICE:
        snprintf(text, TEXT_MAX, "%s", (const char *)field);
        break;
    case FLAG:
        snprintf(text, TEXT_MAX, "%s", *(const bool *)field ? "true" : "false");
        break;
    }
    return text;
}

/* Text that grows as libyaml writes it. */
typedef struct growing_text {
    char *bytes;
    size_t size;
} growing_text;

static int append_bytes(void *data, unsigned char *bytes, size_t size)
{
    growing_text *text = data;
    char *grown = realloc(text->bytes, text->size + size + 1);
    if (grown == NULL) {
        return 0;
    }
    memcpy(grown + text->size, bytes, size);
    text->bytes = grown;
    text->size += size;
    text->bytes[text->size] = '\0';
    return 1;
}

static bool emit_scalar(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                        (int)strlen(text), 1, 1, style) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit_pair(yaml_emitter_t *emitter, const char *name, const char *text, bool quoted)
{
    return emit_scalar(emitter, name, YAML_PLAIN_SCALAR_STYLE) &&
           emit_scalar(emitter, text,
                       quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE);
}

static bool emit_config(yaml_emitter_t *emitter, const run_config *config)
{
    yaml_event_t event;
    char text[TEXT_MAX];
    if (!yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) ||
        !yaml_emitter_emit(emitter, &event) ||
        !yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) ||
        !yaml_emitter_emit(emitter, &event) ||
        !yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(emitter, &event) || !emit_pair(emitter, "task", config->task, false)) {
        return false;
    }
    for (int i = 0; i < ROWS; i++) {
        if (!emit_pair(emitter, rows[i].name, row_text(&rows[i], config, text),
                       rows[i].kind == TEXT)) {
            return false;
        }
    }
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(emitter, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

mt_status options_write_yaml(const run_config *config, char **text)
{
    yaml_emitter_t emitter;
    growing_text written = {NULL, 0};
    *text = NULL;
    if (!yaml_emitter_initialize(&emitter)) {
        return mt_fail(MT_ERROR_MEMORY, "config: no memory for a YAML emitter");
    }
    yaml_emitter_set_output(&emitter, append_bytes, &written);
    bool whole = emit_config(&emitter, config) && written.bytes != NULL;
    yaml_emitter_delete(&emitter);
    if (!whole) {
        free(written.bytes);
        return mt_fail(MT_ERROR_MEMORY, "config: no memory to write it");
    }
    *text = written.bytes;
    return MT_OK;
}

static mt_status set_pair(run_config *config, const yaml_node_t *key, const yaml_node_t *value)
{
    if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE) {
        return mt_fail(MT_ERROR_FORMAT, "config: line %zu is not `name: value`",
                       key->start_mark.line + 1);
    }
    const char *name = (const char *)key->data.scalar.value,
               *text = (const char *)value->data.scalar.value;
    if (strcmp(name, "task") == 0) {
        snprintf(config->task, TEXT_MAX, "%s", text);
        return MT_OK;
    }
    mt_status status = options_set(config, name, text);
    return status == MT_OK ? MT_OK
                           : mt_fail(MT_ERROR_FORMAT, "config: line %zu: %s",
                                     key->start_mark.line + 1, mt_error_message());
}

static mt_status set_all(run_config *config, yaml_document_t *document)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        return mt_fail(MT_ERROR_FORMAT, "config: not lines of `name: value`");
    }
    mt_status status = MT_OK;
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top && status == MT_OK; pair++) {
        status = set_pair(config, yaml_document_get_node(document, pair->key),
                          yaml_document_get_node(document, pair->value));
    }
    return status;
}

mt_status options_read_yaml(run_config *config, const char *text)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser)) {
        return mt_fail(MT_ERROR_MEMORY, "config: no memory for a YAML parser");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    mt_status status;
    if (!yaml_parser_load(&parser, &document)) {
        status = mt_fail(MT_ERROR_FORMAT, "config: line %zu: %s", parser.problem_mark.line + 1,
                         parser.problem != NULL ? parser.problem : "not YAML");
    } else {
        status = set_all(config, &document);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return status;
}
