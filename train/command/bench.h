/* The measurements of `mixtape bench`. Times are in seconds; a measurement prints its figures and
 * appends them to `results`, an array, as an object. */
#ifndef MT_COMMAND_BENCH_H
#define MT_COMMAND_BENCH_H

#include "kernels/device.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Prints a part of a line for people, on standard output unless that gets JSON. */
MT_PRINTF(1, 2) void bench_say(const char *format, ...);
void bench_say_on(FILE *to);

/* Runs it `count` times, and waits for the device. */
mt_status bench_several(mt_device *device, int64_t count, mt_status (*run)(void *context),
                        void *context);

/* Warms up, `at_a_time` runs at a time, and finds how many runs make one measurement. */
mt_status bench_warm_up(mt_device *device, int64_t at_a_time, mt_status (*run)(void *context),
                        void *context, int64_t *runs);

/* Median time of a run, out of `repeat` measurements, after warming up. */
mt_status bench_time(mt_device *device, long long repeat, mt_status (*run)(void *context),
                     void *context, double *median);

/* Ends a measurement, whose line is printed: what it found, which is taken over, is appended to the
 * results. `whole` tells that no part of it was lost; MT_ERROR_MEMORY where one was. */
mt_status bench_append(json_t *results, json_t *found, bool whole);

/* Bytes per second, read and written, of a copy of 1 GiB, which no cache holds: prints it. Where
 * the device has no memory for both arrays it is told on standard error, and the rate is 0. */
mt_status bench_large_copy(mt_device *device, long long repeat, double *rate);

/* WKV forward and backward at (B, T, C), beside a copy and y = k + v over the same arrays, and
 * beside the rate of a large copy unless that is 0. */
mt_status bench_wkv(mt_device *device, const int64_t shape[3], long long repeat, double large_rate,
                    json_t *results);

typedef struct bench_step_shape {
    int64_t B, T, vocabulary, size, blocks;
    mt_dtype dtype;
} bench_step_shape;

/* Names what was run, in words: "step B32 T64 vocab 500 size 256 blocks 4 f32". */
enum { BENCH_TEXT = 160 };
void bench_step_text(const bench_step_shape *shape, char text[BENCH_TEXT]);

/* A training step of a language model, beside its matrix products alone. */
mt_status bench_step(mt_device *device, const bench_step_shape *shape, long long repeat,
                     json_t *results);

/* One thing alone, `runs` times: for a profiler without warming up and without measuring anything,
 * or, with `kernels`, on a device that times them, kernel by kernel after warming up. */
typedef struct bench_alone_how {
    long long runs;
    bool kernels;
} bench_alone_how;

mt_status bench_alone(mt_device *device, const bench_alone_how *how, const char *what,
                      mt_status (*run)(void *context), void *context, json_t *results);

/* WKV forward, then backward; a training step, not recorded. */
mt_status bench_wkv_alone(mt_device *device, const int64_t shape[3], const bench_alone_how *how,
                          json_t *results);
mt_status bench_step_alone(mt_device *device, const bench_step_shape *shape,
                           const bench_alone_how *how, json_t *results);

#endif
