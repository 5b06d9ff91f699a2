#include "train/command/options_table.h"

#include <mixtape/adapter.h>

#include "train/command/kept_files.h"

#include <string.h>

enum { CHANGES = false, FIXED = true };

#define AT(field) offsetof(run_config, field)

/* Far above any sensible run; what fits together is checked when the parts are known. */
#define MANY      16777216.0
#define LONG      1e12

static const char *schedule_name(int value)
{
    return mt_schedule_name((mt_schedule_kind)value);
}

static const char *initial_values_name(int value)
{
    return mt_initial_values_name((mt_initial_values)value);
}

static const char *bad_step_name(int value)
{
    return value == MT_BAD_STEP_STOP ? "stop" : value == MT_BAD_STEP_SKIP ? "skip" : NULL;
}

static const char *tune_name(int value)
{
    return value == TUNE_ALL ? "all" : mt_adapter_kind_name(value - TUNE_STATE);
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
    {"padding_index", MODEL, .tasks = "tokens|ids"},
    {"bias", MODEL},
    {"init", TEXT, AT(init), 0, 0, NULL, "", "FILE",
     "Begin with the sizes and weights of a checkpoint, or of a file or folder of any layout",
     FIXED},
    {"tune", CHOICE, AT(tune), 0, 0, tune_name, "all", "NAME",
     "What of --init is trained: all of it; or, beside a model that stays as it is, the state that "
     "sequences begin with (state), or LoRA (lora)",
     FIXED},
    {"lora-rank", WHOLE, AT(lora_rank), 1, MANY, NULL, "8", "R", "Rank of LoRA's matrices", FIXED},
    {"lora-alpha", NUMBER, AT(lora_alpha), 1e-6, 1e6, NULL, "16", "X",
     "R times what their product is multiplied by", FIXED},
    {"lora-on", TEXT, AT(lora_on), 0, 0, NULL, "key,value,receptance,output", "NAMES",
     "Projections that have them: of attention key, value, receptance, output; ffn_key, ffn_value, "
     "ffn_receptance",
     FIXED},
    {"data", FILES, AT(data), 0, 0, NULL, NULL, "FILE...",
     "Text, ids or transcripts to train on: files, and folders of them", false, "text|ids|tokens",
     .heading = "The data:"},
    {"valid-data", FILES, AT(valid_data), 0, 0, NULL, NULL, "FILE...",
     "What to validate on (else the last tenth of a text or of ids, every tenth of transcripts)",
     false, "text|ids|tokens"},
    {"token-list", TEXT, AT(token_list), 0, 0, NULL, "", "FILE",
     "ESPnet token list (else that of --init, or made of --bpemodel)", true, "tokens"},
    {"tokenizer", TEXT, AT(tokenizer), 0, 0, NULL, "", "FILE",
     "What makes ids of text or labels of transcripts, to be kept with the model "
     "(docs/tokenizers.md)",
     FIXED, "text|ids|tokens", .alias = "bpemodel"},
    {"nlsyms", LINES, AT(nlsyms), 0, 0, NULL, NULL, "FILE",
     "Symbols, one a line, that are kept whole among characters, as <noise>", FIXED, "tokens"},
    {"unit", CHOICE, AT(unit), 0, 0, symbol_unit_name, "char", "NAME",
     "What a symbol is: char or byte (text), char or word (tokens)", FIXED, "text|tokens"},
    {"ids-type", CHOICE, AT(ids_type), 0, 0, mt_ids_raw_name, "auto", "NAME",
     "Integers of a .bin that says nothing of them (auto: uint16)", FIXED, "ids"},
    {"vocab-size", WHOLE, AT(vocab_size), 0, MT_IDS_MOST, NULL, "0", "N",
     "Different ids (0: those of --init or of --tokenizer, or the largest id + 1)", FIXED, "ids"},
    {"valid-share", NUMBER, AT(valid_share), 1e-9, 0.999, NULL, "0.1", "X",
     "Share of --data, at its end, to validate on without --valid-data", CHANGES, "ids"},
    {"most-unknown", NUMBER, AT(most_unknown), -1, 1, NULL, "-1", "P",
     "Largest share of labels that may be <unk> (-1: 0.01 of a list of sub-words, else 0.5)",
     CHANGES, "tokens"},
    {"length", WHOLE, AT(length), 1, MANY, NULL, "8", "T",
     "Symbols of a sequence, window of a text", CHANGES, "copy|reverse|echo|adding|text|ids"},
    {"carry", FLAG, AT(carry), 0, 0, NULL, "false", NULL,
     "Windows of each row follow one another, and what the model carries goes on from batch to "
     "batch",
     FIXED, "text|ids"},
    {"carry-gradient", WHOLE, AT(carry_gradient), 1, MT_MOST_WINDOWS, NULL, "1", "K",
     "Windows of an update through which gradients flow, each of --length (--carry)", FIXED,
     "text|ids"},
    {"symbols", WHOLE, AT(symbols), 2, MANY, NULL, "8", "N", "Different symbols", true,
     "copy|reverse|recall|echo"},
    {"pairs", WHOLE, AT(pairs), 1, MANY, NULL, "4", "N", "Pairs to remember", FIXED, "recall"},
    {"delay", WHOLE, AT(delay), 1, MANY, NULL, "4", "N", "Steps of delay", FIXED, "echo"},
    {"batch", WHOLE, AT(batch), 1, MANY, NULL, "64", "B", "Sequences of a batch",
     .heading = "Training:"},
    {"steps", WHOLE, AT(steps), 1, LONG, NULL, "1000", "N", "Updates"},
    {"lr", NUMBER, AT(lr), 1e-12, 1e3, NULL, "3e-3", "X", "Peak learning rate"},
    {"lr-final", NUMBER, AT(lr_final), 0, 1, NULL, "0.1", "X",
     "Share of it left at the end (linear, cosine, rwkv-lm)"},
    {"schedule", CHOICE, AT(schedule), 0, 0, schedule_name, "cosine", "NAME",
     "Learning-rate schedule"},
    {"warmup", WHOLE, AT(warmup), 0, LONG, NULL, "50", "N", "Updates of linear warm-up"},
    {"clip", NUMBER, AT(clip), 0, 1e12, NULL, "1", "X",
     "Largest global norm of the gradient (0: no clipping)"},
    {"weight-decay", NUMBER, AT(weight_decay), 0, 1e3, NULL, "0", "X",
     "Decoupled weight decay, of matrices"},
    {"beta1", NUMBER, AT(beta1), 0, 0.999999, NULL, "0.9", "X",
     "Adam's beta1: what the mean of gradients keeps at each update"},
    {"beta2", NUMBER, AT(beta2), 0, 0.999999, NULL, "0.999", "X",
     "Adam's beta2: what the mean of their squares keeps"},
    {"adam-eps", NUMBER, AT(adam_eps), 1e-20, 1, NULL, "1e-8", "X",
     "Adam's eps, which is added to the root of that mean"},
    {"rates", TEXT, AT(rates), 0, 0, NULL, "", "PATTERN=X,...",
     "Rates, as factors of --lr, of parameters by their names: *.time_decay=2,*.time_first=3"},
    {"l2wrap", NUMBER, AT(l2wrap), 0, 1e3, NULL, "0", "X",
     "Draw the largest logits to 0 by so much (RWKV-LM's L2Wrap: 1e-4)", CHANGES,
     "copy|reverse|recall|echo|text|ids|tokens"},
    {"initial-values", CHOICE, AT(model.initial_values), 0, 0, initial_values_name, "espnet",
     "NAME", "Initial values of a new model (rwkv-lm's embedding: within --lr of 0)", FIXED},
    {"label-smoothing", NUMBER, AT(label_smoothing), 0, 0.999, NULL, "0", "X", "Label smoothing"},
    {"accumulate", WHOLE, AT(accumulate), 1, MANY, NULL, "1", "N",
     "Batches summed into one update"},
    {"eval-every", WHOLE, AT(eval_every), 0, LONG, NULL, "100", "N",
     "Updates between validations (0: at the end)"},
    {"eval-batches", WHOLE, AT(eval_batches), 1, LONG, NULL, "8", "N",
     "Batches of a validation, at most, of --batch sequences each"},
    {"save-every", WHOLE, AT(save_every), 0, LONG, NULL, "500", "N",
     "Updates between checkpoints (0: at the end)"},
    {"keep", WHOLE, AT(keep), 0, MOST_KEPT, NULL, "0", "N",
     "Keep the last N checkpoints, too, as checkpoint-STEP.h5"},
    {"keep-best", WHOLE, AT(keep_best), 0, MOST_KEPT, NULL, "0", "N",
     "Keep the N best models, too, as best-STEP.h5, of which `mixtape average RUN` makes the mean"},
    {"log-every", WHOLE, AT(log_every), 1, LONG, NULL, "10", "N",
     "Updates between rows of metrics.csv"},
    {"tensorboard", FLAG, AT(tensorboard), 0, 0, NULL, "true", NULL,
     "Write the rows of metrics.csv for TensorBoard, too, into the run's folder"},
    {"histograms", FLAG, AT(histograms), 0, 0, NULL, "false", NULL,
     "... and, at each validation, how weights and gradients are spread"},
    {"plot", FLAG, AT(plot), 0, 0, NULL, "true", NULL,
     "Draw the losses into the run's folder, loss.svg, where there is gnuplot"},
    {"max-time", NUMBER, AT(max_minutes), 0, 1e8, NULL, "0", "MINUTES",
     "End, saved, so many minutes after this start (0: never)"},
    {"patience", WHOLE, AT(patience), 0, LONG, NULL, "0", "N",
     "End after so many validations without a better one (0: never)"},
    {"on-bad-step", CHOICE, AT(on_bad_step), 0, 0, bad_step_name, "stop", "NAME",
     "What becomes of a step whose loss or gradient is not finite"},
    {"bad-steps", WHOLE, AT(bad_steps), 0, LONG, NULL, "10", "N", "Bad steps to skip, at most"},
    {"seed", WHOLE, AT(seed), 0, 9e15, NULL, "1", "N", "Of initial values, data and dropout",
     FIXED},
    {"recompute", FLAG, AT(model.recompute), 0, 0, NULL, "false", NULL,
     "Keep only each block's output, and recompute the rest in backward"},
    {"device", TEXT, AT(device), 0, 0, NULL, "auto", "auto|cpu|cuda[:I]", "Where to compute",
     .heading = "Where it runs:"},
    {"dtype", CHOICE, AT(dtype), 0, 0, mt_compute_dtype_name, "f32", "NAME",
     "Number type; of bf16, which is for products and what they are made of, weights are f32"},
    {"cuda-graph", CHOICE, AT(cuda_graph), 0, 0, switch_name, "on", "on|off",
     "On a CUDA device, record an update once and replay it where shapes repeat"},
    {"tf32", FLAG, AT(tf32), 0, 0, NULL, "false", NULL,
     "On a CUDA device, let matrix products round f32 to TF32"},
    {"split-optimizer", FLAG, AT(split_optimizer), 0, 0, NULL, "false", NULL,
     "Each of several processes holds its part of Adam's moments alone"},
    {"threads", WHOLE, AT(threads), 0, 4096, NULL, "0", "N", "Threads of the CPU (0: all)"},
    {"out", TEXT, AT(out), 0, 0, NULL, "", "DIR", "The run's folder (else runs/TASK-N)", FIXED},
};

enum { OWN_ROWS = sizeof own_rows / sizeof *own_rows };

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

const option_row *option_row_at(int i)
{
    bool is_made = row_count > 0;
    for (int own = 0; own < OWN_ROWS && !is_made; own++) {
        if (own_rows[own].kind == MODEL) {
            add_fields(&own_rows[own]);
        } else {
            rows[row_count++] = own_rows[own];
        }
    }
    return i >= 0 && i < row_count ? &rows[i] : NULL;
}
