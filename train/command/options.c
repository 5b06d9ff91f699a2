#include "train/command/options.h"

#include "train/command/arguments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind { WHOLE, NUMBER, TEXT, CHOICE, FLAG } option_kind;

typedef struct option_row {
    const char *name;
    option_kind kind;
    size_t offset;
    double least, most;  /* WHOLE, NUMBER: both included */
    const char *choices; /* CHOICE: "a|b|c" */
    const char *initial; /* the default, as text */
    const char *argument, *help;
    bool fixed;          /* what a run began with; --resume does not change it */
    const char *tasks;   /* "a|b|c" that read it; NULL: all */
    const char *heading; /* the first of a group of the help */
} option_row;

enum { CHANGES = false, FIXED = true };

#define AT(field) offsetof(run_config, field)

/* Far above any sensible run; what fits together is checked when the parts are known. */
#define MANY      16777216.0
#define LONG      1e12

static const option_row rows[] = {
    {"blocks", WHOLE, AT(blocks), 1, 1024, NULL, "2", "N", "RWKV blocks", FIXED,
     .heading = "The model:"},
    {"size", WHOLE, AT(size), 1, MANY, NULL, "64", "S", "Width of the model", FIXED},
    {"attention-size", WHOLE, AT(attention_size), 0, MANY, NULL, "0", "A",
     "Channels of time mixing (0: size)", FIXED},
    {"linear-size", WHOLE, AT(linear_size), 0, MANY, NULL, "0", "H",
     "Hidden width of feed-forward (0: 4 size)", FIXED},
    {"context-size", WHOLE, AT(context_size), 0, MANY, NULL, "1024", "N",
     "Longest sequence that the model accepts (0: what the task needs)"},
    {"norm", CHOICE, AT(norm), 0, 0, "layer_norm|rms_norm|scale_norm|basic_norm", "layer_norm",
     "NAME", "Normalisation", FIXED},
    {"norm-eps", NUMBER, AT(norm_eps), 0, 1e3, NULL, "0", "X",
     "Its eps (0, the default: as in ESPnet)", FIXED},
    {"norm-partial", NUMBER, AT(norm_partial), -1, 1, NULL, "-1", "P",
     "Share of channels in rms_norm's statistic (outside (0, 1): all)", FIXED},
    {"time-first", CHOICE, AT(time_first), 0, 0, "espnet|rwkv", "rwkv", "NAME",
     "Initial values of time_first", FIXED},
    {"dropout", NUMBER, AT(dropout), 0, 0.999, NULL, "0", "P",
     "Dropout after embedding, attention and feed-forward"},
    {"embed-dropout", NUMBER, AT(embed_dropout), -1, 0.999, NULL, "-1", "P",
     "Dropout after the embedding (default: --dropout)"},
    {"att-dropout", NUMBER, AT(att_dropout), -1, 0.999, NULL, "-1", "P",
     "Dropout after attention (default: --dropout)"},
    {"ffn-dropout", NUMBER, AT(ffn_dropout), -1, 0.999, NULL, "-1", "P",
     "Dropout after feed-forward (default: --dropout)"},
    {"embed-pad", WHOLE, AT(embed_pad), 0, MANY, NULL, "0", "ID",
     "Label whose embedding is zero and never updated", FIXED, "tokens"},
    {"no-bias", FLAG, AT(no_bias), 0, 0, NULL, "false", NULL,
     "No biases in projections and head, as RWKV-LM and Hugging Face have it", FIXED},
    {"init", TEXT, AT(init), 0, 0, NULL, "", "FILE",
     "Begin with the sizes and weights of a checkpoint, or of a file of any layout"},
    {"data", TEXT, AT(data), 0, 0, NULL, "", "FILE", "Text, or transcripts, to train on", false,
     "text|tokens", .heading = "The data:"},
    {"valid-data", TEXT, AT(valid_data), 0, 0, NULL, "", "FILE",
     "What to validate on (else the last tenth of a text, every tenth of transcripts)", false,
     "text|tokens"},
    {"token-list", TEXT, AT(token_list), 0, 0, NULL, "", "FILE", "ESPnet token list", true,
     "tokens"},
    {"unit", CHOICE, AT(unit), 0, 0, "char|byte|word", "char", "NAME",
     "What a symbol is: char or byte (text), char or word (tokens)", FIXED, "text|tokens"},
    {"length", WHOLE, AT(length), 1, MANY, NULL, "8", "T",
     "Symbols of a sequence, window of a text", CHANGES, "copy|reverse|echo|adding|text"},
    {"symbols", WHOLE, AT(symbols), 2, MANY, NULL, "8", "N", "Different symbols", true,
     "copy|reverse|recall|echo"},
    {"pairs", WHOLE, AT(pairs), 1, MANY, NULL, "4", "N", "Pairs to remember", FIXED, "recall"},
    {"delay", WHOLE, AT(delay), 1, MANY, NULL, "4", "N", "Steps of delay", FIXED, "echo"},
    {"batch", WHOLE, AT(batch), 1, MANY, NULL, "64", "B", "Sequences of a batch",
     .heading = "Training:"},
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
     "Batches of a validation, at most"},
    {"save-every", WHOLE, AT(save_every), 0, LONG, NULL, "500", "N",
     "Updates between checkpoints (0: at the end)"},
    {"log-every", WHOLE, AT(log_every), 1, LONG, NULL, "10", "N",
     "Updates between rows of metrics.csv"},
    {"patience", WHOLE, AT(patience), 0, LONG, NULL, "0", "N",
     "End after so many validations without a better one (0: never)"},
    {"seed", WHOLE, AT(seed), 0, 9e15, NULL, "1", "N", "Of initial values, data and dropout",
     FIXED},
    {"recompute", FLAG, AT(recompute), 0, 0, NULL, "false", NULL,
     "Keep only each block's output, and recompute the rest in backward"},
    {"device", TEXT, AT(device), 0, 0, NULL, "auto", "NAME", "auto, cpu, cuda or cuda:I",
     .heading = "Where it runs:"},
    {"dtype", CHOICE, AT(dtype), 0, 0, "f32|f64", "f32", "NAME", "Number type", FIXED},
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

static bool is_read_by(const option_row *row, const char *task)
{
    return row->tasks == NULL || is_choice(row->tasks, task);
}

static mt_status set_number(const option_row *row, const char *text, void *field)
{
    if (row->kind == NUMBER) {
        return parse_real(row->name, text, row->least, row->most, field);
    }
    long long value;
    mt_status status =
        parse_whole(row->name, text, (long long)row->least, (long long)row->most, &value);
    *(int64_t *)field = status == MT_OK ? value : *(int64_t *)field;
    return status;
}

static mt_status set_text(const option_row *row, const char *text, char *field)
{
    if (strlen(text) >= TEXT_MAX) {
        return mt_fail(MT_ERROR_INVALID, "--%s %.32s...: longer than %d bytes", row->name, text,
                       TEXT_MAX - 1);
    }
    if (row->kind == CHOICE && !is_choice(row->choices, text)) {
        return mt_fail(MT_ERROR_INVALID, "--%s %s: not one of %s", row->name, text, row->choices);
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

static const char *row_text(const option_row *row, const run_config *config, char text[TEXT_MAX])
{
    const void *field = (const char *)config + row->offset;
    switch (row->kind) {
    case WHOLE:
        snprintf(text, TEXT_MAX, "%" PRId64, *(const int64_t *)field);
        break;
    case NUMBER: /* with as many digits as it takes */
        snprintf(text, TEXT_MAX, "%.15g", *(const double *)field);
        if (strtod(text, NULL) != *(const double *)field) {
            snprintf(text, TEXT_MAX, "%.17g", *(const double *)field);
        }
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

mt_status options_set_for(const char *task, run_config *config, const char *name, const char *text)
{
    const option_row *row = find_row(name);
    if (row != NULL && !is_read_by(row, task)) {
        return mt_fail(MT_ERROR_INVALID, "--%s %s: %s does not read it (%s does)", name, text, task,
                       row->tasks);
    }
    return options_set(config, name, text);
}

mt_status options_change(run_config *config, const char *name, const char *text)
{
    const option_row *row = find_row(name);
    char before[TEXT_MAX], after[TEXT_MAX];
    if (row == NULL || !row->fixed) {
        return options_set_for(config->task, config, name, text);
    }
    row_text(row, config, before);
    mt_status status = options_set_for(config->task, config, name, text);
    if (status == MT_OK && strcmp(row_text(row, config, after), before) != 0) {
        set_row(row, config, before);
        status = mt_fail(MT_ERROR_INVALID, "--%s %s: the run began with %s, and keeps it", name,
                         text, before[0] != '\0' ? before : "none");
    }
    return status;
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

/* "HELP: a|b|c (TASKS; default X)", where the help does not speak of the default itself. */
static void write_help(const option_row *row, const run_config *defaults, char *help, size_t size)
{
    char text[TEXT_MAX];
    row_text(row, defaults, text);
    bool shows_default =
        text[0] != '\0' && row->kind != FLAG && strstr(row->help, "default") == NULL;
    snprintf(help, size, "%s%s%s%s%s%s%s%.64s%s", row->help, row->choices != NULL ? ": " : "",
             row->choices != NULL ? row->choices : "",
             row->tasks != NULL || shows_default ? " (" : "", row->tasks != NULL ? row->tasks : "",
             row->tasks != NULL && shows_default ? "; " : "", shows_default ? "default " : "",
             shows_default ? text : "", row->tasks != NULL || shows_default ? ")" : "");
}

const struct argp_option *options_argp(const run_config *defaults)
{
    enum { MOST_GROUPS = 8 };
    static struct argp_option table[ROWS + MOST_GROUPS + 1];
    static char help[ROWS][256];
    struct argp_option *next = table;
    int group = 0;
    for (int i = 0; i < ROWS; i++) {
        const option_row *row = &rows[i];
        bool is_read = defaults->task[0] == '\0' || is_read_by(row, defaults->task);
        if (row->heading != NULL) {
            group++;
            *next++ = (struct argp_option){.doc = row->heading, .group = group};
        }
        write_help(row, defaults, help[i], sizeof help[i]);
        *next++ = (struct argp_option){.name = row->name,
                                       .key = OPTION_KEY + i,
                                       .arg = row->kind == FLAG ? "false" : row->argument,
                                       .flags = (row->kind == FLAG ? OPTION_ARG_OPTIONAL : 0) |
                                                (is_read ? 0 : OPTION_HIDDEN),
                                       .doc = help[i],
                                       .group = group};
    }
    return table;
}

const char *options_row(int i, const run_config *config, char text[TEXT_MAX], bool *is_text)
{
    if (i >= ROWS) {
        return NULL;
    }
    *is_text = rows[i].kind == TEXT;
    row_text(&rows[i], config, text);
    return rows[i].name;
}
