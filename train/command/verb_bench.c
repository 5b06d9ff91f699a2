/* mixtape bench: the kernels and the training step, as figures and as JSON. Times are medians; what
 * they are worth depends on the machine, so each kernel is also told as a multiple of the time to
 * stream y = k + v over the same arrays. */
#include <mixtape/model_fields.h>

#include "io/json_file.h"
#include "kernels/cpu/blas.h"
#include "train/command/arguments.h"
#include "train/command/bench.h"
#include "train/command/output.h"
#include "train/command/verbs.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first HOST_SHAPES on the CPU, all of them on a device that runs behind. */
static const int64_t wkv_shapes[][3] = {
    {32, 64, 512}, {8, 1024, 512}, {64, 1024, 512}, {1, 65536, 512},  {1, 65536, 32},
    {8, 256, 512}, {8, 1024, 768}, {2, 1024, 768},  {1, 65536, 1024}, {32, 1024, 1024}};
static const bench_step_shape step_shapes[] = {
    {32, 64, 500, 256, 4}, {32, 128, 64, 64, 2}, {12, 64, 65, 128, 4}, {32, 64, 500, 768, 4}};

enum {
    WKV_SHAPES = sizeof wkv_shapes / sizeof *wkv_shapes,
    HOST_SHAPES = 5,
    STEP_SHAPES = sizeof step_shapes / sizeof *step_shapes,
    USUAL_STEPS = 3 /* of which the whole benchmark is */
};

enum { NOT_GIVEN = -1 };

typedef struct arguments {
    const char *device, *json;
    mt_dtype dtype;
    long long threads, repeat, runs, step; /* the last three may be NOT_GIVEN */
    bool wkv, kernels;
    bool awaits_file; /* --json was the last option, and had no value */
    int64_t shape[3]; /* where wkv is given */
} arguments;

/* "B,T,C", each so that their product is far from overflow. */
static mt_status parse_shape(const char *text, int64_t shape[3])
{
    const long long most = 1 << 20;
    const char *at = text;
    for (int i = 0; i < 3; i++) {
        char *end;
        shape[i] = strtoll(at, &end, 10);
        if (end == at || *end != (i < 2 ? ',' : '\0') || shape[i] < 1 || shape[i] > most) {
            return mt_fail(MT_ERROR_INVALID, "--wkv %s: not B,T,C, each in 1 .. %lld", text, most);
        }
        at = end + 1;
    }
    return MT_OK;
}

/* Options that mean nothing beside one another, or without it. */
static void check_together(const arguments *given, const struct argp_state *state)
{
    bool alone = given->wkv || given->step != NOT_GIVEN;
    if (given->wkv && given->step != NOT_GIVEN) {
        wrong_arguments(state, "--wkv and --step exclude each other");
    }
    if (given->wkv && given->dtype != MT_F32) {
        wrong_arguments(state, "--dtype is for training steps: --wkv is of f32");
    }
    if (!alone && (given->runs != NOT_GIVEN || given->kernels)) {
        wrong_arguments(state, "%s needs --wkv or --step", given->kernels ? "--kernels" : "--runs");
    }
    if (given->repeat != NOT_GIVEN && (given->runs != NOT_GIVEN || given->kernels)) {
        wrong_arguments(state, "--repeat and %s exclude each other",
                        given->kernels ? "--kernels" : "--runs");
    }
}

static mt_status parse_dtype(const char *text, mt_dtype *dtype)
{
    int found = mt_choice_find(mt_compute_dtype_name, text);
    *dtype = (mt_dtype)found;
    return found >= 0 ? MT_OK
                      : mt_fail(MT_ERROR_INVALID, "--dtype %s: not one of f32, f64, bf16", text);
}

/* A training step's shape, with the type that was asked for. */
static bench_step_shape shape_of_step(const arguments *given, size_t index)
{
    bench_step_shape shape = step_shapes[index];
    shape.dtype = given->dtype;
    return shape;
}

static long long repeat_of(const arguments *given)
{
    return given->repeat != NOT_GIVEN ? given->repeat : 9;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    mt_status status = MT_OK;
    bool awaits_file = given->awaits_file && key == ARGP_KEY_ARG;
    switch (key) {
    case LONG_ONLY + 'd':
        given->device = text;
        break;
    case LONG_ONLY + 'j':
        given->json = text != NULL ? text : "-";
        awaits_file = text == NULL;
        break;
    case ARGP_KEY_ARG: /* behind --json: its value, which may be left out */
        if (!awaits_file) {
            return ARGP_ERR_UNKNOWN;
        }
        given->json = text;
        break;
    case LONG_ONLY + 'y':
        status = parse_dtype(text, &given->dtype);
        break;
    case LONG_ONLY + 't':
        status = parse_threads(text, &given->threads);
        break;
    case LONG_ONLY + 'r':
        status = parse_whole("repeat", text, 1, 1000, &given->repeat);
        break;
    case LONG_ONLY + 'w':
        given->wkv = true;
        status = parse_shape(text, given->shape);
        break;
    case LONG_ONLY + 's':
        status = parse_whole("step", text, 0, STEP_SHAPES - 1, &given->step);
        break;
    case LONG_ONLY + 'n':
        status = parse_whole("runs", text, 1, 100000, &given->runs);
        break;
    case LONG_ONLY + 'k':
        given->kernels = true;
        break;
    case ARGP_KEY_END:
        check_together(given, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    given->awaits_file = awaits_file && key != ARGP_KEY_ARG;
    return parsed(status);
}

static bool is_json_printed(const arguments *given)
{
    return given->json != NULL && strcmp(given->json, "-") == 0;
}

static mt_status print_json(const json_t *all)
{
    bool good = all != NULL && (json_dumpf(all, stdout, JSON_INDENT(2)) == 0 || ferror(stdout));
    putchar('\n');
    return good ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for JSON");
}

/* The figures so far, as JSON, where they were asked for. A benchmark that is stopped leaves what
 * it found in a file; standard output gets them once, at the end. */
static mt_status write_json(mt_device *device, const arguments *given, double large_rate,
                            json_t *results, bool is_end)
{
    if (given->json == NULL || (is_json_printed(given) && !is_end)) {
        return MT_OK;
    }
    json_t *all =
        json_pack("{s:s, s:s, s:s, s:i, s:o, s:O}", "device", device->name, "isa", mt_cpu_isa(),
                  "openblas", mt_blas_kernels(), "threads", mt_cpu_threads(), "copy_1gib_gb_per_s",
                  large_rate > 0.0 ? json_real(large_rate / 1e9) : json_null(), "results", results);
    mt_status status =
        is_json_printed(given) ? print_json(all) : mt_json_write(given->json, all, 0);
    json_decref(all);
    return status;
}

static mt_status measure_step(mt_device *device, const arguments *given, size_t index,
                              json_t *results)
{
    const bench_step_shape shape = shape_of_step(given, index);
    return bench_step(device, &shape, repeat_of(given), results);
}

static mt_status run_all(mt_device *device, const arguments *given, json_t *results)
{
    const bool behind = device->record != NULL;
    const long long repeat = repeat_of(given);
    const size_t shapes = behind ? WKV_SHAPES : HOST_SHAPES;
    double large_rate = 0.0;
    mt_status status =
        write_json(device, given, 0.0, results, false); /* not found out after the first row */
    if (status == MT_OK && behind) {
        status = bench_large_copy(device, repeat, &large_rate);
    }
    for (size_t i = 0; i < shapes + USUAL_STEPS && status == MT_OK; i++) {
        status = i < shapes ? bench_wkv(device, wkv_shapes[i], repeat, large_rate, results)
                            : measure_step(device, given, i - shapes, results);
        if (status == MT_OK) {
            status = write_json(device, given, large_rate, results, i + 1 == shapes + USUAL_STEPS);
        }
    }
    return status;
}

static mt_status run_one(mt_device *device, const arguments *given, json_t *results)
{
    const bench_alone_how how = {.runs = given->runs != NOT_GIVEN ? given->runs : 1,
                                 .kernels = given->kernels};
    if (how.kernels && device->trace == NULL) {
        return mt_fail(MT_ERROR_DEVICE, "bench --kernels: %s does not time its kernels (cuda does)",
                       device->name);
    }
    mt_status status;
    if (given->repeat != NOT_GIVEN) {
        status = given->wkv ? bench_wkv(device, given->shape, given->repeat, 0.0, results)
                            : measure_step(device, given, (size_t)given->step, results);
    } else if (given->wkv) {
        status = bench_wkv_alone(device, given->shape, &how, results);
    } else {
        const bench_step_shape shape = shape_of_step(given, (size_t)given->step);
        status = bench_step_alone(device, &shape, &how, results);
    }
    return status == MT_OK ? write_json(device, given, 0.0, results, true) : status;
}

/* The help of --step, with what each number stands for. */
static const char *step_help(void)
{
    static char text[640];
    size_t used = (size_t)snprintf(text, sizeof text,
                                   "Run training steps of shape I alone, as --wkv does; I is ");
    for (int i = 0; i < STEP_SHAPES && used < sizeof text; i++) {
        char shape[BENCH_TEXT];
        bench_step_text(&step_shapes[i], shape);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d: %s", i > 0 ? "; " : "", i,
                                 shape);
    }
    return text;
}

static mt_status refuse_json(const char *path)
{
    mt_status status = output_refuse_run("--json", path);
    return status == MT_OK ? output_refuse_kind("--json", path, OUTPUT_JSON) : status;
}

int verb_bench(int argc, char **argv)
{
    const struct argp_option options[] = {
        {"device", LONG_ONLY + 'd', "auto|cpu|cuda[:I]", 0, "Where to compute (default auto)", 0},
        {"dtype", LONG_ONLY + 'y', "f32|f64|bf16", 0, "Number type of training steps (default f32)",
         0},
        {"threads", LONG_ONLY + 't', "N", 0, "Threads of the CPU (default 0: all)", 0},
        {"repeat", LONG_ONLY + 'r', "N", 0,
         "Runs of which the median counts (default 9); with --wkv or --step of that alone", 0},
        {"wkv", LONG_ONLY + 'w', "B,T,C", 0,
         "Run WKV of this shape alone, forward and then backward, without warming up or measuring: "
         "for profilers",
         0},
        {"step", LONG_ONLY + 's', "I", 0, step_help(), 0},
        {"runs", LONG_ONLY + 'n', "N", 0, "Runs of --wkv or --step (default 1)", 0},
        {"kernels", LONG_ONLY + 'k', NULL, 0,
         "Warm up, and time each kernel of --wkv or --step by the device's own clock", 0},
        {"json", LONG_ONLY + 'j', "FILE", OPTION_ARG_OPTIONAL,
         "Print the figures as JSON, and lines on standard error; with FILE write them there, and "
         "print the lines",
         0},
        {0}};
    const struct argp argp = {.options = options,
                              .parser = parse,
                              .doc = "Measures the WKV kernels in float32, and the training step."};
    arguments given = {.device = "auto", .repeat = NOT_GIVEN, .runs = NOT_GIVEN, .step = NOT_GIVEN};
    parse_arguments(&argp, argc, argv, &given);
    mt_device *device;
    mt_status status = MT_OK;
    if (is_json_printed(&given)) {
        bench_say_on(stderr);
    } else if (given.json != NULL) {
        status = refuse_json(given.json);
    }
    mt_cpu_set_threads((int)given.threads);
    status = status == MT_OK ? mt_device_open(given.device, &device) : status;
    if (status != MT_OK) {
        return report(status);
    }
    json_t *results = json_array();
    status = given.wkv || given.step != NOT_GIVEN ? run_one(device, &given, results)
                                                  : run_all(device, &given, results);
    json_decref(results);
    mt_device_close(device);
    return report(status);
}
