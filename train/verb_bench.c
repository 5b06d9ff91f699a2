/* mixtape bench: the kernels and the training step, as figures and as JSON. Times are medians; what
 * they are worth depends on the machine, so each kernel is also told as a multiple of the time to
 * stream y = k + v over the same arrays. */
#include "layers/decoder.h"
#include "optim/adam.h"
#include "train/arguments.h"
#include "train/verbs.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct arguments {
    const char *device, *json;
    long long threads, repeat;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    mt_status status = MT_OK;
    switch (key) {
    case 'd':
        given->device = text;
        break;
    case 'j':
        given->json = text;
        break;
    case 't':
        status = parse_whole("threads", text, 0, 4096, &given->threads);
        break;
    case 'r':
        status = parse_whole("repeat", text, 1, 1000, &given->repeat);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (status != MT_OK) {
        exit(report_usage(mt_error_message()));
    }
    return 0;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Median seconds of a run, out of `repeat`, after one to warm up. On a device that runs behind,
 * several are put on it at a time, so that it is its time that counts and not the way there. */
static mt_status time_runs(mt_device *device, long long repeat, mt_status (*run)(void *context),
                           void *context, double *median)
{
    const int runs = device->record != NULL ? 10 : 1;
    double *times = malloc((size_t)repeat * sizeof *times);
    if (times == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "bench: no memory for %lld times", repeat);
    }
    mt_status status = run(context);
    if (status == MT_OK) {
        status = device->synchronize(device);
    }
    for (long long i = 0; i < repeat && status == MT_OK; i++) {
        double start = now();
        for (int j = 0; j < runs && status == MT_OK; j++) {
            status = run(context);
        }
        if (status == MT_OK) {
            status = device->synchronize(device);
        }
        times[i] = (now() - start) / runs;
    }
    qsort(times, (size_t)repeat, sizeof *times, compare);
    *median = times[repeat / 2];
    free(times);
    return status;
}

/* ---- the WKV kernels ---- */

enum { W, U, K, V, Y, DY, DK, DV, DW, DU, SAVED, ARRAYS };

typedef struct wkv_bench {
    mt_device *device;
    const mt_kernels *kernels;
    int64_t B, T, C;
    void *arrays[ARRAYS];
} wkv_bench;

static mt_status stream(void *context)
{
    const wkv_bench *bench = context;
    return bench->kernels->add(bench->device, bench->B * bench->T * bench->C, bench->arrays[K],
                               bench->arrays[V], bench->arrays[Y]);
}

static mt_status copy(void *context)
{
    const wkv_bench *bench = context;
    return bench->device->copy(bench->device, bench->arrays[Y], bench->arrays[K],
                               (size_t)(bench->B * bench->T * bench->C) * sizeof(float));
}

static mt_status forward(void *context)
{
    const wkv_bench *bench = context;
    void *const *arrays = bench->arrays;
    mt_wkv_forward_args args = {.B = bench->B,
                                .T = bench->T,
                                .C = bench->C,
                                .w = arrays[W],
                                .u = arrays[U],
                                .k = arrays[K],
                                .v = arrays[V],
                                .y = arrays[Y],
                                .saved = arrays[SAVED]};
    return bench->kernels->wkv_forward(bench->device, &args);
}

static mt_status backward(void *context)
{
    const wkv_bench *bench = context;
    void *const *arrays = bench->arrays;
    mt_wkv_backward_args args = {.B = bench->B,
                                 .T = bench->T,
                                 .C = bench->C,
                                 .w = arrays[W],
                                 .u = arrays[U],
                                 .k = arrays[K],
                                 .v = arrays[V],
                                 .saved = arrays[SAVED],
                                 .dy = arrays[DY],
                                 .dw = arrays[DW],
                                 .du = arrays[DU],
                                 .dk = arrays[DK],
                                 .dv = arrays[DV]};
    return bench->kernels->wkv_backward(bench->device, &args);
}

/* Fills an array of n with random numbers around `centre`: the same million again and again. */
static mt_status fill_randomly(wkv_bench *bench, int array, int64_t n, double centre)
{
    enum { PERIOD = 1 << 20 };
    int64_t period = n < PERIOD ? n : PERIOD;
    mt_random random = mt_random_make(5, (uint64_t)array);
    float *values = malloc((size_t)period * sizeof *values), *to = bench->arrays[array];
    if (values == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "bench: no memory for %" PRId64 " numbers", period);
    }
    for (int64_t i = 0; i < period; i++) {
        values[i] = (float)(centre + 2.0 * mt_random_uniform(&random) - 1.0);
    }
    mt_status status = MT_OK;
    for (int64_t at = 0; at < n && status == MT_OK; at += period) {
        int64_t count = n - at < period ? n - at : period;
        status =
            bench->device->write(bench->device, to + at, values, (size_t)count * sizeof *values);
    }
    free(values);
    return status;
}

static mt_status open_wkv(wkv_bench *bench)
{
    int64_t n = bench->B * bench->T * bench->C;
    size_t saved = bench->kernels->wkv_saved_size(bench->device, bench->B, bench->T, bench->C);
    mt_status status = MT_OK;
    for (int array = W; array < ARRAYS && status == MT_OK; array++) {
        bool per_channel = array == W || array == U || array == DW || array == DU;
        bool is_input = array == W || array == U || array == K || array == V || array == DY;
        int64_t count = per_channel ? bench->C : n;
        size_t bytes = array == SAVED ? saved : (size_t)count * sizeof(float);
        status = bench->device->allocate(bench->device, bytes, &bench->arrays[array]);
        if (status == MT_OK && is_input) {
            status = fill_randomly(bench, array, count, array == W ? -1.1 : 0.0);
        }
    }
    return status;
}

static mt_status bench_wkv(mt_device *device, const int64_t shape[3], long long repeat,
                           json_t *results)
{
    wkv_bench bench = {.device = device,
                       .kernels = device->kernels[MT_F32],
                       .B = shape[0],
                       .T = shape[1],
                       .C = shape[2]};
    /* What is timed, and the arrays of B T C numbers that it reads and writes. */
    static const struct {
        const char *key;
        mt_status (*run)(void *);
        int moved;
    } rows[] = {{"copy", copy, 2},
                {"stream", stream, 3},
                {"forward", forward, 3},
                {"backward", backward, 5}};
    enum { COPY, STREAM, FORWARD, BACKWARD, ROWS };
    double times[ROWS] = {0.0}, rates[ROWS] = {0.0};
    mt_status status = open_wkv(&bench);
    for (int i = 0; i < ROWS && status == MT_OK; i++) {
        status = time_runs(device, repeat, rows[i].run, &bench, &times[i]);
        rates[i] = (double)rows[i].moved * (double)(shape[0] * shape[1] * shape[2]) *
                   sizeof(float) / times[i] / 1e9;
    }
    for (int array = 0; array < ARRAYS; array++) {
        device->release(device, bench.arrays[array]);
    }
    if (status == MT_OK) {
        printf("wkv (%" PRId64 ", %" PRId64 ", %" PRId64
               ")  stream %.3f ms  forward %.3f ms (%.2f x)  backward %.3f ms "
               "(%.2f x)  of copy's %.0f GB/s: forward %.0f %%, backward %.0f %%\n",
               shape[0], shape[1], shape[2], 1e3 * times[STREAM], 1e3 * times[FORWARD],
               times[FORWARD] / times[STREAM], 1e3 * times[BACKWARD],
               times[BACKWARD] / times[STREAM], rates[COPY], 100.0 * rates[FORWARD] / rates[COPY],
               100.0 * rates[BACKWARD] / rates[COPY]);
        json_t *row = json_pack("{s:s, s:[I,I,I]}", "what", "wkv", "shape", (json_int_t)shape[0],
                                (json_int_t)shape[1], (json_int_t)shape[2]);
        for (int i = 0; i < ROWS; i++) {
            char key[32];
            snprintf(key, sizeof key, "%s_s", rows[i].key);
            json_object_set_new(row, key, json_real(times[i]));
            snprintf(key, sizeof key, "%s_gb_per_s", rows[i].key);
            json_object_set_new(row, key, json_real(rates[i]));
        }
        json_array_append_new(results, row);
    }
    return status;
}

/* ---- the training step ---- */

typedef struct step_shape {
    int64_t B, T, vocabulary, size, blocks;
} step_shape;

typedef struct step_bench {
    const step_shape *shape;
    mt_tape *tape;
    mt_model *model;
    mt_adam *adam;
    int32_t *labels;
    mt_tensor *batch;        /* the labels, on the tape */
    mt_recording *recording; /* or NULL */
} step_bench;

/* Forward, backward and update, of a batch that is on the device. */
static mt_status compute_step(void *context)
{
    step_bench *bench = context;
    mt_tape *tape = bench->tape;
    mt_parameters_zero_grad(bench->model->parameters);
    mt_tensor *output = mt_model_decode(tape, bench->model, bench->batch, NULL, true);
    mt_tensor *logits = mt_model_head(tape, bench->model, output);
    mt_tensor *loss = mt_cross_entropy(tape, logits, bench->batch, -1, 0.0, NULL);
    mt_status status = mt_backward(tape, loss);
    return status == MT_OK ? mt_adam_update(bench->adam, 1.0)
                           : mt_fail(status, "%s", mt_tape_error(tape));
}

static mt_status put_batch(step_bench *bench)
{
    const int64_t shape[] = {bench->shape->B, bench->shape->T};
    mt_tape_reset(bench->tape);
    bench->batch = mt_tape_input(bench->tape, MT_I32, 2, shape, bench->labels, false);
    return bench->batch != NULL
               ? mt_adam_set_lr(bench->adam, 1e-3)
               : mt_fail(mt_tape_status(bench->tape), "%s", mt_tape_error(bench->tape));
}

static mt_status train_step(void *context)
{
    mt_status status = put_batch(context);
    return status == MT_OK ? compute_step(context) : status;
}

static mt_status record_step(step_bench *bench)
{
    mt_device *device = mt_tape_device(bench->tape);
    mt_status status = device->record(device);
    if (status != MT_OK) {
        return status;
    }
    status = compute_step(bench);
    if (status == MT_OK) {
        return device->recorded(device, &bench->recording);
    }
    device->recorded(device, NULL);
    return status;
}

/* The same, recorded once. */
static mt_status replay_step(void *context)
{
    step_bench *bench = context;
    mt_device *device = mt_tape_device(bench->tape);
    mt_status status = put_batch(bench);
    if (status == MT_OK && bench->recording == NULL) {
        status = record_step(bench);
    }
    return status == MT_OK ? device->replay(device, bench->recording) : status;
}

/* The matrix products of a step, and nothing else: what the rest is measured against. */
static mt_status matrix_products(void *context)
{
    const step_bench *bench = context;
    mt_device *device = mt_tape_device(bench->tape);
    const mt_parameters *parameters = bench->model->parameters;
    int64_t N = bench->shape->B * bench->shape->T;
    for (int i = 0; i < parameters->count; i++) {
        const mt_tensor *weight = &parameters->items[i]->tensor;
        if (weight->rank != 2 || weight == bench->model->embed) {
            continue;
        }
        int64_t out = weight->shape[0], in = weight->shape[1];
        int64_t widest = in > out ? in : out;
        mt_tape_reset(bench->tape);
        mt_tensor *x = mt_tape_input(bench->tape, MT_F32, 2, (int64_t[]){N, widest}, NULL, false);
        mt_tensor *y = mt_tape_input(bench->tape, MT_F32, 2, (int64_t[]){N, widest}, NULL, false);
        if (y == NULL) {
            return mt_tape_status(bench->tape);
        }
        const mt_matmul_args products[] = {
            {false, true, N, out, in, 1.0, 0.0, x->data, weight->data, y->data},  /* y = x W^T */
            {false, false, N, in, out, 1.0, 0.0, y->data, weight->data, x->data}, /* dx = dy W */
            {true, false, out, in, N, 1.0, 0.0, y->data, x->data, weight->grad},  /* dW = dy^T x */
        };
        for (int p = 0; p < 3; p++) {
            mt_status status = device->kernels[MT_F32]->matmul(device, &products[p]);
            if (status != MT_OK) {
                return status;
            }
        }
    }
    return MT_OK;
}

static mt_status open_step(mt_device *device, step_bench *bench)
{
    const step_shape *shape = bench->shape;
    int64_t n = shape->B * shape->T;
    mt_model_config config = mt_model_config_default(shape->vocabulary, shape->size);
    config.num_blocks = shape->blocks;
    bench->labels = malloc((size_t)n * sizeof *bench->labels);
    if (bench->labels == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "bench: no memory for labels");
    }
    mt_random random = mt_random_make(9, 0);
    for (int64_t i = 0; i < n; i++) {
        bench->labels[i] = (int32_t)mt_random_below(&random, (uint64_t)shape->vocabulary);
    }
    mt_status status = mt_tape_create(device, &bench->tape);
    if (status == MT_OK) {
        status = mt_model_create(device, MT_F32, &config, 1, &bench->model);
    }
    return status == MT_OK
               ? mt_adam_create(bench->model->parameters, mt_adam_config_default(), &bench->adam)
               : status;
}

static mt_status bench_step(mt_device *device, const step_shape *shape, long long repeat,
                            json_t *results)
{
    step_bench bench = {.shape = shape};
    double step = 0.0, products = 0.0, replayed = 0.0;
    mt_status status = open_step(device, &bench);
    if (status == MT_OK) {
        status = time_runs(device, repeat, train_step, &bench, &step);
    }
    if (status == MT_OK) {
        status = time_runs(device, repeat, matrix_products, &bench, &products);
    }
    if (status == MT_OK && device->record != NULL) {
        status = time_runs(device, repeat, replay_step, &bench, &replayed);
        device->forget(device, bench.recording);
    }
    mt_adam_destroy(bench.adam);
    mt_model_destroy(bench.model);
    mt_tape_destroy(bench.tape);
    free(bench.labels);
    if (status == MT_OK) {
        printf("step B%" PRId64 " T%" PRId64 " vocab %" PRId64 " size %" PRId64 " blocks %" PRId64
               "  %.3f ms  matrix products alone %.3f ms (%.2f x)\n",
               shape->B, shape->T, shape->vocabulary, shape->size, shape->blocks, 1e3 * step,
               1e3 * products, step / products);
        if (replayed > 0.0) {
            printf("  replayed as a graph %.3f ms\n", 1e3 * replayed);
        }
        json_array_append_new(
            results, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "what", "step", "B",
                               (json_int_t)shape->B, "T", (json_int_t)shape->T, "vocab",
                               (json_int_t)shape->vocabulary, "size", (json_int_t)shape->size,
                               "blocks", (json_int_t)shape->blocks, "step_s", step, "products_s",
                               products, "replayed_s", replayed));
    }
    return status;
}

static mt_status run_all(mt_device *device, const arguments *given, json_t *results)
{
    static const int64_t wkv_shapes[][3] = {{32, 64, 512},    {8, 1024, 512},  {64, 1024, 512},
                                            {1, 65536, 512},  {1, 65536, 32},  {8, 1024, 768},
                                            {1, 65536, 1024}, {32, 1024, 1024}};
    const size_t shapes = device->record != NULL ? sizeof wkv_shapes / sizeof *wkv_shapes : 5;
    static const step_shape step_shapes[] = {
        {32, 64, 500, 256, 4}, {32, 128, 64, 64, 2}, {12, 64, 65, 128, 4}};
    mt_status status = MT_OK;
    for (size_t i = 0; i < shapes && status == MT_OK; i++) {
        status = bench_wkv(device, wkv_shapes[i], given->repeat, results);
    }
    for (size_t i = 0; i < sizeof step_shapes / sizeof *step_shapes && status == MT_OK; i++) {
        status = bench_step(device, &step_shapes[i], given->repeat, results);
    }
    return status;
}

int verb_bench(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"device", 'd', "NAME", 0, "auto, cpu, cuda or cuda:I (default auto)", 0},
        {"threads", 't', "N", 0, "Threads of the CPU (default 0: all)", 0},
        {"repeat", 'r', "N", 0, "Runs of which the median counts (default 9)", 0},
        {"json", 'j', "FILE", 0, "Also write the figures as JSON", 0},
        {0}};
    const struct argp argp = {.options = options,
                              .parser = parse,
                              .doc = "Measures the WKV kernels and the training step, in float32."};
    arguments given = {.device = "auto", .repeat = 9};
    parse_arguments(&argp, argc, argv, &given);
    mt_device *device;
    mt_cpu_set_threads((int)given.threads);
    mt_status status = mt_device_open(given.device, &device);
    if (status != MT_OK) {
        return report(status);
    }
    json_t *results = json_array();
    status = run_all(device, &given, results);
    int exit_status = report(status);
    json_t *all = json_pack("{s:s, s:s, s:i, s:o}", "device", device->name, "isa", mt_cpu_isa(),
                            "threads", mt_cpu_threads(), "results", results);
    if (status != MT_OK) { /* what there is, is worth having */
        json_object_set_new(all, "error", json_string(mt_error_message()));
    }
    if (given.json != NULL && json_dump_file(all, given.json, JSON_INDENT(2)) != 0) {
        exit_status = report(mt_fail(MT_ERROR_IO, "%s: cannot be written", given.json));
    }
    json_decref(all);
    mt_device_close(device);
    return exit_status;
}
