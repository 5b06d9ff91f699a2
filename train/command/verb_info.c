/* mixtape info FILE */
#include <mixtape/model_fields.h>

#include "io/adapter_file.h"
#include "io/file.h"
#include "io/weights_file.h"
#include "train/command/arguments.h"
#include "train/command/field_text.h"
#include "train/command/info_json.h"
#include "train/command/lines.h"
#include "train/command/output.h"
#include "train/command/run_view.h"
#include "train/command/session.h"
#include "train/command/symbols.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    const char *file, *tokenizer;
    bool all, json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case LONG_ONLY + 'a':
        given->all = true;
        return 0;
    case LONG_ONLY + 'j':
        given->json = true;
        return 0;
    case LONG_ONLY + 't':
        given->tokenizer = text;
        return 0;
    default:
        return parse_argument(key, text, state, "file or run", &given->file);
    }
}

/* A sum over rows of a parameter. */
typedef struct square_sum {
    mt_dtype dtype;
    int64_t width;
    double sum;
} square_sum;

static mt_status add_squares(void *context, int64_t first, int64_t rows, const void *values)
{
    square_sum *squares = context;
    (void)first;
    for (int64_t i = 0; i < rows * squares->width; i++) {
        double value = mt_real_at(squares->dtype, values, i);
        squares->sum += value * value;
    }
    return MT_OK;
}

/* Root mean square of a parameter's values. */
static mt_status magnitude(const mt_weights *weights, const mt_parameter *parameter, double *rms)
{
    mt_array array = mt_weights_array(weights, parameter);
    int64_t n = mt_array_count(&array);
    square_sum squares = {.dtype = array.dtype, .width = mt_array_width(&array)};
    mt_status status = mt_array_visit(&array, add_squares, &squares);
    *rms = sqrt(squares.sum / (double)n);
    return status;
}

static mt_status add_magnitudes(const mt_weights *weights, double *rms)
{
    mt_status status = MT_OK;
    for (int i = 0; i < weights->parameters->count && status == MT_OK; i++) {
        status = magnitude(weights, weights->parameters->items[i], rms + i);
    }
    return status;
}

/* Those of all parameters, and behind them of a tuned state, which the caller frees; *rms is NULL
 * on failure. */
static mt_status magnitudes(const mt_weights *weights, double **rms)
{
    const mt_weights *tuned = mt_weights_tuned(weights);
    int count = weights->parameters->count, more = tuned != NULL ? tuned->parameters->count : 0;
    *rms = calloc((size_t)count + (size_t)more, sizeof **rms);
    mt_status status = *rms != NULL
                           ? add_magnitudes(weights, *rms)
                           : mt_fail(MT_ERROR_MEMORY, "no memory for %d numbers", count + more);
    if (status == MT_OK && tuned != NULL) {
        status = add_magnitudes(tuned, *rms + count);
    }
    if (status != MT_OK) {
        free(*rms);
        *rms = NULL;
    }
    return status;
}

static void print_parameters(const mt_weights *weights, const double *rms)
{
    for (int i = 0; i < weights->parameters->count; i++) {
        const mt_parameter *parameter = weights->parameters->items[i];
        char name[MT_NAME_MAX], shape[96];
        printf("  %-48s %-16s rms %.4g\n", mt_weights_name(weights, parameter, name),
               mt_tensor_shape_text(&parameter->tensor, shape, sizeof shape), rms[i]);
    }
}

/* The field's value in its words. */
static void print_field(const mt_model_field *field, const mt_model_config *config)
{
    const char *star = field->display != NULL ? strchr(field->display, '*') : NULL;
    char value[FIELD_TEXT];
    field_text(field, config, value);
    if (star != NULL) {
        printf("%.*s%s%s", (int)(star - field->display), field->display, value, star + 1);
    } else {
        printf("%s %s", field->attribute, value);
    }
}

/* A line of sizes, one of what else has no words of its own, and one of the rest. */
static void print_model(const mt_model_config *config, mt_dtype dtype)
{
    bool in_sizes = true, in_words = false;
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++) {
        if (field->optional && mt_model_field_whole(field, config) == 0) {
            continue;
        }
        if (!in_words && field->display != NULL) {
            in_words = true;
            printf(", dtype %s\n", mt_dtype_name(dtype));
        } else if (in_sizes && field->type != MT_MODEL_SIZE) {
            in_sizes = false;
            printf("\n");
        } else {
            printf("%s", field > mt_model_fields() ? ", " : "");
        }
        print_field(field, config);
    }
    printf("\n");
}

/* A configuration that is no run's says why; the weights are told all the same. */
static mt_status print_task(const char *path, const mt_checkpoint *checkpoint)
{
    const mt_weights *weights = checkpoint->weights;
    run_config run;
    if (checkpoint->run_config == NULL) {
        return MT_OK;
    }
    mt_status status = session_config_of(path, checkpoint, &run);
    if (status == MT_OK) {
        bool is_cut = weights->tokens != NULL && /* by units, and not by a tokenizer */
                      (weights->tokenizer.bytes == NULL || run.unit == UNIT_WORD);
        print_line(stdout, "task %s%s%s", run.task, is_cut ? ", unit " : "",
                   is_cut ? symbol_unit_name((int)run.unit) : "");
    } else if (status != MT_ERROR_MEMORY) {
        print_line(stdout, "no task: %s", mt_error_message());
        status = MT_OK;
    }
    run_config_clear(&run);
    return status;
}

/* What eval and generate need to know, where neither the model tells nor a run. */
static void print_needs(const char *path, const mt_checkpoint *checkpoint)
{
    const symbols_asked asked = {.numbers_option = "--task ids, --ids"};
    text_symbols symbols;
    const mt_weights *weights = checkpoint->weights;
    if (checkpoint->run_config != NULL || weights->config.input_size > 0 ||
        weights->tokenizer.bytes != NULL) {
        return;
    }
    if (symbols_find(checkpoint, path, &asked, &symbols) == MT_OK) {
        symbol_unit unit = UNIT_CHAR;
        if (symbols.transcripts) {
            unit = symbols.words ? UNIT_WORD : UNIT_CHAR;
        } else if (symbols.unit == MT_TEXT_BYTE) {
            unit = UNIT_BYTE;
        }
        printf("task %s, unit %s, as its tokens tell\n", symbols.transcripts ? "tokens" : "text",
               symbol_unit_name((int)unit));
    } else {
        const char *message = mt_error_message();
        size_t name = strlen(path); /* which the line above has told */
        bool is_named = strncmp(message, path, name) == 0 && strncmp(message + name, ": ", 2) == 0;
        print_line(stdout, "for eval and generate: %s", message + (is_named ? name + 2 : 0));
    }
    symbols_free(&symbols);
}

static void print_progress(const run_view *run)
{
    char told[128];
    run_view_tell(run, told, sizeof told);
    printf("the run: %s\n", told);
}

static void print_adapter(const mt_weights *weights)
{
    const mt_adapter_config *adapter = weights->adapter;
    char on[MT_PROJECTIONS_TEXT];
    if (adapter == NULL) {
        return;
    }
    if (adapter->kind == MT_ADAPT_LORA) {
        printf("LoRA of rank %" PRId64 ", alpha %g, on %s", adapter->rank, adapter->alpha,
               mt_projections_text(adapter->on, on));
    } else {
        printf("the state that sequences begin with");
    }
    print_line(stdout, ": %" PRId64 " values, beside the model %s",
               mt_parameters_size(weights->file->own->parameters),
               weights->file->model->file->path);
}

/* `run` is NULL for what is no run's, and `rms` unless each parameter is to be told. */
static mt_status print_checkpoint(const run_view *run, const char *path,
                                  const mt_checkpoint *checkpoint, const double *rms)
{
    const mt_weights *weights = checkpoint->weights;
    const mt_train_state *state = &checkpoint->state;
    print_line(stdout, "%s: %s%s%s", path,
               weights->adapter != NULL ? "adapter"
               : checkpoint->has_state  ? "checkpoint"
                                        : "weights, layout ",
               weights->layout != NULL ? weights->layout->name : "",
               checkpoint->has_optimizer ? ", with optimiser" : "");
    print_adapter(weights);
    mt_status status = print_task(path, checkpoint);
    if (status != MT_OK) {
        return status;
    }
    print_needs(path, checkpoint);
    if (checkpoint->has_state) {
        printf("step %" PRId64 ", %.1f s of training\n", state->step, state->seconds);
    }
    if (run != NULL) {
        print_progress(run);
    }
    if (checkpoint->has_state && state->best_step > 0) {
        char loss[32];
        format_loss(state->best_loss, 6, loss);
        printf("best validation loss %s at step %" PRId64 "\n", loss, state->best_step);
    }
    if (checkpoint->carried_rows > 0) {
        printf("carries %" PRId64 " rows of %" PRId64 " values from batch to batch\n",
               checkpoint->carried_rows, checkpoint->carried_width);
    }
    print_model(&weights->config, weights->dtype);
    if (weights->tokenizer.bytes != NULL) {
        printf("tokenizer of %zu bytes (--tokenizer FILE writes it)\n", weights->tokenizer.size);
    }
    if (weights->tokens != NULL) {
        printf("token_list of %" PRId32 "\n", weights->tokens->count);
    }
    printf("%" PRId64 " values in %d parameters%s\n", mt_parameters_size(weights->parameters),
           weights->parameters->count, rms != NULL ? ":" : " (--all: each of them)");
    if (rms != NULL) {
        print_parameters(weights, rms);
    }
    if (rms != NULL && mt_weights_tuned(weights) != NULL) {
        printf("the state:\n");
        print_parameters(mt_weights_tuned(weights), rms + weights->parameters->count);
    }
    return MT_OK;
}

/* With --all the values are read before anything is told: of a file that is damaged nothing is. */
static mt_status tell(const arguments *given, const char *path, const mt_checkpoint *checkpoint)
{
    double *rms = NULL;
    run_view view = {.rows = NULL};
    mt_status status = given->all ? magnitudes(checkpoint->weights, &rms) : MT_OK;
    const run_view *run = run_view_is_run(given->file) ? &view : NULL;
    if (status == MT_OK && run != NULL) {
        status = run_view_read(given->file, &view);
        if (status == MT_ERROR_FORMAT) { /* the model can be told all the same */
            run = NULL;
            status = MT_OK;
        }
    }
    if (status == MT_OK) {
        status = given->json ? info_json(run, path, checkpoint, rms)
                             : print_checkpoint(run, path, checkpoint, rms);
    }
    run_view_free(&view);
    free(rms);
    return status;
}

/* Of a run that has saved nothing yet it is told how far it is. */
static mt_status tell_unsaved(const arguments *given, const run_view *run)
{
    if (given->tokenizer != NULL) {
        return mt_fail(MT_ERROR_INVALID, "%s: nothing is saved there yet, nor a tokenizer",
                       given->file);
    }
    if (given->json) {
        return info_json_unsaved(run);
    }
    print_line(stdout, "%s: a run, of which nothing is saved yet", given->file);
    print_progress(run);
    return MT_OK;
}

/* Tells if the folder is a run's in which there is no model, but rows: then it is read. */
static bool is_unsaved(const char *folder, const char *model, run_view *view)
{
    return strcmp(folder, model) == 0 && run_view_is_run(folder) &&
           run_view_read(folder, view) == MT_OK;
}

static mt_status write_tokenizer(const char *path, const mt_tokenizer_file *tokenizer,
                                 const char *to)
{
    if (tokenizer->bytes == NULL) {
        return mt_fail(MT_ERROR_INVALID, "%s: it was saved without a tokenizer", path);
    }
    mt_status status = mt_file_replace(to, tokenizer->bytes, tokenizer->size);
    if (status == MT_OK) {
        print_line(stdout, "%s", to);
    }
    return status;
}

static mt_status info(const arguments *given)
{
    char path[TEXT_MAX];
    mt_checkpoint *checkpoint;
    run_view view = {.rows = NULL};
    mt_status status = session_find_model(given->file, true, path);
    if (status == MT_OK && is_unsaved(given->file, path, &view)) {
        status = tell_unsaved(given, &view);
        run_view_free(&view);
        return status;
    }
    run_view_free(&view);
    if (status == MT_OK && given->tokenizer != NULL) {
        status = output_refuse("--tokenizer", given->tokenizer, path, "read");
    }
    if (status == MT_OK) {
        status = session_load_file(path, &checkpoint);
    }
    if (status == MT_OK) {
        status = given->tokenizer != NULL
                     ? write_tokenizer(path, &checkpoint->weights->tokenizer, given->tokenizer)
                     : tell(given, path, checkpoint);
        mt_checkpoint_destroy(checkpoint);
    }
    return status;
}

int verb_info(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"all", LONG_ONLY + 'a', NULL, 0,
         "Each parameter, with its shape and the root of its mean square: every value is read, and "
         "checked",
         0},
        {"json", LONG_ONLY + 'j', NULL, 0, "Print JSON", 0},
        {"tokenizer", LONG_ONLY + 't', "FILE", 0, "Write the model's tokenizer into a file", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN or FILE",
        .doc = "Tells what a checkpoint, of a run or in a file, or an exchange file holds."};
    arguments given = {0};
    parse_arguments(&argp, argc, argv, &given);
    return report(info(&given));
}
