#include <mixtape/random.h>

#include "train/command/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

static mt_status forward_and_backward(void *context)
{
    mt_status status = forward(context);
    return status == MT_OK ? backward(context) : status;
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

static mt_status open_wkv(mt_device *device, const int64_t shape[3], wkv_bench *bench)
{
    *bench = (wkv_bench){.device = device,
                         .kernels = device->kernels[MT_F32],
                         .B = shape[0],
                         .T = shape[1],
                         .C = shape[2]};
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

static void close_wkv(wkv_bench *bench)
{
    for (int array = 0; array < ARRAYS; array++) {
        bench->device->release(bench->device, bench->arrays[array]);
    }
}

mt_status bench_wkv(mt_device *device, const int64_t shape[3], long long repeat, double large_rate,
                    json_t *results)
{
    wkv_bench bench;
    /* The work that is timed, and the arrays of B T C numbers that it reads and writes. */
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
    mt_status status = open_wkv(device, shape, &bench);
    for (int i = 0; i < ROWS && status == MT_OK; i++) {
        status = bench_time(device, repeat, rows[i].run, &bench, &times[i]);
        rates[i] = (double)rows[i].moved * (double)(shape[0] * shape[1] * shape[2]) *
                   sizeof(float) / times[i] / 1e9;
    }
    close_wkv(&bench);
    if (status == MT_OK) {
        bench_say("wkv (%" PRId64 ", %" PRId64 ", %" PRId64
                  ")  stream %.3f ms  forward %.3f ms (%.2f x)  backward %.3f ms "
                  "(%.2f x)  of copy's %.0f GB/s: forward %.0f %%, backward %.0f %%",
                  shape[0], shape[1], shape[2], 1e3 * times[STREAM], 1e3 * times[FORWARD],
                  times[FORWARD] / times[STREAM], 1e3 * times[BACKWARD],
                  times[BACKWARD] / times[STREAM], rates[COPY],
                  100.0 * rates[FORWARD] / rates[COPY], 100.0 * rates[BACKWARD] / rates[COPY]);
        if (large_rate > 0.0) {
            bench_say("  of 1 GiB's: forward %.0f %%, backward %.0f %%",
                      100.0 * rates[FORWARD] * 1e9 / large_rate,
                      100.0 * rates[BACKWARD] * 1e9 / large_rate);
        }
        bench_say("\n");
        json_t *row = json_pack("{s:s, s:[I,I,I]}", "what", "wkv", "shape", (json_int_t)shape[0],
                                (json_int_t)shape[1], (json_int_t)shape[2]);
        bool whole = true;
        for (int i = 0; i < ROWS; i++) {
            char key[32];
            snprintf(key, sizeof key, "%s_s", rows[i].key);
            whole &= json_object_set_new(row, key, json_real(times[i])) == 0;
            snprintf(key, sizeof key, "%s_gb_per_s", rows[i].key);
            whole &= json_object_set_new(row, key, json_real(rates[i])) == 0;
            if (large_rate > 0.0) {
                snprintf(key, sizeof key, "%s_of_copy_1gib", rows[i].key);
                whole &= json_object_set_new(row, key, json_real(rates[i] * 1e9 / large_rate)) == 0;
            }
        }
        status = bench_append(results, row, whole);
    }
    return status;
}

mt_status bench_wkv_alone(mt_device *device, const int64_t shape[3], const bench_alone_how *how,
                          json_t *results)
{
    wkv_bench bench;
    char what[BENCH_TEXT];
    snprintf(what, sizeof what, "wkv (%" PRId64 ", %" PRId64 ", %" PRId64 "), forward and backward",
             shape[0], shape[1], shape[2]);
    mt_status status = open_wkv(device, shape, &bench);
    if (status == MT_OK) {
        status = bench_alone(device, how, what, forward_and_backward, &bench, results);
    }
    close_wkv(&bench);
    return status;
}
