#include "train/command/options.h"

#include <mixtape/model_fields.h>

#include "train/command/arguments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind {
    WHOLE = MT_MODEL_SIZE,
    NUMBER = MT_MODEL_REAL,
    FLAG = MT_MODEL_FLAG,
    LABEL = MT_MODEL_LABEL,
    CHOICE = MT_MODEL_CHOICE,
    TEXT,
    MODEL /* stands for a row of mt_model_fields, which has the rest */
} option_kind;

typedef struct option_row {
    const char *name; /* MODEL: the field's; NULL: of every field that no row names, in order */
    option_kind kind;
    size_t offset;
    double least, most; /* WHOLE, NUMBER, LABEL: both included */
    mt_choice_name choice;
    const char *initial; /* the default, as text; NULL: options_defaults has it */
    const char *argument, *help;
    bool fixed;          /* what a run began with; --resume does not change it */
    const char *tasks;   /* "a|b|c" that read it; NULL: all */
    const char *heading; /* the first of a group of the help */
    bool negated;        /* the field is false where the flag is given */
} option_row;

enum { CHANGES = false, FIXED = true };

#define AT(field) offsetof(run_config, field)

/* Far above any sensible run; what fits together is checked when the parts are known. */
#define MANY      16777216.0
#define LONG      1e12

static const char *schedule_name(int value)
{
    return mt_schedule_name((mt_schedule_kind)value);
}

static const char *switch_name(int value)
{
    return value == SWITCH_ON ? "on" : value == SWITCH_OFF ? "off" : NULL;
}

/* In the order of config.yaml. */
static const option_row own_rows[] = {
    {"num_blocks", MODEL, .heading = "The model:"},
    {NULL, MODEL},
    {"dropout", NUMBER, AT(dropout), 0, 0.999, NULL, "0", "P",
     "Dropout after embedding, attention and feed-forward"},
    {"embed_dropout", MODEL},
    {"att_dropout", MODEL},
    {"ffn_dropout", MODEL},
    {"padding_index", MODEL, .tasks = "tokens"},
    {"bias", MODEL},
    {"init", TEXT, AT(init), 0, 0, NULL, "", "FILE",
     "Begin with the sizes and weights of a checkpoint, or of a file of any layout"},
    {"data", TEXT, AT(data), 0, 0, NULL, "", "FILE", "Text, or transcripts, to train on", false,
     "text|tokens", .heading = "The data:"},
    {"valid-data", TEXT, AT(valid_data), 0, 0, NULL, "", "FILE",
     "What to validate on (else the last tenth of a text, every tenth of transcripts)", false,
     "text|tokens"},
    {"token-list", TEXT, AT(token_list), 0, 0, NULL, "", "FILE", "ESPnet token list", true,
     "tokens"},
    {"unit", CHOICE, AT(unit), 0, 0, symbol_unit_name, "char", "NAME",
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
    {"schedule", CHOICE, AT(schedule), 0, 0, schedule_name, "cosine", "NAME",
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
    {"recompute", FLAG, AT(model.recompute), 0, 0, NULL, "false", NULL,
     "Keep only each block's output, and recompute the rest in backward"},
    {"device", TEXT, AT(device), 0, 0, NULL, "auto", "NAME", "auto, cpu, cuda or cuda:I",
     .heading = "Where it runs:"},
    {"dtype", CHOICE, AT(dtype), 0, 0, mt_model_dtype_name, "f32", "NAME", "Number type", FIXED},
    {"cuda-graph", CHOICE, AT(cuda_graph), 0, 0, switch_name, "on", "on|off",
     "On a CUDA device, record an update once and replay it where shapes repeat"},
    {"tf32", FLAG, AT(tf32), 0, 0, NULL, "false", NULL,
     "On a CUDA device, let matrix products round f32 to TF32"},
    {"threads", WHOLE, AT(threads), 0, 4096, NULL, "0", "N", "Threads of the CPU (0: all)"},
    {"out", TEXT, AT(out), 0, 0, NULL, "", "DIR", "The run's folder (else runs/TASK-N)"},
};

enum { OWN_ROWS = sizeof own_rows / sizeof *own_rows, MOST_ROWS = 96 };

static option_row rows[MOST_ROWS];
static int row_count;

static void add_field(const mt_model_field *field, const option_row *own)
{
    rows[row_count++] = (option_row){.name = field->option,
                                     .kind = (option_kind)field->type,
                                     .offset = AT(model) + field->offset,
                                     .least = field->option_least,
                                     .most = field->option_most,
                                     .choice = field->choice,
                                     .argument = field->argument,
                                     .help = field->help,
                                     .fixed = field->fixed,
                                     .tasks = own->tasks,
                                     .heading = own->heading,
                                     .negated = strncmp(field->option, "no-", 3) == 0};
}

static bool is_named(const mt_model_field *field)
{
    bool named = false;
    for (int i = 0; i < OWN_ROWS && !named; i++) {
        named = own_rows[i].kind == MODEL && own_rows[i].name != NULL &&
                strcmp(own_rows[i].name, field->name) == 0;
    }
    return named;
}

static void add_fields(const option_row *own)
{
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++) {
        bool wanted = own->name != NULL ? strcmp(own->name, field->name) == 0 : !is_named(field);
        if (wanted && field->option != NULL) {
            add_field(field, own);
        }
    }
}

/* Row i, or NULL after the last. */
static const option_row *row_at(int i)
{
    for (int own = 0; own < OWN_ROWS && (row_count == 0 || own > 0); own++) {
        if (own_rows[own].kind == MODEL) {
            add_fields(&own_rows[own]);
        } else {
            rows[row_count++] = own_rows[own];
        }
    }
    return i >= 0 && i < row_count ? &rows[i] : NULL;
}

static const option_row *find_row(const char *name)
{
    const option_row *row;
    for (int i = 0; (row = row_at(i)) != NULL && strcmp(row->name, name) != 0;) {
        i++;
    }
    return row;
}

/* Tells if a text is one of "a|b|c". */
static bool is_listed(const char *choices, const char *text)
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
    return row->tasks == NULL || is_listed(row->tasks, task);
}

/* "a|b|c" of a row's choices. */
static const char *choices_text(const option_row *row, char text[TEXT_MAX])
{
    text[0] = '\0';
    for (int i = 0; row->choice != NULL && row->choice(i) != NULL; i++) {
        size_t used = strlen(text);
        snprintf(text + used, TEXT_MAX - used, "%s%s", i > 0 ? "|" : "", row->choice(i));
    }
    return text;
}

static mt_status set_whole(const option_row *row, const char *text, void *field)
{
    long long value;
    mt_status status =
        parse_whole(row->name, text, (long long)row->least, (long long)row->most, &value);
    if (status == MT_OK && row->kind == LABEL) {
        *(int32_t *)field = (int32_t)value;
    } else if (status == MT_OK) {
        *(int64_t *)field = value;
    }
    return status;
}

static mt_status set_text(const option_row *row, const char *text, char *field)
{
    if (strlen(text) >= TEXT_MAX) {
        return mt_fail(MT_ERROR_INVALID, "--%s %.32s...: longer than %d bytes", row->name, text,
                       TEXT_MAX - 1);
    }
    memmove(field, text, strlen(text) + 1);
    return MT_OK;
}

static mt_status set_choice(const option_row *row, const char *text, int *field)
{
    char choices[TEXT_MAX];
    int value = mt_choice_find(row->choice, text);
    if (value < 0) {
        return mt_fail(MT_ERROR_INVALID, "--%s %s: not one of %s", row->name, text,
                       choices_text(row, choices));
    }
    *field = value;
    return MT_OK;
}

static mt_status set_flag(const option_row *row, const char *text, bool *field)
{
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0) {
        return mt_fail(MT_ERROR_INVALID, "--%s %s: neither true nor false", row->name, text);
    }
    *field = is_true != row->negated;
    return MT_OK;
}

static mt_status set_row(const option_row *row, run_config *config, const char *text)
{
    void *field = (char *)config + row->offset;
    switch (row->kind) {
    case WHOLE:
    case LABEL:
        return set_whole(row, text, field);
    case NUMBER:
        return parse_real(row->name, text, row->least, row->most, field);
    case TEXT:
        return set_text(row, text, field);
    case CHOICE:
        return set_choice(row, text, field);
    case FLAG:
        return set_flag(row, text, field);
    case MODEL:
        break;
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
    case LABEL:
        snprintf(text, TEXT_MAX, "%" PRId32, *(const int32_t *)field);
        break;
    case TEXT:
        snprintf(text, TEXT_MAX, "%s", (const char *)field);
        break;
    case CHOICE:
        snprintf(text, TEXT_MAX, "%s", row->choice(*(const int *)field));
        break;
    case FLAG:
        snprintf(text, TEXT_MAX, "%s", *(const bool *)field != row->negated ? "true" : "false");
        break;
    case MODEL:
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
    const option_row *row;
    memset(config, 0, sizeof *config);
    config->model = mt_model_config_default(0, 64);
    config->model.num_blocks = 2;
    config->model.norm.partial = -1.0;
    config->model.time_first = MT_TIME_FIRST_RWKV;
    config->model.embed_dropout = config->model.att_dropout = config->model.ffn_dropout = -1.0;
    for (int i = 0; (row = row_at(i)) != NULL; i++) {
        if (row->initial != NULL) {
            set_row(row, config, row->initial);
        }
    }
}

const char *options_name(int key)
{
    const option_row *row = row_at(key - OPTION_KEY);
    return row != NULL ? row->name : NULL;
}

/* "HELP: a|b|c (TASKS; default X)", where the help does not speak of the default itself. */
static void write_help(const option_row *row, const run_config *defaults, char *help, size_t size)
{
    char text[TEXT_MAX], choices[TEXT_MAX];
    row_text(row, defaults, text);
    bool shows_default =
        text[0] != '\0' && row->kind != FLAG && strstr(row->help, "default") == NULL;
    snprintf(help, size, "%s%s%s%s%s%s%s%.64s%s", row->help, row->choice != NULL ? ": " : "",
             choices_text(row, choices), row->tasks != NULL || shows_default ? " (" : "",
             row->tasks != NULL ? row->tasks : "", row->tasks != NULL && shows_default ? "; " : "",
             shows_default ? "default " : "", shows_default ? text : "",
             row->tasks != NULL || shows_default ? ")" : "");
}

const struct argp_option *options_argp(const run_config *defaults)
{
    enum { MOST_GROUPS = 8 };
    static struct argp_option table[MOST_ROWS + MOST_GROUPS + 1];
    static char help[MOST_ROWS][256];
    struct argp_option *next = table;
    int group = 0;
    const option_row *row;
    for (int i = 0; (row = row_at(i)) != NULL; i++) {
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
    const option_row *row = row_at(i);
    if (row == NULL) {
        return NULL;
    }
    *is_text = row->kind == TEXT;
    row_text(row, config, text);
    return row->name;
}
