/* mixtape bench: the kernels and the training step, as figures and as JSON. Times are medians; what
 * they are worth depends on the machine, so each kernel is also told as a multiple of the time to
 * stream y = k + v over the same arrays. */
#include "io/file.h"
#include "train/arguments.h"
#include "train/bench.h"
#include "train/verbs.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    const char *device, *json;
    long long threads, repeat;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    mt_status status = MT_OK;
    switch (key) {
    case LONG_ONLY + 'd':
        given->device = text;
        break;
    case LONG_ONLY + 'j':
        given->json = text;
        break;
    case LONG_ONLY + 't':
        status = parse_whole("threads", text, 0, 4096, &given->threads);
        break;
    case LONG_ONLY + 'r':
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

/* The figures so far, as JSON, where a file was asked for: a benchmark that is stopped leaves what
 * it found. */
static mt_status write_json(const mt_device *device, const arguments *given, json_t *results)
{
    if (given->json == NULL) {
        return MT_OK;
    }
    json_t *all = json_pack("{s:s, s:s, s:i, s:O}", "device", device->name, "isa", mt_cpu_isa(),
                            "threads", mt_cpu_threads(), "results", results);
    char *text = json_dumps(all, JSON_INDENT(2));
    mt_status status = text != NULL
                           ? mt_file_replace(given->json, text, strlen(text))
                           : mt_fail(MT_ERROR_MEMORY, "%s: no memory to write it", given->json);
    free(text);
    json_decref(all);
    return status;
}

static mt_status run_all(mt_device *device, const arguments *given, json_t *results)
{
    static const int64_t wkv_shapes[][3] = {{32, 64, 512},    {8, 1024, 512},  {64, 1024, 512},
                                            {1, 65536, 512},  {1, 65536, 32},  {8, 1024, 768},
                                            {1, 65536, 1024}, {32, 1024, 1024}};
    const size_t shapes = device->record != NULL ? sizeof wkv_shapes / sizeof *wkv_shapes : 5;
    static const bench_step_shape step_shapes[] = {
        {32, 64, 500, 256, 4}, {32, 128, 64, 64, 2}, {12, 64, 65, 128, 4}};
    const size_t steps = sizeof step_shapes / sizeof *step_shapes;
    mt_status status = write_json(device, given, results); /* not found out after the first row */
    for (size_t i = 0; i < shapes + steps && status == MT_OK; i++) {
        status = i < shapes ? bench_wkv(device, wkv_shapes[i], given->repeat, results)
                            : bench_step(device, &step_shapes[i - shapes], given->repeat, results);
        if (status == MT_OK) {
            status = write_json(device, given, results);
        }
    }
    return status;
}

int verb_bench(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"device", LONG_ONLY + 'd', "NAME", 0, "auto, cpu, cuda or cuda:I (default auto)", 0},
        {"threads", LONG_ONLY + 't', "N", 0, "Threads of the CPU (default 0: all)", 0},
        {"repeat", LONG_ONLY + 'r', "N", 0, "Runs of which the median counts (default 9)", 0},
        {"json", LONG_ONLY + 'j', "FILE", 0, "Also write the figures as JSON", 0},
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
    setvbuf(stdout, NULL, _IOLBF, 0);
    json_t *results = json_array();
    status = run_all(device, &given, results);
    json_decref(results);
    mt_device_close(device);
    return report(status);
}
