/* mixtape export RUN -o FILE --layout NAME, mixtape import FILE -o FILE */
#include <mixtape/model_fields.h>
#include <mixtape/part.h>

#include "io/weights_file.h"
#include "train/command/arguments.h"
#include "train/command/ending.h"
#include "train/command/lines.h"
#include "train/command/output.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct arguments {
    const char *model, *adapter, *output, *part, *into;
    const mt_layout *layout;
    mt_stored_type stored;
    bool last, state;
} arguments;

/* By mt_stored_type. */
static const char *stored_name(int value)
{
    static const char *const names[MT_STORED_TYPES] = {"own", "f32", "f16", "bf16"};
    return value < MT_STORED_TYPES ? names[value] : NULL;
}

static void parse_stored(const char *text, const struct argp_state *state, mt_stored_type *stored)
{
    int value = mt_choice_find(stored_name, text);
    if (value < 0) {
        wrong_arguments(state, "--dtype %s: not one of own, f32, f16, bf16", text);
    }
    *stored = (mt_stored_type)value;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case 'o':
        given->output = text;
        return 0;
    case LONG_ONLY + 'L':
        if (mt_layout_parse(text, &given->layout) != MT_OK) {
            wrong_arguments(state, "%s", mt_error_message());
        }
        return 0;
    case LONG_ONLY + 'd':
        parse_stored(text, state, &given->stored);
        return 0;
    case LONG_ONLY + 'l':
        given->last = true;
        return 0;
    case LONG_ONLY + 'A':
        given->adapter = text;
        return 0;
    case LONG_ONLY + 's':
        given->state = true;
        return 0;
    case LONG_ONLY + 'p':
        given->part = text;
        return 0;
    case LONG_ONLY + 'i':
        given->into = text;
        return 0;
    case ARGP_KEY_NO_ARGS:
    case ARGP_KEY_END:
        if (given->model == NULL || given->output == NULL) {
            wrong_arguments(state, "name a model, and with -o the file to write");
        }
        return 0;
    default:
        return parse_argument(key, text, state, "model", &given->model);
    }
}

/* Where a folder is to be, whoever makes it tells what is there. */
static bool is_for_folder(const arguments *given)
{
    return given->layout != NULL &&
           mt_format_of_name(given->output, given->layout)->container == MT_FOLDER;
}

/* A model is not replaced by what a layout keeps of it, nor a run by a model. */
static mt_status refuse_output(const arguments *given, const char *model, const char *done)
{
    char path[TEXT_MAX];
    mt_status status = session_find_model(model, !given->last, path);
    if (status == MT_OK) {
        status = output_refuse("-o", given->output, path, done);
    }
    return status == MT_OK && !is_for_folder(given)
               ? output_refuse_kind("-o", given->output, OUTPUT_WEIGHTS)
               : status;
}

/* What text is read and written by, where the file that was written has no place for it. */
static void tell_vocabulary(const arguments *given, const mt_weights *weights)
{
    int container = (int)mt_format_of_name(given->output, given->layout)->container;
    bool has_tokenizer = weights->tokenizer.bytes != NULL;
    if (container == MT_SAFETENSORS && has_tokenizer) {
        print_line(stderr, "%s has no tokenizer: the model's is in %s", given->output,
                   given->model);
    } else if (container != MT_HDF5 && !has_tokenizer && weights->tokens != NULL) {
        print_line(stderr, "%s has no token list: what its %" PRId32 " labels stand for is in %s",
                   given->output, weights->tokens->count, given->model);
    }
}

static mt_status export_model(const arguments *given, const mt_checkpoint *checkpoint)
{
    const mt_weights *weights = checkpoint->weights;
    mt_status status = refuse_output(given, given->model, "exported");
    if (status == MT_OK && given->state) {
        return session_save_state(checkpoint, given->output);
    }
    if (status != MT_OK) {
        return status;
    }
    if (given->part != NULL) {
        return mt_part_convert(weights, given->part, given->output);
    }
    status = mt_weights_export(weights, given->output, given->layout, given->stored);
    if (status == MT_OK) {
        session_tell_eps(given->output, given->layout, &weights->config);
        tell_vocabulary(given, weights);
    }
    if (status == MT_OK && weights->config.output_size > 0 &&
        mt_layout_kept(given->layout, &weights->config).output_size == 0) {
        fprintf(stderr, "the layout %s has no head: it was left out\n", given->layout->name);
    }
    return status;
}

/* What of the model, or of its configuration, the checkpoint has not. */
static void tell_left_out(const char *path, const mt_weights *weights)
{
    if (weights->config.output_size == 0) {
        print_line(stderr, "%s has no head: the model has none", path);
    }
}

static mt_status import_model(const arguments *given, const mt_checkpoint *checkpoint)
{
    const char *model = given->into != NULL ? given->into : given->model;
    mt_status status = refuse_output(given, model, "imported");
    if (status == MT_OK && given->into != NULL) {
        status = output_refuse("-o", given->output, given->model, "imported");
    }
    if (status == MT_OK && given->into != NULL) {
        status = mt_part_replace(checkpoint->weights, given->part, given->model);
    }
    if (status == MT_OK) {
        status = mt_checkpoint_convert(checkpoint->weights, given->output, &checkpoint->state,
                                       checkpoint->run_config);
    }
    if (status == MT_OK) {
        tell_left_out(model, checkpoint->weights);
    }
    return status;
}

static int convert(arguments *given,
                   mt_status (*work)(const arguments *given, const mt_checkpoint *checkpoint))
{
    mt_checkpoint *checkpoint;
    const char *model = given->into != NULL ? given->into : given->model;
    ending_catch_weights();
    mt_status status = session_load_adapted(model, given->adapter, !given->last, &checkpoint);
    if (status == MT_OK) {
        status = work(given, checkpoint);
        mt_checkpoint_destroy(checkpoint);
    }
    if (status == MT_OK) {
        print_line(stdout, "%s", given->output);
    }
    if (status != MT_OK && ending_signal() == SIGXCPU) {
        report(mt_fail(status, "%s: the processor time is used up (ulimit -t)", given->output));
    }
    return status != MT_OK && ending_signal() != 0 ? ending_status() : report(status);
}

int verb_export(int argc, char **argv)
{
    static char layouts[1024] = "Names and shapes of this layout (default espnet):";
    static char names[128];
    for (int i = 0; mt_layouts[i].name != NULL; i++) {
        size_t used = strlen(layouts);
        snprintf(layouts + used, sizeof layouts - used, "%s %s (%s)", i > 0 ? "," : "",
                 mt_layouts[i].name, mt_layouts[i].help);
        used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? "|" : "", mt_layouts[i].name);
    }
    const struct argp_option options[] = {
        {"output", 'o', "FILE", 0,
         "The file to write: .safetensors, else HDF5; of layout hf the new folder, with "
         "config.json, unless the name ends as a file's",
         0},
        {"dtype", LONG_ONLY + 'd', "own|f32|f16|bf16", 0,
         "The type of numbers in .safetensors files (default own: the model's)", 0},
        {"layout", LONG_ONLY + 'L', names, 0, layouts, 0},
        {"part", LONG_ONLY + 'p', "NAME", 0,
         "One part alone, under its own names: rwkv_blocks.0.att is the first block's "
         "SelfAttention",
         0},
        {"adapter", LONG_ONLY + 'A', "RUN", 0,
         "Use the model with what this run trained beside it (--tune)", 0},
        {"state", LONG_ONLY + 's', NULL, 0,
         "The state that was tuned (--tune state), for generate --state with the model", 0},
        {"last", LONG_ONLY + 'l', NULL, 0, "The last checkpoint, instead of the best", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN -o FILE",
        .doc = "Writes a model's weights for other programs: one dataset per parameter."};
    arguments given = {.layout = NULL};
    parse_arguments(&argp, argc, argv, &given);
    if (given.state &&
        (given.layout != NULL || given.part != NULL || given.stored != MT_STORED_AS_IS)) {
        return report_usage("--state is no model's: no --layout, --part or --dtype with it");
    }
    if (given.layout != NULL && given.part != NULL) {
        return report_usage("--part has names of its own: no --layout with it");
    }
    if (given.stored != MT_STORED_AS_IS && given.part != NULL) {
        return report_usage("--part has the model's own type of numbers: no --dtype with it");
    }
    given.layout = given.layout != NULL ? given.layout : &mt_layouts[0];
    return convert(&given, export_model);
}

int verb_import(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"output", 'o', "FILE", 0, "The checkpoint to write", 0},
        {"into", LONG_ONLY + 'i', "RUN", 0,
         "The file holds a part, which takes the place of this model's", 0},
        {"part", LONG_ONLY + 'p', "NAME", 0, "With --into: which part, as export has it", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "FILE -o FILE\nFILE --into RUN --part NAME -o FILE",
        .doc =
            "Reads weights of any layout, HDF5, .safetensors or a folder of Hugging Face's, into a "
            "checkpoint of Mixtape's own."};
    arguments given = {.layout = NULL};
    parse_arguments(&argp, argc, argv, &given);
    if ((given.into == NULL) != (given.part == NULL)) {
        return report_usage("--into names a model, and --part which part of it: both or neither");
    }
    return convert(&given, import_model);
}
