/* mixtape gradcheck: every operator, and the layers through a small decoder of each kind, against
 * central differences. */
#include <mixtape/model.h>

#include "autograd/gradient_cases.h"
#include "train/command/arguments.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double tolerance = 1e-6;

/* A model to check: what of the small configuration differs. */
typedef struct model_case {
    const char *name;
    int64_t size, attention_size, blocks, B, T;
    mt_norm_kind norm;
    double dropout;
    bool recompute, bias;
} model_case;

static const model_case model_cases[] = {
    {"decoder, layer_norm", 4, 4, 2, 2, 5, MT_LAYER_NORM, 0.0, false, true},
    {"decoder, rms_norm", 5, 3, 2, 3, 4, MT_RMS_NORM, 0.0, false, true},
    {"decoder, scale_norm", 4, 6, 2, 3, 3, MT_SCALE_NORM, 0.0, false, true},
    {"decoder, basic_norm", 3, 3, 2, 1, 7, MT_BASIC_NORM, 0.0, false, true},
    {"decoder, one block, T = 1", 4, 4, 1, 2, 1, MT_LAYER_NORM, 0.0, false, true},
    {"decoder, one channel", 1, 1, 2, 2, 6, MT_BASIC_NORM, 0.0, false, true},
    {"decoder, no biases", 4, 4, 2, 2, 5, MT_LAYER_NORM, 0.0, false, false},
    {"decoder, dropout", 4, 4, 2, 2, 5, MT_LAYER_NORM, 0.3, false, true},
    {"decoder, recomputed", 4, 4, 2, 2, 5, MT_LAYER_NORM, 0.3, true, true},
    {"decoder, T = 70", 3, 2, 1, 1, 70, MT_BASIC_NORM, 0.0, false, true},
};

enum { VOCABULARY = 5 };

typedef struct model_check {
    const model_case *one;
    mt_model *model;
    int32_t *labels; /* (B, T), and behind them the targets */
} model_check;

static mt_tensor *model_loss(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    const model_check *check = context;
    const int64_t shape[] = {check->one->B, check->one->T};
    (void)inputs; /* the model's parameters */
    mt_tensor *labels = mt_tape_input(tape, MT_I32, 2, shape, check->labels, false);
    mt_tensor *targets =
        mt_tape_input(tape, MT_I32, 2, shape, check->labels + shape[0] * shape[1], false);
    mt_tensor *output = mt_model_decode(tape, check->model, labels, NULL, true);
    mt_tensor *logits = mt_model_head(tape, check->model, output);
    return mt_cross_entropy(tape, logits, targets, -1, 0.0, NULL);
}

static mt_status check_parameters(mt_tape *tape, model_check *check, mt_gradcheck_result *result)
{
    enum { ELEMENTS = 12 };
    const mt_parameters *parameters = check->model->parameters;
    mt_tensor **inputs = malloc((size_t)parameters->count * sizeof *inputs);
    if (inputs == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "gradcheck: no memory for %d parameters",
                       parameters->count);
    }
    int count = 0;
    for (int i = 0; i < parameters->count; i++) {
        inputs[count++] = &parameters->items[i]->tensor;
    }
    mt_status status = mt_gradcheck(tape, model_loss, check, count, inputs, ELEMENTS, result);
    free(inputs);
    return status;
}

static mt_status check_model(mt_device *device, mt_tape *tape, const model_case *one,
                             mt_gradcheck_result *result)
{
    mt_model_config config = mt_model_config_default(VOCABULARY, one->size);
    config.attention_size = one->attention_size;
    config.num_blocks = one->blocks;
    config.norm.kind = one->norm;
    config.time_first = MT_TIME_FIRST_RWKV;
    config.bias = one->bias;
    config.padding_index = -1;
    config.embed_dropout = config.att_dropout = config.ffn_dropout = one->dropout;
    config.recompute = one->recompute;
    int64_t n = one->B * one->T;
    model_check check = {.one = one, .labels = malloc((size_t)(2 * n) * sizeof *check.labels)};
    if (check.labels == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "gradcheck: no memory for labels");
    }
    mt_random random = mt_random_make(3, 0);
    for (int64_t i = 0; i < 2 * n; i++) {
        check.labels[i] = (int32_t)mt_random_below(&random, VOCABULARY);
    }
    mt_status status = mt_model_create(device, MT_F64, &config, 11, &check.model);
    if (status == MT_OK) {
        status = check_parameters(tape, &check, result);
    }
    mt_model_destroy(check.model);
    free(check.labels);
    return status;
}

static void print_shapes(const gradient_case *one, char *text, size_t size)
{
    text[0] = '\0';
    for (int i = 0; i < one->count; i++) {
        mt_tensor shape = {.rank = one->inputs[i].rank};
        memcpy(shape.shape, one->inputs[i].shape, sizeof shape.shape);
        size_t used = strlen(text);
        if (used + 1 < size) {
            text[used] = ' ';
            mt_tensor_shape_text(&shape, text + used + 1, size - used - 1);
        }
    }
}

/* What was found. */
typedef struct findings {
    int wrong;
    json_t *rows; /* NULL: they are printed as lines */
    bool lacks_memory;
} findings;

/* One line of the table, or one of its objects; counts what is off. */
static void add_result(const char *name, const char *shapes, const mt_gradcheck_result *result,
                       findings *found)
{
    bool right = result->error <= tolerance;
    found->wrong += !right;
    if (found->rows == NULL) {
        printf("%-28s %-9.2e %s%s\n", name, result->error, right ? "ok" : "WRONG", shapes);
        return;
    }
    json_t *error = isfinite(result->error) ? json_real(result->error) : json_null();
    json_t *row = json_pack("{s:s, s:s, s:o, s:b}", "name", name, "shapes",
                            shapes + (shapes[0] == ' '), "error", error, "ok", right);
    found->lacks_memory |= json_array_append_new(found->rows, row) != 0;
}

static mt_status check_operators(mt_tape *tape, mt_tape *values, findings *found)
{
    for (int i = 0; gradient_cases[i].op != NULL; i++) {
        const gradient_case *one = &gradient_cases[i];
        mt_tensor *inputs[MT_OP_INPUTS];
        mt_gradcheck_result result;
        char shapes[256];
        int checked;
        mt_tape_reset(values);
        mt_status status = gradient_case_inputs(one, MT_F64, values, (uint64_t)i, inputs, &checked);
        if (status == MT_OK) {
            status = mt_gradcheck(tape, gradient_case_loss, &one, checked, inputs, 0, &result);
        }
        if (status != MT_OK) {
            return mt_fail(status, "%s: %s", one->op, mt_error_message());
        }
        print_shapes(one, shapes, sizeof shapes);
        add_result(one->op, shapes, &result, found);
    }
    return MT_OK;
}

static mt_status check_models(mt_device *device, mt_tape *tape, findings *found)
{
    for (size_t i = 0; i < sizeof model_cases / sizeof *model_cases; i++) {
        mt_gradcheck_result result;
        mt_status status = check_model(device, tape, &model_cases[i], &result);
        if (status != MT_OK) {
            return mt_fail(status, "%s: %s", model_cases[i].name, mt_error_message());
        }
        add_result(model_cases[i].name, "", &result, found);
    }
    return MT_OK;
}

static mt_status check_all(const char *device_name, findings *found)
{
    mt_device *device = NULL;
    mt_tape *tape = NULL, *values = NULL;
    mt_status status = mt_device_open(device_name, &device);
    if (status == MT_OK) {
        status = mt_tape_create(device, &tape);
    }
    if (status == MT_OK) {
        status = mt_tape_create(device, &values);
    }
    if (status == MT_OK) {
        status = check_operators(tape, values, found);
    }
    if (status == MT_OK) {
        status = check_models(device, tape, found);
    }
    mt_tape_destroy(values);
    mt_tape_destroy(tape);
    mt_device_close(device);
    return status;
}

typedef struct arguments {
    const char *device;
    bool json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case LONG_ONLY + 'd':
        given->device = text;
        return 0;
    case LONG_ONLY + 'j':
        given->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static mt_status print_rows(const findings *found)
{
    bool whole = !found->lacks_memory &&
                 json_dumpf(found->rows, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0;
    printf("\n");
    return whole || ferror(stdout) ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for JSON");
}

int verb_gradcheck(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"device", LONG_ONLY + 'd', "auto|cpu|cuda[:I]", 0, "Where to compute (default auto)", 0},
        {"json", LONG_ONLY + 'j', NULL, 0, "Print JSON", 0},
        {0}};
    const struct argp argp = {.options = options,
                              .parser = parse,
                              .doc = "Compares every gradient with central differences in float64. "
                                     "Exit status 1 if one is off by more than 1e-6."};
    arguments given = {.device = "auto"};
    parse_arguments(&argp, argc, argv, &given);
    findings found = {.rows = given.json ? json_array() : NULL};
    mt_status status = given.json && found.rows == NULL
                           ? mt_fail(MT_ERROR_MEMORY, "no memory for JSON")
                           : check_all(given.device, &found);
    if (status == MT_OK && given.json) {
        status = print_rows(&found);
    }
    json_decref(found.rows);
    if (status == MT_OK && found.wrong > 0) {
        fprintf(stderr, "mixtape: %d gradients are wrong by more than %g\n", found.wrong,
                tolerance);
        return EXIT_FAILED;
    }
    return report(status);
}
